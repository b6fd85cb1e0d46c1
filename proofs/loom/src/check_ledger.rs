//! What gate and books promise, in every interleaving of senders and the one who closes.

use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::Arc;
use loom::thread;
use std::future::Future;

/// The part of the ledger that is checked.
pub(crate) trait Books: Clone + Send + 'static {
    type Entry: Send + 'static;
    fn open() -> Self;
    fn accept(&self) -> Option<Self::Entry>;
    fn acknowledge(entry: Self::Entry);
    fn close(&self) -> u64;
    fn idle(&self) -> impl Future<Output = ()>;
    /// accepted, settled, in flight
    fn read(&self) -> (u64, u64, u64);
}

macro_rules! ledger_to_check {
    ($module:ident) => {
        #[derive(Clone)]
        pub(crate) struct Checked($module::Ledger);

        impl crate::check_ledger::Books for Checked {
            type Entry = $module::Entry;
            fn open() -> Self {
                let ledger = $module::Ledger::new();
                ledger.open();
                Checked(ledger)
            }
            fn accept(&self) -> Option<$module::Entry> {
                self.0.accept().ok()
            }
            fn acknowledge(entry: $module::Entry) {
                entry.settle($module::Fate::Acknowledged);
            }
            fn close(&self) -> u64 {
                self.0.close().accepted
            }
            fn idle(&self) -> impl std::future::Future<Output = ()> {
                self.0.idle()
            }
            fn read(&self) -> (u64, u64, u64) {
                let s = self.0.stats();
                (s.accepted, s.acknowledged + s.returned + s.outboxed + s.lost, s.in_flight)
            }
        }
    };
}
pub(crate) use ledger_to_check;

mod sound {
    use crate::ledger;
    ledger_to_check!(ledger);
}

/// Senders and one who closes. Once the closer sees nothing in flight it takes away what sends need: nobody who was accepted may find it
/// gone, and the number accepted never changes after the close.
fn senders_and_closer<B: Books>(senders: usize) {
    let books = B::open();
    let gone = Arc::new(AtomicBool::new(false));
    let sender = |_| {
        let (books, gone) = (books.clone(), gone.clone());
        thread::spawn(move || {
            if let Some(entry) = books.accept() {
                assert!(!gone.load(Ordering::SeqCst), "accepted, and what it needs is gone before it began");
                B::acknowledge(entry);
            }
        })
    };
    let senders: Vec<_> = (0..senders).map(sender).collect();
    let accepted = books.close();
    block_on(books.idle());
    gone.store(true, Ordering::SeqCst);
    assert_eq!(books.read(), (accepted, accepted, 0));
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(books.read(), (accepted, accepted, 0));
}

/// One sender: every interleaving there is.
pub(crate) fn closer_and_sender<B: Books>() {
    loom::model(|| senders_and_closer::<B>(1));
}

/// Two: every interleaving in which threads are cut off three times at most.
fn closer_and_two_senders<B: Books>() {
    crate::with_few_cuts(|| senders_and_closer::<B>(2));
}

/// An entry that is dropped is settled too, and wakes who waits.
fn a_dropped_entry<B: Books>() {
    loom::model(|| {
        let books = B::open();
        let entry = books.accept().unwrap();
        let thread = thread::spawn(move || drop(entry));
        books.close();
        block_on(books.idle());
        assert_eq!(books.read(), (1, 1, 0));
        thread.join().unwrap();
    });
}

#[test]
fn who_closes_never_sees_idle_before_an_accepted_send_is_over() {
    closer_and_sender::<sound::Checked>();
    closer_and_two_senders::<sound::Checked>();
}

#[test]
fn a_dropped_entry_is_settled() {
    a_dropped_entry::<sound::Checked>();
}
