//! What a permit costs when nobody is in the way (M1): no allocation, and little time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use winddown::messaging::Permits;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: it only counts, and hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + 1);
        // SAFETY: as we were called.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as we were called.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn m1_a_free_permit_allocates_nothing() {
    let permits = Permits::new(1024, 1 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let before = ALLOCATED.get();
        for _ in 0..1000 {
            drop(permits.try_acquire(100).unwrap());
            drop(permits.acquire(100).await.unwrap());
        }
        assert_eq!(ALLOCATED.get() - before, 0);
    });
    let before = ALLOCATED.get();
    drop(Box::new(1));
    assert_eq!(ALLOCATED.get() - before, 1, "it counts at all");
}

/// Only where the compiler has made it fast. The best of many rounds: what else the machine does only makes rounds slower.
#[cfg(not(debug_assertions))]
#[test]
fn m1_a_free_permit_takes_less_than_150_ns() {
    let permits = Permits::new(1024, 1 << 20);
    let round = || {
        let began = std::time::Instant::now();
        for _ in 0..1000 {
            drop(std::hint::black_box(permits.try_acquire(std::hint::black_box(100))));
        }
        began.elapsed() / 1000
    };
    let best = (0..200).map(|_| round()).min().unwrap();
    assert!(best < std::time::Duration::from_nanos(150), "{best:?}");
}
