//! Rounds in which all take turns, medians, and a table of them.

use crate::{Round, Side, round};
use std::sync::Arc;
use std::time::Duration;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) async fn compare(server: &str, sides: &[(&str, Arc<dyn Side>)], rounds: usize, count: usize) -> anyhow::Result<()> {
    let mut all: Vec<Vec<Round>> = sides.iter().map(|_| Vec::new()).collect();
    for number in 0..rounds + 1 {
        for ((_, side), taken) in sides.iter().zip(&mut all) {
            let one = round(side, count).await?;
            // The first round fills caches and pools.
            if number > 0 {
                taken.push(one);
            }
        }
    }
    println!("\n**{server}** ({count} messages of {} bytes a round, median of {rounds})\n", crate::BODY);
    println!("| | sent a second | × | p99, ms | received a second | × |\n|---|---:|---:|---:|---:|---:|");
    for ((name, _), own) in sides.iter().zip(&all) {
        let of = |what: fn(&Round) -> Duration| median(own.iter().map(|round| what(round).as_secs_f64()).collect());
        let ratio = |what: fn(&Round) -> Duration| {
            median(own.iter().zip(&all[0]).map(|(own, first)| what(own).as_secs_f64() / what(first).as_secs_f64()).collect())
        };
        let (sending, receiving, slowest): (fn(&Round) -> Duration, fn(&Round) -> Duration, fn(&Round) -> Duration) =
            (|round| round.sending, |round| round.receiving, |round| round.slowest);
        println!(
            "| {name} | {:.0} | {:.2} | {:.1} | {:.0} | {:.2} |",
            count as f64 / of(sending),
            ratio(sending),
            of(slowest) * 1e3,
            count as f64 / of(receiving),
            ratio(receiving)
        );
    }
    Ok(())
}
