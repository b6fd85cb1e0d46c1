//! Rounds in which all take turns, medians, and a table of them.

use std::time::Duration;

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One way of doing it: its name, and what takes its time once.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) sample: Box<dyn FnMut() -> Duration + 'a>,
}

/// Lets all take turns for so many rounds and prints nanoseconds an operation, operations a second, and the ratio to the first.
pub(crate) fn compare(title: &str, operations: u64, rounds: usize, mut contenders: Vec<Contender<'_>>) {
    let mut took: Vec<Vec<f64>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds + 1 {
        for (contender, took) in contenders.iter_mut().zip(&mut took) {
            let sample = (contender.sample)().as_nanos() as f64 / operations as f64;
            // The first round fills caches and pools.
            if round > 0 {
                took.push(sample);
            }
        }
    }
    println!("\n**{title}** (median of {rounds})\n\n| | ns each | a second | × the first |\n|---|---:|---:|---:|");
    for (contender, own) in contenders.iter().zip(&took) {
        let ratios = own.iter().zip(&took[0]).map(|(own, first)| own / first).collect();
        let ns = median(own.clone());
        println!("| {} | {} | {} | {:.2} |", contender.name, short(ns), short(1e9 / ns), median(ratios));
    }
}

/// Three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.0} k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}
