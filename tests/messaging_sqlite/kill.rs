//! SIGKILL in the middle: nothing acknowledged to a sender is lost, nothing acknowledged by a consumer comes back.

use super::support::*;
use std::collections::BTreeSet;
use winddown::messaging::Broker;

fn after(line: &str, what: &str) -> Option<u32> {
    line.strip_prefix(what)?.split_whitespace().next()?.parse().ok()
}

#[test]
fn m9_a_sender_killed_in_the_middle_loses_nothing_that_was_acknowledged() {
    let scratch = Scratch::new();
    let mut acknowledged = BTreeSet::new();
    for round in 0..6u32 {
        let mut child = Role::start("sender", &scratch.file(), &[("FIRST", &(round * 1_000_000).to_string())]);
        // Another moment each time, from its first message on.
        for _ in 0..1 + round * 37 {
            acknowledged.extend(after(&child.line().unwrap(), "sent "));
        }
        acknowledged.extend(child.kill().iter().filter_map(|line| after(line, "sent ")));
        let stored = stored(&scratch.file(), "t");
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} of {}", acknowledged.len());
        // And not much more than what was under way.
        let more = stored.len() - acknowledged.len();
        assert!(more <= (8 + 19) * (round as usize + 1), "{more} that nobody was told of");
    }
    assert_sound(&scratch.file());
}

#[tokio::test]
async fn m9_a_consumer_killed_in_the_middle_loses_nothing_and_what_it_acknowledged_stays_away() {
    const ALL: u32 = 4_000;
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..ALL).await;
    broker.close().await.unwrap();
    let mut done = BTreeSet::new();
    let mut untold = 0;
    for round in 0..6 {
        let mut child = Role::start("consumer", &scratch.file(), &[("VISIBILITY", "700")]);
        assert_eq!(child.line().unwrap(), "ready");
        let mut said = Vec::new();
        for _ in 0..1 + round * 23 {
            said.push(child.line().unwrap());
        }
        said.extend(child.kill());
        for line in said {
            let number = after(&line, "done ").unwrap();
            assert!(done.insert(number), "round {round}: {number} came back after its ack");
        }
        let left = stored(&scratch.file(), "t");
        assert!(done.is_disjoint(&left), "acknowledged, and still there");
        // An ack whose answer was not given may have been done: at most one for each member.
        let missing = ALL as usize - done.len() - left.len();
        assert!(missing <= 4 * (round + 1), "round {round}: {missing} are gone that nobody acknowledged");
        untold = missing;
    }
    // The rest comes, leases of the killed included, and nothing twice.
    let broker = scratch.open();
    let member = join(&broker, "g", "t").await;
    while done.len() + untold < ALL as usize {
        let got = member.pull(500, ms(5_000)).await.unwrap();
        assert!(!got.is_empty(), "{} of {ALL}", done.len());
        ack(&member, &got).await;
        for number in numbers(&got) {
            assert!(done.insert(number), "{number} came back after its ack");
        }
    }
    assert_eq!(broker.counts("t", "g").await.unwrap(), Default::default());
    broker.close().await.unwrap();
    assert_sound(&scratch.file());
}

#[tokio::test]
async fn a_file_whose_maker_was_killed_at_any_moment_is_opened() {
    let mut begun = 0;
    for round in 0..40 {
        let scratch = Scratch::new();
        let child = Role::start("sender", &scratch.file(), &[]);
        // From before it is there until the first messages; sooner or later, as the machine is busy.
        let until = std::time::Instant::now() + ms(round * 2);
        while std::time::Instant::now() < until && stored_bytes(&scratch) < 4096 * round {
            std::hint::spin_loop();
        }
        let said = child.kill();
        begun += usize::from(stored_bytes(&scratch) > 0);
        let broker = scratch.open();
        let acknowledged: BTreeSet<_> = said.iter().filter_map(|line| after(line, "sent ")).collect();
        assert!(acknowledged.is_subset(&stored(&scratch.file(), "t")));
        send(&broker, "t", [1]).await;
        broker.close().await.unwrap();
        assert_sound(&scratch.file());
    }
    assert!(begun > 5, "only {begun} were killed after they had begun");
}

fn stored_bytes(scratch: &Scratch) -> u64 {
    let size = |name: &str| std::fs::metadata(scratch.0.join(name)).map_or(0, |file| file.len());
    size("queue.db") + size("queue.db-journal") + size("queue.db-wal")
}
