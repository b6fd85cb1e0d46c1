//! A line about the machine, in words that tell the reader what to expect of the figures.

use std::fs::read_to_string;

pub(crate) fn print() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{cores} cores ({model}), {memory} of memory, Linux {}; load average at the time {}.",
        kernel.trim().split('-').next().unwrap_or_default(),
        load.split(' ').next().unwrap_or_default()
    );
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
