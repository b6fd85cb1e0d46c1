//! What the threads do. As macros, since each variant of the source has types of its own.

/// Two threads append, the owner takes out and exports, and somebody stops it: all that was let in has been sent when the stop is over.
macro_rules! flush {
    ($name:ident, $gate:ident) => {
        fn $name() {
            use loom::future::block_on;
            use std::future::poll_fn;
            use std::task::Poll;
            use $gate::{Gate, Landing, Shape, Turn};
            crate::all(|| {
                let gate = loom::sync::Arc::new(Gate::new(Shape { capacity: 2, batch: 1, bytes: 100, exports: 1 }));
                let appender = |record: u32| {
                    let gate = gate.clone();
                    loom::thread::spawn(move || u64::from(gate.append(record, 1).is_ok()))
                };
                let appenders = [appender(1), appender(2)];
                let owner = loom::thread::spawn({
                    let gate = gate.clone();
                    move || {
                        loop {
                            let turn = block_on(poll_fn(|cx| match gate.next(cx.waker(), false) {
                                Turn::Batch { number, records } => Poll::Ready(Some((number, records))),
                                Turn::End => Poll::Ready(None),
                                Turn::Empty | Turn::Filling | Turn::Busy { .. } => Poll::Pending,
                            }));
                            let Some((number, records)) = turn else { break };
                            assert_eq!(gate.settle(number, Landing::Sent), records.len() as u64);
                        }
                    }
                });
                gate.drain();
                block_on(poll_fn(|cx| gate.poll_over(cx.waker())));
                let over = gate.counts();
                let taken: u64 = appenders.into_iter().map(|thread| thread.join().unwrap()).sum();
                owner.join().unwrap();
                let end = gate.counts();
                assert_eq!((over.sent, over.buffered, over.in_flight), (taken, 0, 0), "the stop was over too early");
                assert_eq!((end.accepted, end.sent, end.dropped_closed), (taken, taken, 2 - taken));
                assert_eq!(gate.close(), 0);
            });
        }
    };
}

/// Nobody stops anything: the owner wakes for the first record, looks, sleeps on, and wakes for the batch that has become full.
macro_rules! wake_when_full {
    ($name:ident, $gate:ident) => {
        fn $name() {
            use loom::future::block_on;
            use std::future::poll_fn;
            use std::task::Poll;
            use $gate::{Gate, Landing, Shape, Turn};
            crate::all(|| {
                let gate = loom::sync::Arc::new(Gate::new(Shape { capacity: 8, batch: 3, bytes: 100, exports: 1 }));
                let other = loom::thread::spawn({
                    let gate = gate.clone();
                    move || gate.append(1, 1).unwrap()
                });
                let owner = loom::thread::spawn({
                    let gate = gate.clone();
                    move || {
                        let (number, records) = block_on(poll_fn(|cx| match gate.next(cx.waker(), false) {
                            Turn::Batch { number, records } => Poll::Ready((number, records)),
                            Turn::End => unreachable!(),
                            Turn::Empty | Turn::Filling | Turn::Busy { .. } => Poll::Pending,
                        }));
                        gate.settle(number, Landing::Sent);
                        records.len()
                    }
                });
                gate.append(2, 1).unwrap();
                gate.append(3, 1).unwrap();
                assert_eq!(owner.join().unwrap(), 3);
                other.join().unwrap();
                assert_eq!(gate.counts().sent, 3);
            });
        }
    };
}

/// One export at a time, each on a thread of its own: the owner hears that there is room.
macro_rules! many_flights {
    ($name:ident, $gate:ident) => {
        fn $name() {
            use loom::future::block_on;
            use std::future::poll_fn;
            use std::task::Poll;
            use $gate::{Gate, Landing, Shape, Turn};
            crate::all(|| {
                let gate = loom::sync::Arc::new(Gate::new(Shape { capacity: 8, batch: 1, bytes: 100, exports: 1 }));
                gate.append(1, 1).unwrap();
                let owner = loom::thread::spawn({
                    let gate = gate.clone();
                    move || {
                        let mut exports = Vec::new();
                        for _ in 0..2 {
                            let number = block_on(poll_fn(|cx| match gate.next(cx.waker(), false) {
                                Turn::Batch { number, .. } => Poll::Ready(number),
                                Turn::End => unreachable!(),
                                Turn::Empty | Turn::Filling | Turn::Busy { .. } => Poll::Pending,
                            }));
                            assert!(gate.counts().in_flight <= 1);
                            let gate = gate.clone();
                            exports.push(loom::thread::spawn(move || gate.settle(number, Landing::Failed)));
                        }
                        for export in exports {
                            assert_eq!(export.join().unwrap(), 1);
                        }
                    }
                });
                gate.append(2, 1).unwrap();
                owner.join().unwrap();
                assert_eq!(gate.counts().failed, 2);
            });
        }
    };
}

/// A batch lands, a record comes and all is written off, at once: the accounts balance, and a waiting owner is told the end.
macro_rules! write_off {
    ($name:ident, $gate:ident) => {
        fn $name() {
            use loom::future::block_on;
            use std::future::poll_fn;
            use std::task::Poll;
            use $gate::{Gate, Landing, Shape, Turn};
            crate::all(|| {
                let gate = loom::sync::Arc::new(Gate::new(Shape { capacity: 8, batch: 2, bytes: 100, exports: 2 }));
                gate.append(1, 1).unwrap();
                gate.append(2, 1).unwrap();
                let owner = loom::thread::spawn({
                    let gate = gate.clone();
                    move || {
                        let mut landed = 0;
                        loop {
                            let turn = block_on(poll_fn(|cx| match gate.next(cx.waker(), false) {
                                Turn::Batch { number, .. } => Poll::Ready(Some(number)),
                                Turn::End => Poll::Ready(None),
                                Turn::Empty | Turn::Filling | Turn::Busy { .. } => Poll::Pending,
                            }));
                            let Some(number) = turn else { return landed };
                            landed += gate.settle(number, Landing::Sent);
                        }
                    }
                });
                let appender = loom::thread::spawn({
                    let gate = gate.clone();
                    move || u64::from(gate.append(3, 1).is_ok())
                });
                let written_off = gate.close();
                let landed = owner.join().unwrap();
                let taken = 2 + appender.join().unwrap();
                let end = gate.counts();
                assert_eq!((end.accepted, end.sent, end.abandoned), (taken, landed, written_off));
                assert_eq!((end.sent + end.abandoned, end.buffered, end.in_flight), (taken, 0, 0));
            });
        }
    };
}

pub(crate) use {flush, many_flights, wake_when_full, write_off};
