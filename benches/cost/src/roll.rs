//! The roll call: which tasks have been polled at least once.
//!
//! The same in every program, so that "all running" means the same in every program. It is a
//! static, so that it adds nothing to the memory of a component.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::Notify;

static HERE: AtomicUsize = AtomicUsize::new(0);
static AWAITED: AtomicUsize = AtomicUsize::new(usize::MAX);
static REACHED: Notify = Notify::const_new();

/// Said by each task when it is polled for the first time.
pub(crate) fn present() {
    let here = HERE.fetch_add(1, SeqCst) + 1;
    if here == AWAITED.load(SeqCst) {
        REACHED.notify_one();
    }
}

/// Waits until `count` tasks have been polled.
///
/// The count is written before it is compared, and `present` does the two the other way round, so
/// one of the two sees the other; a permit left over from an earlier wait only costs one turn.
pub(crate) async fn wait_for(count: usize) {
    AWAITED.store(count, SeqCst);
    while HERE.load(SeqCst) < count {
        REACHED.notified().await;
    }
}

/// The same for a plain thread, which must not depend on the runtime: it looks every millisecond.
pub(crate) fn block_until(count: usize) {
    while HERE.load(SeqCst) < count {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
