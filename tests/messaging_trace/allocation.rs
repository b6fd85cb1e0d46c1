//! M14: appending allocates nothing. Each thread counts its own allocations, so that tests beside this one do not disturb it.

use crate::kit::record;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use winddown::messaging::trace::{TraceDispatcher, TracingExporter};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system's allocator; a count in a thread-local without destructor allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn m14_append_allocates_nothing() {
    let traces = TraceDispatcher::builder(TracingExporter::new()).capacity(500).build();
    let mut records: Vec<_> = (0..600).map(record).collect();
    let before = ALLOCATIONS.get();
    let mut refused = 0;
    while let Some(record) = records.pop() {
        if let Err(rejected) = traces.append(record) {
            refused += 1;
            // Dropping it frees, and that is the caller's.
            drop(rejected);
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "neither taking nor refusing allocates");
    assert_eq!((traces.counts().accepted, refused), (500, 100));
    let before = ALLOCATIONS.get();
    drop(record(1));
    assert!(ALLOCATIONS.get() > before, "the counter counts");
}
