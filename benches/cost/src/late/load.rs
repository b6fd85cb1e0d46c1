//! The load itself, the same for both sides.

use super::Kind;
use crate::roll;
use std::future::pending;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub(super) const LONG: Duration = Duration::from_secs(30);

impl Kind {
    /// How many tasks or threads the load is made of.
    pub(super) fn size(self) -> usize {
        match self {
            Kind::Critical => 1,
            Kind::Hung(n) | Kind::Blocked(n) | Kind::Spinning(n) | Kind::BlockingThreads(n) => n,
        }
    }
}

/// Holds each task back until everything runs, and lets them go one by one: two tasks woken
/// together may end up in one worker's queue, and then only that worker would be blocked.
#[derive(Clone)]
pub(super) struct Gates(Vec<CancellationToken>);

impl Gates {
    pub(super) fn new(kind: Kind) -> Gates {
        Gates((0..kind.size()).map(|_| CancellationToken::new()).collect())
    }

    pub(super) fn gate(&self, index: usize) -> CancellationToken {
        self.0[index].clone()
    }

    /// Opens them all, from a plain thread; returns when the whole load is in place.
    pub(super) fn open(&self) {
        for (index, gate) in self.0.iter().enumerate() {
            gate.cancel();
            roll::block_until(index + 1);
        }
    }
}

/// What a task of this load does, for ever or for 30 s.
pub(super) async fn carry(kind: Kind, gate: CancellationToken) {
    gate.cancelled().await;
    roll::present();
    match kind {
        Kind::Blocked(_) => std::thread::sleep(LONG),
        Kind::Spinning(_) => spin(),
        Kind::Hung(_) | Kind::Critical | Kind::BlockingThreads(_) => pending().await,
    }
}

/// What a thread of the blocking pool does.
pub(super) fn block() {
    roll::present();
    std::thread::sleep(LONG);
}

fn spin() {
    let began = Instant::now();
    while began.elapsed() < LONG {
        std::hint::spin_loop();
    }
}
