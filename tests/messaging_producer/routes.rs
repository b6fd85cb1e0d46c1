//! Which route a message takes, and which it keeps away from (M2).

use crate::kit::{Answer, Scripted, after, message, run, shared};
use tokio::time::Instant;
use winddown::messaging::{ErrorKind, Limits, Producer};
use winddown::{millis, secs};

const THREE: [&str; 3] = ["a", "b", "c"];

#[tokio::test(start_paused = true)]
async fn m2_routes_take_turns_also_where_topics_alternate() {
    let broker = Scripted::with(&["a", "b"], Limits::default(), |_, _, _| Answer::Yes);
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move {
        for i in 0..40 {
            let topic = if i % 2 == 0 { "even" } else { "odd" };
            sender.send(winddown::messaging::Message::new(topic, "x")).await.unwrap();
        }
    })
    .await;
    let taken = broker.routes_taken();
    for topic in [0, 1] {
        let a = taken.iter().skip(topic).step_by(2).filter(|route| *route == "a").count();
        assert_eq!(a, 10, "{taken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn m2_a_retry_keeps_away_from_the_route_that_failed() {
    let broker = Scripted::with(&THREE, Limits::default(), |_, _, route| if route == Some("a") { Answer::No(ErrorKind::Busy) } else { Answer::Yes });
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move {
        for _ in 0..30 {
            sender.send(message("x")).await.unwrap();
        }
    })
    .await;
    let taken = broker.routes_taken();
    assert!(taken.windows(2).all(|two| two[0] != "a" || two[1] != "a"), "{taken:?}");
    assert_eq!(taken.iter().filter(|route| *route == "a").count(), 1, "the others keep away too: {taken:?}");
}

#[tokio::test(start_paused = true)]
async fn m2_two_routes_that_fail_are_tried_in_turn() {
    let broker = Scripted::with(&["a", "b"], Limits::default(), |_, _, _| Answer::No(ErrorKind::Unavailable));
    let producer = Producer::builder(shared(&broker)).max_attempts(6).build();
    let sender = producer.clone();
    run(&producer, |_| async move { sender.send(message("x")).await.unwrap_err() }).await;
    let taken = broker.routes_taken();
    assert!(taken.windows(2).all(|two| two[0] != two[1]), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn m2_a_route_that_hangs_leaves_time_for_another() {
    let broker = Scripted::with(&["a", "b"], Limits::default(), |_, _, route| if route == Some("b") { Answer::Hang } else { Answer::Yes });
    let producer = Producer::builder(shared(&broker)).timeout(secs(3)).build();
    let sender = producer.clone();
    let (_, longest) = run(&producer, |_| async move {
        let mut longest = secs(0);
        for _ in 0..20 {
            let began = Instant::now();
            sender.send(message("x")).await.unwrap();
            longest = longest.max(began.elapsed());
        }
        longest
    })
    .await;
    assert!(longest > millis(1500) && longest < millis(1600), "{longest:?}");
    let hung = broker.routes_taken().iter().filter(|route| *route == "b").count();
    assert_eq!(hung, 1);
}

#[tokio::test(start_paused = true)]
async fn m2_a_slow_route_is_avoided_for_a_while_that_grows_with_its_latency_and_then_tried_by_one() {
    for (latency, avoided) in
        [(millis(199), millis(0)), (millis(200), millis(1200)), (millis(700), secs(3)), (secs(1), secs(6)), (millis(2500), secs(12))]
    {
        let broker = Scripted::with(
            &["a", "b"],
            Limits::default(),
            move |_, _, route| if route == Some("b") { after(latency, Answer::Yes) } else { Answer::Yes },
        );
        let producer = Producer::builder(shared(&broker)).timeout(secs(60)).build();
        let sender = producer.clone();
        let (_, slow_at) = run(&producer, move |_| async move {
            while sender.stats().acknowledged < 2 {
                sender.send(message("x")).await.unwrap();
            }
            let slow_at = Instant::now();
            // Many at a time, for longer than it is avoided.
            for _ in 0..260 {
                for _ in 0..4 {
                    drop(sender.try_send(message("x")).unwrap());
                }
                tokio::time::sleep(millis(50)).await;
            }
            slow_at
        })
        .await;
        let slow: Vec<_> = broker.calls().into_iter().filter(|call| call.route.as_deref() == Some("b")).map(|call| call.at).collect();
        if avoided.is_zero() {
            assert!(slow.len() > 500, "{latency:?}: {}", slow.len());
            continue;
        }
        assert!(slow.len() > 1, "{latency:?}: it was never tried again");
        assert!(slow[1] >= slow_at + avoided && slow[1] <= slow_at + avoided + millis(50), "{latency:?}: {:?}", slow[1] - slow_at);
        // And then by one, not by all who came at that moment.
        assert!(slow.windows(2).all(|two| two[1] - two[0] >= latency), "{latency:?}: {:?}", slow.len());
    }
}

#[tokio::test(start_paused = true)]
async fn m2_a_route_that_is_well_again_is_as_good_as_any() {
    let broker = Scripted::with(&["a", "b"], Limits::default(), |n, _, _| if n == 0 { Answer::No(ErrorKind::Disconnected) } else { Answer::Yes });
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move {
        sender.send(message("x")).await.unwrap();
        tokio::time::sleep(secs(6)).await;
        for _ in 0..20 {
            sender.send(message("x")).await.unwrap();
        }
    })
    .await;
    let taken = broker.routes_taken();
    let first = &taken[0];
    let again = taken[2..].iter().filter(|route| *route == first).count();
    assert!((9..=11).contains(&again), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn m2_one_ordered_key_stays_on_one_route_and_keys_are_spread() {
    let broker = Scripted::with(&THREE, Limits::default(), |n, _, _| if n % 5 == 0 { Answer::No(ErrorKind::Busy) } else { Answer::Yes });
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move {
        for i in 0..90 {
            let key = format!("k{}", i % 30);
            sender.send(message(&key).with_ordered_key(key.clone())).await.unwrap();
        }
    })
    .await;
    let mut of_key = std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
    for call in broker.calls() {
        of_key.entry(call.bodies[0].clone()).or_default().insert(call.route.unwrap());
    }
    assert!(of_key.values().all(|routes| routes.len() == 1), "{of_key:?}");
    for route in THREE {
        let keys = of_key.values().filter(|routes| routes.contains(route)).count();
        assert!((4..=18).contains(&keys), "{route} has {keys} of 30 keys");
    }
}
