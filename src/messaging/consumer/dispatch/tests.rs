use super::*;
use crate::messaging::consumer::held::LEAST_PAUSE;
use crate::messaging::{Delivery, Message, Receipt};
use proptest::prelude::*;
use tokio::time::Instant;

fn held(number: u64, key: Option<u64>, lease: Option<u64>) -> Arc<Held> {
    let message = Message::new("t", number.to_string());
    let message = key.map_or(message.clone(), |key| message.with_ordered_key(key.to_string()));
    let delivery = Delivery::new(message, 1, Receipt::numbers(number, 0));
    let delivery = lease.map_or(delivery.clone(), |lease| delivery.with_visibility(Duration::from_secs(lease)));
    Arc::new(Held::new(delivery, Instant::now()))
}

fn some(count: u64) -> Vec<Arc<Held>> {
    (0..count).map(|number| held(number, None, None)).collect()
}

fn desk(concurrency: usize, prefetch: usize) -> Dispatch {
    Dispatch::new(concurrency, prefetch, false, ConsumerStats::default())
}

/// A worker that looks for the first time.
fn first(desk: &mut Dispatch, seat: usize) -> (Turn, Rings) {
    desk.arrived();
    desk.next(seat, None, true)
}

#[test]
fn m7_workers_are_made_one_after_the_other_as_they_are_needed() {
    let mut desk = desk(3, 10);
    assert_eq!(desk.push(some(5)).worker, Wake::New(0));
    let (turn, rings) = first(&mut desk, 0);
    assert!(matches!(turn, Turn::Work(_)));
    assert_eq!(rings.worker, Wake::New(1), "four are left");
    assert_eq!(first(&mut desk, 1).1.worker, Wake::New(2));
    assert_eq!(first(&mut desk, 2).1.worker, Wake::Nobody, "no more than three");
    assert_eq!((desk.stats().in_flight, desk.stats().prefetched, desk.occupied()), (3, 2, 3));
}

#[test]
fn d3_one_at_a_time_is_woken_unless_more_is_pulled() {
    let mut desk = desk(4, 10);
    desk.push(some(1));
    let Turn::Work(one) = first(&mut desk, 0).0 else { panic!("there is one") };
    let (turn, _) = desk.next(0, Some(Done::Handled(one)), true);
    assert!(matches!(turn, Turn::Nothing));
    assert_eq!(desk.push(some(3)).worker, Wake::One, "it sleeps");
    // It has not looked yet, and may be stuck: what is pulled now wakes another all the same.
    assert_eq!(desk.push(some(1)).worker, Wake::New(1));
    // The first looks, and leaves the next to the second, which is on its way.
    assert_eq!(first(&mut desk, 0).1.worker, Wake::Nobody);
    assert_eq!(first(&mut desk, 1).1.worker, Wake::New(2));
}

#[test]
fn m7_the_puller_is_called_when_half_of_the_room_is_there() {
    let mut desk = desk(1, 4);
    assert_eq!(desk.advise(), Advice::Pull(4));
    desk.push(some(4));
    assert_eq!(desk.advise(), Advice::Wait);
    let (_, rings) = first(&mut desk, 0);
    assert!(!rings.puller, "one place is not worth a call");
    let (_, rings) = desk.next(0, Some(Done::Failed), false);
    assert!(rings.puller);
    assert_eq!(desk.advise(), Advice::Pull(2));
}

#[test]
fn m7_those_behind_a_key_leave_room_for_others_when_nobody_else_could_run() {
    let mut desk = Dispatch::new(4, 4, true, ConsumerStats::default());
    desk.push((0..4).map(|number| held(number, Some(7), None)).collect());
    assert_eq!(desk.advise(), Advice::Wait);
    let (_, rings) = first(&mut desk, 0);
    assert!(rings.puller, "three wait behind the first, and there is room for one");
    assert_eq!(desk.advise(), Advice::Pull(1));
}

#[test]
fn after_the_close_nothing_is_begun_and_all_is_taken_out() {
    let mut desk = Dispatch::new(4, 10, true, ConsumerStats::default());
    desk.push([(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, None)].map(|(number, key)| held(number, key, None)).into());
    let Turn::Work(one) = first(&mut desk, 0).0 else { panic!("there are four") };
    assert_eq!(desk.close(), 1);
    assert_eq!(desk.advise(), Advice::Close);
    assert!(matches!(desk.next(1, None, true).0, Turn::Closed));
    desk.push(vec![held(5, Some(3), None)]);
    let mut numbers: Vec<u64> = desk.take_fetched().iter().map(|held| held.delivery().receipt().as_numbers().0).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4, 5]);
    let (turn, rings) = desk.next(0, Some(Done::Handled(one)), true);
    assert!(matches!(turn, Turn::Closed));
    assert_eq!((rings.stop, desk.unsettled()), (Some(0), 1), "whoever waits for the end is told");
}

#[tokio::test(start_paused = true)]
async fn m9_leases_are_looked_at_when_the_first_is_due_and_never_in_a_loop() {
    let mut desk = desk(1, 10);
    let now = Instant::now();
    assert_eq!(desk.leases(now).1, None, "nothing has a lease");
    assert!(desk.push(vec![held(1, None, Some(30)), held(2, None, Some(10)), held(3, None, None)]).renewer);
    assert!(!desk.push(vec![held(4, None, Some(20))]).renewer, "nothing is due sooner than before");
    let (due, next) = desk.leases(now);
    assert_eq!((due.len(), next), (0, Some(now + Duration::from_secs(5))));
    assert_eq!(desk.leases(now + Duration::from_secs(10)).0.len(), 2);
    desk.push(vec![held(5, None, Some(0))]);
    assert_eq!(desk.leases(now).1, Some(now + LEAST_PAUSE));
}

/// What a crowd of workers, a puller and a settler may do, in any order.
#[derive(Clone, Debug)]
enum Move {
    Pull(u64),
    /// The worker at this place in the list of those that may move goes on: looks, finishes well, or fails.
    Worker(prop::sample::Index, bool),
    Settle,
    Pause,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Worker {
    Coming,
    Asleep,
    Busy,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The whole protocol, played: whatever the order, concurrency and prefetch keep their bounds, nobody sleeps while a message waits, and
    /// every message is in one place.
    #[test]
    fn m7_no_message_waits_while_a_worker_sleeps(
        concurrency in 1usize..5, prefetch in 1usize..8, keys in 0u64..3,
        moves in proptest::collection::vec(prop_oneof![
            2 => (1u64..8).prop_map(Move::Pull),
            6 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, well)| Move::Worker(which, well)),
            2 => Just(Move::Settle),
            1 => Just(Move::Pause),
        ], 1..200),
    ) {
        let mut desk = Dispatch::new(concurrency, prefetch, keys > 0, ConsumerStats::default());
        let mut workers: Vec<Worker> = Vec::new();
        let mut hands: Vec<Option<Arc<Held>>> = Vec::new();
        let (mut next, mut done, mut back) = (0u64, 0u64, 0u64);
        let wake = |rings: Rings, workers: &mut Vec<Worker>, hands: &mut Vec<Option<Arc<Held>>>| match rings.worker {
            Wake::Nobody => {}
            Wake::One => {
                let asleep = workers.iter().rposition(|worker| *worker == Worker::Asleep).expect("D5: a ring finds a worker");
                workers[asleep] = Worker::Coming;
            }
            Wake::New(seat) => {
                assert_eq!(seat, workers.len());
                workers.push(Worker::Coming);
                hands.push(None);
            }
        };
        for step in moves {
            match step {
                Move::Pull(count) => {
                    if let Advice::Pull(room) = desk.advise() {
                        let fetched: Vec<_> = (next..next + count.min(room as u64)).map(|n| held(n, (keys > 0).then(|| n % keys.max(1)), None)).collect();
                        next += fetched.len() as u64;
                        wake(desk.push(fetched), &mut workers, &mut hands);
                    }
                }
                Move::Worker(which, well) => {
                    let able: Vec<usize> = (0..workers.len()).filter(|seat| workers[*seat] != Worker::Asleep).collect();
                    if able.is_empty() { continue; }
                    let seat = able[which.index(able.len())];
                    let finished = match workers[seat] {
                        Worker::Coming => { desk.arrived(); None }
                        _ => {
                            let one = hands[seat].take().expect("it is busy");
                            done += 1;
                            if well { Some(Done::Handled(one)) } else {
                                let (behind, rings) = desk.settled(seat, &one, true);
                                back += behind.len() as u64;
                                wake(rings, &mut workers, &mut hands);
                                Some(Done::Failed)
                            }
                        }
                    };
                    let (turn, rings) = desk.next(seat, finished, true);
                    workers[seat] = match turn {
                        Turn::Work(one) => { hands[seat] = Some(one); Worker::Busy }
                        _ => Worker::Asleep,
                    };
                    wake(rings, &mut workers, &mut hands);
                }
                Move::Settle => {
                    let batch = desk.take_acks(3);
                    let (behind, rings) = desk.acked(&batch, Some(Settled::all(batch.len())));
                    back += behind.len() as u64;
                    wake(rings, &mut workers, &mut hands);
                }
                Move::Pause => back += desk.take_fetched().len() as u64,
            }
            let busy = workers.iter().filter(|worker| **worker == Worker::Busy).count();
            prop_assert!(busy <= concurrency && workers.len() <= concurrency);
            let stats = desk.stats();
            prop_assert!(stats.prefetched <= prefetch as u64);
            prop_assert_eq!(stats.in_flight, busy as u64);
            prop_assert_eq!(next, done + back + stats.prefetched + stats.in_flight);
            let coming = workers.contains(&Worker::Coming);
            let waits = !desk.ready.is_empty();
            prop_assert!(!waits || coming || busy == concurrency, "{} wait, and nobody comes: {:?}", desk.ready.len(), workers);
        }
    }
}
