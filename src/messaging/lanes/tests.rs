use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// The same, written so that it is seen to be right: one row, walked through for everything.
#[derive(Default)]
struct Naive {
    row: Vec<One>,
    turns: u64,
}

#[derive(Clone, Debug)]
struct One {
    place: u64,
    key: Option<u8>,
    attempt: u32,
    due: Option<Instant>,
    out: Option<u64>,
}

impl Naive {
    fn takeable(&self, now: Instant) -> Vec<usize> {
        let first_of_key = |index: usize| {
            let key = self.row[index].key;
            key.is_none() || !self.row[..index].iter().any(|one| one.key == key)
        };
        let due = |one: &One| one.out.is_none() && one.due.is_none_or(|due| due <= now);
        (0..self.row.len()).filter(|index| due(&self.row[*index]) && first_of_key(*index)).collect()
    }

    fn take(&mut self, max: usize, now: Instant) -> Vec<(Ticket, u32)> {
        let mut taken = Vec::new();
        for index in self.takeable(now).into_iter().take(max) {
            let one = &mut self.row[index];
            one.out = Some(self.turns);
            taken.push((Ticket { place: one.place, turn: self.turns }, one.attempt));
            self.turns += 1;
        }
        taken
    }

    fn find(&self, ticket: Ticket) -> Option<usize> {
        self.row.iter().position(|one| one.place == ticket.place && one.out == Some(ticket.turn))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(Option<u8>, u64),
    Take(usize),
    Settle(prop::sample::Index),
    Back(prop::sample::Index, u64, bool),
    Drain(u64),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (prop::option::of(0u8..3), 0u64..4).prop_map(|(key, due)| Step::Push(key, due)),
        4 => (0usize..4).prop_map(Step::Take),
        3 => any::<prop::sample::Index>().prop_map(Step::Settle),
        3 => (any::<prop::sample::Index>(), 0u64..4, any::<bool>()).prop_map(|(which, due, counts)| Step::Back(which, due, counts)),
        1 => (2u64..5).prop_map(Step::Drain),
        2 => (0u64..3).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn it_is_the_naive_row(steps in steps()) {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (mut lanes, mut naive, mut tickets, mut pushed, mut now) = (Lanes::new(), Naive::default(), Vec::new(), 0u64, 0u64);
        for step in steps {
            match step {
                Step::Push(key, due) => {
                    let due = (due > 0).then(|| at(now + due));
                    lanes.push(key.map(|key| key.to_string().into()), 1, due, pushed);
                    naive.row.push(One { place: pushed, key, attempt: 1, due, out: None });
                    pushed += 1;
                }
                Step::Take(max) => {
                    let taken = lanes.take(max, at(now));
                    prop_assert!(taken.iter().all(|one| one.ticket.place == one.thing));
                    let taken: Vec<_> = taken.into_iter().map(|one| (one.ticket, one.attempt)).collect();
                    prop_assert_eq!(&taken, &naive.take(max, at(now)));
                    tickets.extend(taken.into_iter().map(|(ticket, _)| ticket));
                }
                // Tickets are never thrown away: most of those tried later are no longer good.
                Step::Settle(which) if !tickets.is_empty() => {
                    let ticket = *which.get(&tickets);
                    let found = naive.find(ticket).map(|index| naive.row.remove(index).place);
                    prop_assert_eq!(lanes.settle(ticket), found);
                }
                Step::Back(which, due, counts) if !tickets.is_empty() => {
                    let ticket = *which.get(&tickets);
                    let due = (due > 0).then(|| at(now + due));
                    let found = naive.find(ticket);
                    if let Some(index) = found {
                        let one = &mut naive.row[index];
                        (one.out, one.due, one.attempt) = (None, due, one.attempt + u32::from(counts));
                    }
                    let back = lanes.put_back(ticket, due, |attempt| attempt + u32::from(counts)).map(|(place, attempt)| (*place, attempt));
                    prop_assert_eq!(back, found.map(|index| (naive.row[index].place, naive.row[index].attempt)));
                }
                Step::Drain(nth) => {
                    let gone: Vec<_> = naive.row.iter().map(|one| one.place).filter(|place| place % nth == 0).collect();
                    naive.row.retain(|one| one.place % nth != 0);
                    prop_assert_eq!(lanes.drain(|place| place % nth == 0), gone);
                }
                Step::Pass(seconds) => now += seconds,
                Step::Settle(_) | Step::Back(..) => {}
            }
            prop_assert_eq!(lanes.len(), naive.row.len());
            prop_assert_eq!(lanes.out(), naive.row.iter().filter(|one| one.out.is_some()).count());
            let out = naive.row.iter().filter_map(|one| one.out.map(|turn| Ticket { place: one.place, turn }));
            prop_assert_eq!(lanes.tickets(), out.collect::<Vec<_>>());
            let mut dues = (0..20).map(|later| at(now + later));
            let due = dues.find(|when| !naive.takeable(*when).is_empty());
            prop_assert_eq!(lanes.next_due(at(now)), due);
        }
    }
}

#[test]
fn of_one_key_the_next_comes_when_the_one_before_has_left() {
    let (mut lanes, now) = (Lanes::new(), Instant::now());
    let later = now + Duration::from_secs(1);
    for number in 1..=2 {
        lanes.push(Some("k".into()), 1, None, number);
    }
    lanes.push(None, 1, None, 3);
    let taken = lanes.take(10, now);
    assert_eq!(taken.iter().map(|one| one.thing).collect::<Vec<_>>(), [1, 3], "2 stands behind 1");
    assert_eq!(lanes.put_back(taken[0].ticket, Some(later), |attempt| attempt + 1), Some((&1, 2)));
    assert!(lanes.take(10, now).is_empty(), "1 is put off, and 2 still stands behind it");
    assert_eq!(lanes.next_due(now), Some(later));
    let again = lanes.take(10, later);
    assert_eq!((again[0].thing, again[0].attempt), (1, 2));
    assert_eq!(lanes.settle(taken[0].ticket), None, "the first taking is over");
    assert_eq!(lanes.settle(again[0].ticket), Some(1));
    assert_eq!(lanes.take(10, later)[0].thing, 2);
}
