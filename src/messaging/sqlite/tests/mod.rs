//! What only shows with a clock, a disk or a plan of our own.

mod clocks;
mod full;
mod plans;

use super::super::{Broker, Delivery, Interest, Message, Receipt, Subscription};
use super::SqliteBroker;
use super::store::Store;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A folder that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("winddown-sqlite-unit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
    fn file(&self) -> PathBuf {
        self.0.join("queue.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(20);

async fn send(broker: &SqliteBroker, bodies: std::ops::Range<u32>) {
    for n in bodies {
        broker.send(&Message::new("t", n.to_string()), None).await.unwrap();
    }
}

async fn join(broker: &SqliteBroker, visibility: Duration) -> Arc<dyn Subscription> {
    broker.subscribe(&Interest { visibility, ..Interest::new("g", "t") }).await.unwrap()
}

fn receipts(got: &[Delivery]) -> Vec<Receipt> {
    got.iter().map(|one| one.receipt().clone()).collect()
}

/// Something done on the writer's own connection.
async fn within<T: Send + 'static>(broker: &SqliteBroker, run: impl FnMut(&mut Store) -> rusqlite::Result<T> + Send + 'static) -> T {
    broker.0.ask(0, run).await.unwrap()
}
