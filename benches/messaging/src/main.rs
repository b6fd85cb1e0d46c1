//! `scripts/bench messaging`: what producer, consumer, trace dispatcher and the SQLite broker cost, beside what one would write by hand.

mod dispatch;
mod permits;
mod sqlite;
mod table;
mod trace;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let parts: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| *a != "--quick").collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    if let Some(unknown) = parts.iter().find(|part| !["permits", "trace", "dispatch", "sqlite"].contains(part)) {
        eprintln!("`{unknown}` is none of permits, trace, dispatch, sqlite");
        std::process::exit(2);
    }
    let rounds = if quick { 3 } else { 9 };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("Load average at the beginning: {}.", load.split(' ').next().unwrap_or("unknown"));
    if wanted("permits") {
        permits::run(rounds);
    }
    if wanted("trace") {
        trace::run(rounds);
    }
    if wanted("dispatch") {
        dispatch::run(rounds);
    }
    if wanted("sqlite") {
        sqlite::run(rounds, if quick { 1_000 } else { 5_000 });
    }
}
