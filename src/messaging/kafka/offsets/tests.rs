use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

proptest! {
    #[test]
    fn ranges_are_a_set(steps in proptest::collection::vec((0u64..60, 0u64..8, any::<bool>()), 1..60)) {
        let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
        for (start, len, leave) in steps {
            if leave && len == 0 {
                let inside = set.contains(&start);
                let end = (start..).find(|number| !set.contains(number)).unwrap_or(start);
                prop_assert_eq!(ranges.leave(start), inside.then_some(end));
                // What the first of a range shares with others after `start` leaves with it.
                let edge = if set.range(..=start).next_back().is_some() { (start..).find(|number| !set.contains(number)).unwrap_or(start) } else { start };
                set.retain(|number| *number >= edge);
            } else {
                ranges.insert(start, start + len);
                set.extend(start..start + len);
            }
            prop_assert!((0..70).all(|number| ranges.contains(number) == set.contains(&number)));
            prop_assert_eq!(ranges.count(), set.len() as u64);
            let all: Vec<_> = ranges.iter().collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].0), "ranges that touch are one: {:?}", all);
        }
    }

    /// A log with holes, read by a group that settles at random, forgets everything now and then and goes on with what it last committed.
    #[test]
    fn nothing_is_lost_and_nothing_settled_comes_again(
        log in proptest::collection::btree_set(100u64..180, 1..60),
        steps in proptest::collection::vec((0u8..10, any::<prop::sample::Index>()), 1..200),
        latest in any::<bool>(),
    ) {
        let log: Vec<u64> = log.into_iter().collect();
        let mut tracker = if latest { Tracker::beginning(100) } else { Tracker::fresh() };
        let mut reading = 0;
        let (mut settled, mut tries, mut held) = (BTreeSet::new(), BTreeMap::<u64, u32>::new(), BTreeSet::new());
        // What was committed last, and what the world looked like then.
        let mut committed = None;
        for (step, which) in steps {
            match step {
                0..4 if reading < log.len() => {
                    let offset = log[reading];
                    reading += 1;
                    let wanted = if settled.contains(&offset) { Arrival::Known } else { Arrival::New(tries.get(&offset).copied().unwrap_or(0)) };
                    prop_assert_eq!(tracker.arrived(offset), wanted, "of {}", offset);
                    if wanted != Arrival::Known {
                        prop_assert_eq!(tracker.arrived(offset), Arrival::Known, "it is held");
                        held.insert(offset);
                    }
                }
                4..7 if !held.is_empty() => {
                    let offset = *which.get(&held.iter().copied().collect::<Vec<_>>());
                    tracker.settle(offset);
                    held.remove(&offset);
                    settled.insert(offset);
                    tries.remove(&offset);
                }
                7 if !held.is_empty() => {
                    let offset = *which.get(&held.iter().copied().collect::<Vec<_>>());
                    let times = tries.get(&offset).copied().unwrap_or(0) + 1;
                    tries.insert(offset, times);
                    tracker.tried(offset, times);
                }
                8 => {
                    if let Some(mark) = tracker.mark(4000) {
                        let lowest = log[..reading].iter().find(|offset| !settled.contains(offset)).copied();
                        prop_assert!(lowest.is_none_or(|lowest| mark.offset <= lowest), "{:?} was not settled, and {} is committed", lowest, mark.offset);
                        tracker.confirmed(mark.changes);
                        prop_assert_eq!(tracker.mark(4000), None, "there is nothing new");
                        committed = Some((mark, settled.clone(), tries.clone()));
                    }
                }
                9 => {
                    held.clear();
                    match &committed {
                        Some((mark, then, tried)) => {
                            tracker = Tracker::restored(mark.offset, &mark.text);
                            (settled, tries) = (then.clone(), tried.clone());
                            reading = log.iter().position(|offset| *offset >= mark.offset).unwrap_or(log.len());
                            let beyond = settled.range(mark.offset..).count() as u64;
                            prop_assert!(settled_beyond(mark.offset, &mark.text) >= beyond, "holes count as settled too");
                        }
                        None => {
                            tracker = if latest { Tracker::beginning(100) } else { Tracker::fresh() };
                            settled.clear();
                            tries.clear();
                            reading = 0;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_text_fits_and_says_nothing_wrong(
        settled in proptest::collection::btree_set(1000u64..3000, 0..400),
        tried in proptest::collection::btree_map(1000u64..3200, 1u32..5, 0..200),
        limit in 0usize..900,
    ) {
        let mut ranges = Ranges::default();
        settled.iter().for_each(|offset| ranges.insert(*offset, offset + 1));
        let tried: BTreeMap<u64, u32> = tried.into_iter().filter(|(offset, _)| !settled.contains(offset)).collect();
        let text = text::write(1000, &ranges, &tried, limit);
        prop_assert!(text.len() <= limit);
        let (read, tries) = text::read(1000, &text).unwrap_or_default();
        prop_assert!(read.iter().all(|(start, end)| (start..end).all(|offset| settled.contains(&offset))));
        prop_assert!(tries.iter().all(|(offset, times)| tried.get(offset) == Some(times)), "{:?} {:?}", tries, tried);
        let whole = text::write(1000, &ranges, &tried, usize::MAX);
        let read = text::read(1000, &whole).unwrap_or_default();
        prop_assert_eq!(read, (ranges, tried));
    }

    #[test]
    fn whatever_the_text_is_it_is_answered(text in "(w1)?[A-Za-z0-9+/.]{0,40}", base in 0u64..i64::MAX as u64) {
        text::read(base, &text);
        Tracker::restored(base, &text).mark(100);
    }
}

#[test]
fn one_that_stays_costs_a_few_letters_whatever_was_settled_after_it() {
    let mut tracker = Tracker::beginning(7);
    (7..100_007).for_each(|offset| assert_eq!(tracker.arrived(offset), Arrival::New(0)));
    tracker.tried(7, 3);
    (8..100_007).for_each(|offset| tracker.settle(offset));
    let mark = tracker.mark(4000).expect("much has changed");
    assert_eq!((mark.offset, mark.text.as_str()), (7, "w1B/0hD.ABD"));
    let mut again = Tracker::restored(7, &mark.text);
    assert_eq!(again.arrived(7), Arrival::New(3));
    assert_eq!(again.arrived(8), Arrival::Known);
    assert_eq!(again.arrived(100_007), Arrival::New(0));
}

#[test]
fn a_thousand_that_are_held_in_the_worst_order_fit_into_what_a_server_takes() {
    let mut tracker = Tracker::beginning(0);
    for offset in 0..2000 {
        tracker.arrived(offset);
        tracker.tried(offset, 1);
    }
    (0..2000).filter(|offset| offset % 2 == 1).for_each(|offset| tracker.settle(offset));
    let mark = tracker.mark(4096).expect("much has changed");
    assert_eq!(mark.text.len(), 2 + 2000 + ".AofB".len(), "{}", mark.text);
    let mut again = Tracker::restored(mark.offset, &mark.text);
    assert!((0..2000).all(|offset| (again.arrived(offset) == Arrival::New(1)) == (offset % 2 == 0)));
}

#[test]
fn a_log_that_begins_anew_is_begun_anew() {
    let mut tracker = Tracker::restored(100, "w1BC");
    assert_eq!(tracker.arrived(0), Arrival::Restarted);
    assert_eq!(tracker.arrived(1), Arrival::New(0));
    tracker.settle(0);
    assert_eq!(tracker.mark(4000).map(|mark| (mark.offset, mark.text)), Some((1, String::new())));
}

#[test]
fn what_others_wrote_is_passed_over() {
    for text in ["", "hello", "w2AB", "w1?", "w1B", "w1//////////////", "w1.", "w1AB.A", "w1AB.AA//////////"] {
        let mut tracker = Tracker::restored(5, text);
        assert_eq!(tracker.arrived(9), Arrival::New(0), "{text}");
    }
}
