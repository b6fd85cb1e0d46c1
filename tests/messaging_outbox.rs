//! The outbox through the public door: in an app with a producer, by the SQL of its page, and by its command line. What is inside is proven
//! beside it, in `src/messaging/outbox/tests`.
#![cfg(all(unix, feature = "sqlite"))]

#[path = "messaging_outbox/apps.rs"]
mod apps;
#[path = "messaging_outbox/command_line.rs"]
mod command_line;
#[path = "messaging_outbox/page.rs"]
mod page;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use winddown::messaging::Outbox;

/// A directory of its own, removed in the end unless the test fails.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("outbox-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("outbox.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Waits until nothing is left to be sent, half a minute at most.
async fn emptied(outbox: &Outbox) {
    let begun = Instant::now();
    while outbox.counts().await.unwrap().pending > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "something stays in the outbox");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(std::path::Path::parent).unwrap().join("examples").join(name);
    assert!(path.is_file(), "{} is not there: `cargo test` builds it, `cargo test --test …` does not", path.display());
    path
}
