//! Admission: the producer's permits beside two semaphores of tokio, uncontended.

use crate::table::{Contender, compare};
use std::hint::black_box;
use std::time::Instant;
use tokio::sync::Semaphore;
use winddown::messaging::Permits;

const OPERATIONS: u64 = 1_000_000;

pub(crate) fn run(rounds: usize) {
    let (count, bytes) = (Semaphore::new(1024), Semaphore::new(64 << 20));
    let permits = Permits::new(1024, 64 << 20);
    compare(
        "one message's permit taken and given back",
        OPERATIONS,
        rounds,
        vec![
            Contender {
                name: "two `tokio::sync::Semaphore`s, try_acquire",
                sample: Box::new(|| {
                    let began = Instant::now();
                    for _ in 0..OPERATIONS {
                        let one = count.try_acquire();
                        let many = bytes.try_acquire_many(black_box(300));
                        black_box((&one, &many));
                    }
                    began.elapsed()
                }),
            },
            Contender {
                name: "`Permits::try_acquire`",
                sample: Box::new(|| {
                    let began = Instant::now();
                    for _ in 0..OPERATIONS {
                        black_box(&permits.try_acquire(black_box(300)));
                    }
                    began.elapsed()
                }),
            },
        ],
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    compare(
        "the same, awaited",
        OPERATIONS,
        rounds,
        vec![
            Contender {
                name: "two `tokio::sync::Semaphore`s, acquire",
                sample: Box::new(|| {
                    runtime.block_on(async {
                        let began = Instant::now();
                        for _ in 0..OPERATIONS {
                            let one = count.acquire().await;
                            let many = bytes.acquire_many(black_box(300)).await;
                            black_box((&one, &many));
                        }
                        began.elapsed()
                    })
                }),
            },
            Contender {
                name: "`Permits::acquire`",
                sample: Box::new(|| {
                    runtime.block_on(async {
                        let began = Instant::now();
                        for _ in 0..OPERATIONS {
                            black_box(&permits.acquire(black_box(300)).await);
                        }
                        began.elapsed()
                    })
                }),
            },
        ],
    );
}
