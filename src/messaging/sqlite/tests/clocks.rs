//! A wall clock that is set, in both directions, while the file is open and while it is not.

use super::super::clock::Clock;
use super::*;
use std::sync::atomic::AtomicI64;

const HOUR: i64 = 3_600_000;

/// Two clocks that the test moves.
struct Set {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl Clock for Set {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }
    fn steady(&self) -> i64 {
        self.steady.load(Ordering::SeqCst)
    }
}

impl Set {
    fn new() -> Arc<Set> {
        Arc::new(Set { wall: AtomicI64::new(1_700_000_000_000), steady: AtomicI64::new(5) })
    }
    /// Time passes.
    fn pass(&self, millis: i64) {
        self.jump(millis);
        self.steady.fetch_add(millis, Ordering::SeqCst);
    }
    /// Somebody sets the wall clock.
    fn jump(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }
}

fn open(scratch: &Scratch, clock: &Arc<Set>) -> SqliteBroker {
    let mut builder = SqliteBroker::builder(scratch.file());
    builder.clock = Some(clock.clone());
    builder.open().unwrap()
}

async fn available(member: &Arc<dyn Subscription>) -> usize {
    let got = member.pull(10, NOW).await.unwrap();
    let count = got.len();
    member.release(&receipts(&got)).await.unwrap();
    count
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_it_was_given_for_whichever_way_the_clock_is_set() {
    for jump in [HOUR, -HOUR, 24 * HOUR, -24 * HOUR, 1_500, -1_500] {
        let (scratch, clock) = (Scratch::new(), Set::new());
        let broker = open(&scratch, &clock);
        send(&broker, 0..1).await;
        let member = join(&broker, ms(10_000)).await;
        let got = member.pull(1, NOW).await.unwrap();
        clock.pass(4_000);
        clock.jump(jump);
        assert_eq!(available(&member).await, 0, "set by {jump}: it came again too early");
        clock.pass(5_000);
        assert_eq!(available(&member).await, 0, "set by {jump}: it came again too early");
        // The holder may still extend and settle.
        let receipt = member.extend(got[0].receipt(), ms(10_000)).await.unwrap();
        clock.pass(9_000);
        assert_eq!(available(&member).await, 0);
        // One more jump, the other way.
        clock.jump(-jump);
        assert_eq!(available(&member).await, 0);
        clock.pass(2_000);
        assert_eq!(available(&member).await, 1, "set by {jump}: it did not come again");
        assert_eq!(member.ack(&[receipt]).await.unwrap().stale, 1);
        broker.close().await.unwrap();
    }
}

#[tokio::test]
async fn several_writers_agree_on_the_time() {
    for jump in [HOUR, -HOUR] {
        let (scratch, clock) = (Scratch::new(), Set::new());
        let (one, two) = (open(&scratch, &clock), open(&scratch, &clock));
        send(&one, 0..2).await;
        let (first, second) = (join(&one, ms(10_000)).await, join(&two, ms(10_000)).await);
        let got = first.pull(1, NOW).await.unwrap();
        clock.jump(jump);
        // Each notices by itself; the second finds it corrected.
        let other = second.pull(10, NOW).await.unwrap();
        assert_eq!(other.len(), 1, "set by {jump}: a lease was taken away");
        assert_eq!(first.ack(&receipts(&got)).await.unwrap().done, 1);
        clock.pass(9_000);
        assert_eq!(available(&first).await, 0);
        clock.pass(2_000);
        assert_eq!(available(&first).await, 1);
        assert_eq!(second.ack(&receipts(&other)).await.unwrap().stale, 1);
        // One that is opened later has the same time.
        let third = open(&scratch, &clock);
        let third_member = join(&third, ms(10_000)).await;
        let got = third_member.pull(1, NOW).await.unwrap();
        clock.pass(9_000);
        assert_eq!((available(&first).await, available(&second).await), (0, 0));
        assert_eq!(third_member.ack(&receipts(&got)).await.unwrap().done, 1);
        for broker in [one, two, third] {
            broker.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lease_from_the_future_is_over_when_the_file_is_opened() {
    let (scratch, clock) = (Scratch::new(), Set::new());
    let broker = open(&scratch, &clock);
    send(&broker, 0..1).await;
    join(&broker, ms(10_000)).await.pull(1, NOW).await.unwrap();
    // As after a SIGKILL: the leases stand in the file, and no writer saw the clock go back.
    std::fs::create_dir(scratch.0.join("killed")).unwrap();
    let copy = scratch.0.join("killed/queue.db");
    let path = copy.to_str().unwrap().to_owned();
    broker.close().await.unwrap();
    let broker = open(&scratch, &clock);
    let member = join(&broker, ms(10_000)).await;
    member.pull(1, NOW).await.unwrap();
    let conn = rusqlite::Connection::open(scratch.file()).unwrap();
    conn.execute("VACUUM INTO ?1", [path]).unwrap();
    clock.jump(-HOUR);
    let mut builder = SqliteBroker::builder(&copy);
    builder.clock = Some(clock.clone());
    let killed = builder.open().unwrap();
    assert_eq!(available(&join(&killed, ms(10_000)).await).await, 1);
    killed.close().await.unwrap();
    broker.close().await.unwrap();
}

/// Another process writes a lease by a clock that is then set back, and dies: nobody sees a jump, but the lease cannot be.
#[tokio::test]
async fn a_lease_from_the_future_is_found_while_somebody_waits() {
    let (scratch, clock) = (Scratch::new(), Set::new());
    let broker = open(&scratch, &clock);
    send(&broker, 0..1).await;
    let member = join(&broker, ms(10_000)).await;
    member.pull(1, NOW).await.unwrap();
    within(&broker, |store| store.conn().execute("UPDATE broker_deliveries SET due = due + 3600000", [])).await;
    assert_eq!(member.pull(1, LONG).await.unwrap().len(), 1);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_delay_follows_the_wall_clock_forward_and_never_grows_backward() {
    let (scratch, clock) = (Scratch::new(), Set::new());
    let broker = open(&scratch, &clock);
    let member = join(&broker, ms(10_000)).await;
    let delayed = || Message::new("t", "x").with_delay(ms(60_000));
    // One that the group has come to, one that it has not, and one that was given back.
    broker.send(&delayed(), None).await.unwrap();
    assert_eq!(available(&member).await, 0);
    send(&broker, 0..1).await;
    let got = member.pull(1, NOW).await.unwrap();
    member.nack(&receipts(&got), ms(60_000)).await.unwrap();
    broker.send(&delayed(), None).await.unwrap();
    clock.jump(-HOUR);
    clock.pass(59_000);
    assert_eq!(available(&member).await, 0, "early");
    clock.pass(62_000);
    assert_eq!(available(&member).await, 3, "an hour late");
    // Forward: it is the time they were waiting for.
    broker.send(&delayed(), None).await.unwrap();
    assert_eq!(available(&member).await, 3);
    clock.jump(HOUR);
    assert_eq!(available(&member).await, 4);
    broker.close().await.unwrap();
}
