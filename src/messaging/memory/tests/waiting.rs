//! S2: nobody sleeps over a message.

use super::*;
use std::sync::atomic::AtomicUsize;

fn pull(member: &Arc<dyn Subscription>, wait: Duration) -> tokio::task::JoinHandle<(Vec<Delivery>, Instant)> {
    let member = member.clone();
    tokio::spawn(async move { (member.pull(1, wait).await.unwrap(), Instant::now()) })
}

#[tokio::test(start_paused = true)]
async fn a_short_visibility_wakes_those_who_slept_longer() {
    let broker = MemoryBroker::new();
    let (one, two) = (join(&broker, "g").await, join(&broker, "g").await);
    let brief = broker.subscribe(&Interest { visibility: millis(500), ..Interest::new("g", "t") }).await.unwrap();
    let began = Instant::now();
    let (a, b) = (pull(&one, secs(60)), pull(&two, secs(60)));
    tokio::time::sleep(millis(10)).await;
    // Taken without those who sleep having been woken in time: they must hear of its end nevertheless.
    send(&broker, ["1"]).await;
    let taken = brief.pull(1, Duration::ZERO).await.unwrap();
    assert_eq!(taken.len(), 1, "nobody else has run yet");
    // The one that was woken by the message has looked, and is gone: the other must know by itself.
    tokio::time::sleep(millis(1)).await;
    a.abort();
    let (got, at) = b.await.unwrap();
    assert_eq!((got[0].attempt(), at - began), (2, millis(510)));
}

/// With paused time, members who woke each other for ever would not let it go on.
#[tokio::test(start_paused = true)]
async fn those_who_wait_for_the_same_moment_let_each_other_sleep() {
    let broker = MemoryBroker::new();
    let members = [join(&broker, "g").await, join(&broker, "g").await];
    let brief = broker.subscribe(&Interest { visibility: millis(500), ..Interest::new("g", "t") }).await.unwrap();
    let long = broker.subscribe(&Interest { visibility: secs(3), ..Interest::new("g", "t") }).await.unwrap();
    let pulls: Vec<_> = members.iter().map(|member| pull(member, secs(60))).collect();
    tokio::time::sleep(millis(1)).await;
    let began = Instant::now();
    // Taken before those who wait have run: they look, find nothing, and sleep until it comes again.
    for first in [&long, &brief] {
        send(&broker, ["x"]).await;
        assert_eq!(first.pull(1, Duration::ZERO).await.unwrap().len(), 1);
    }
    let mut came = Vec::new();
    for pull in pulls {
        let (got, at) = pull.await.unwrap();
        came.push((got.len(), (at - began).as_millis()));
    }
    came.sort_unstable();
    assert_eq!(came, [(1, 500), (1, 3000)]);
}

#[tokio::test(start_paused = true)]
async fn one_wakes_the_next_while_there_is_more() {
    let broker = MemoryBroker::new();
    let members = [join(&broker, "g").await, join(&broker, "g").await, join(&broker, "g").await];
    let pulls: Vec<_> = members.iter().map(|member| pull(member, secs(60))).collect();
    tokio::time::sleep(millis(1)).await;
    let began = Instant::now();
    broker.send_batch(&[message("1"), message("2"), message("3")], None).await;
    for pull in pulls {
        let (got, at) = pull.await.unwrap();
        assert_eq!((got.len(), at), (1, began));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_one_that_comes_later_than_the_wait_wakes_nobody() {
    let broker = MemoryBroker::new();
    let member = join(&broker, "g").await;
    let began = Instant::now();
    let early = pull(&member, secs(1));
    tokio::time::sleep(millis(1)).await;
    broker.send(&message("late").with_delay(secs(2)), None).await.unwrap();
    let (got, at) = early.await.unwrap();
    assert_eq!((got.len(), at - began), (0, secs(1)));
    let (got, at) = pull(&member, secs(60)).await.unwrap();
    assert_eq!((got.len(), at - began), (1, millis(2001)));
}

#[tokio::test]
async fn filtered_messages_beyond_one_look_do_not_end_the_pull() {
    let broker = MemoryBroker::new();
    let wanted = Interest { tags: crate::messaging::TagFilter::any(["yes"]), ..Interest::new("g", "t") };
    let member = broker.subscribe(&wanted).await.unwrap();
    let mut batch = vec![message("no"); 20_000];
    batch.push(message("here").with_tag("yes"));
    broker.send_batch(&batch, None).await;
    assert_eq!(bodies(&member.pull(1, secs(60)).await.unwrap()), ["here"]);
    assert_eq!(broker.depth("t"), 1, "what is not wanted is settled");
}

/// Impatient members drop their pulls in the middle, on several threads, and hand back what they get; patient ones handle it. Were a wake-up lost
/// with a dropped pull, the last messages would stay until a patient one's wait ends, and that is far away.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_threads() {
    const MESSAGES: usize = 5_000;
    let broker = MemoryBroker::new();
    let handled = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..6u64 {
        let (broker, handled) = (broker.clone(), handled.clone());
        tasks.spawn(async move {
            let member = join(&broker, "g").await;
            let mut random = crate::messaging::random::Random::seeded(number);
            let mut rounds = 0;
            while number % 2 == 0 || rounds < 3000 {
                rounds += 1;
                let pull = member.pull(1 + random.next() as usize % 3, secs(600));
                if number % 2 == 0 {
                    let Ok(taken) = pull.await else { break };
                    let done = member.ack(&receipts(&taken)).await.unwrap().done;
                    if handled.fetch_add(done, Ordering::SeqCst) + done == MESSAGES {
                        broker.close().await.unwrap();
                    }
                } else if let Ok(Ok(taken)) = tokio::time::timeout(Duration::from_micros(random.next() % 1500), pull).await {
                    let _ = member.release(&receipts(&taken)).await;
                }
            }
        });
    }
    for _ in 0..2 {
        let broker = broker.clone();
        tasks.spawn(async move {
            for _ in 0..MESSAGES / 2 {
                broker.send(&message("x"), None).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    let all = async { while tasks.join_next().await.transpose().unwrap().is_some() {} };
    tokio::time::timeout(secs(60), all).await.expect("somebody sleeps over a message");
    assert_eq!((handled.load(Ordering::SeqCst), broker.depth("t")), (MESSAGES, 0));
}
