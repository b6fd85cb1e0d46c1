//! Tries, classes, budgets (M2).

use crate::kit::{Answer, Scripted, after, message, run, shared};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::Instant;
use winddown::messaging::{Backoff, Class, ErrorKind, Producer, SendError, SendErrorKind, Sent};
use winddown::{millis, secs};

fn busy_twice() -> Arc<Scripted> {
    Scripted::new(|n, _, _| if n < 2 { Answer::No(ErrorKind::Busy) } else { Answer::Yes })
}

/// All four ways of sending, each with a broker of its own that is busy twice.
#[tokio::test(start_paused = true)]
async fn m2_busy_is_tried_again_on_every_path() {
    for path in ["send", "try_send", "enqueue", "callback"] {
        let broker = busy_twice();
        let producer = Producer::new(shared(&broker));
        let sender = producer.clone();
        let (_, outcome) = run(&producer, move |_| async move {
            match path {
                "send" => sender.send(message("x")).await,
                "try_send" => sender.try_send(message("x")).unwrap().await,
                "enqueue" => sender.enqueue(message("x")).await.unwrap().await,
                _ => {
                    let (tell, told) = tokio::sync::oneshot::channel();
                    sender.try_send_with(message("x"), move |outcome| tell.send(outcome).unwrap()).unwrap();
                    told.await.unwrap()
                }
            }
        })
        .await;
        assert!(matches!(outcome, Ok(Sent::Acknowledged(_))), "{path}: {outcome:?}");
        let stats = producer.stats();
        assert_eq!((stats.acknowledged, stats.retries, stats.ambiguous), (1, 2, 0), "{path}");
        assert_eq!(broker.calls().len(), 3, "{path}");
    }
}

/// Nobody waits for these: they are tried again all the same.
#[tokio::test(start_paused = true)]
async fn m2_busy_is_tried_again_when_nobody_awaits() {
    let broker = busy_twice();
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move { drop(sender.try_send(message("x")).unwrap()) }).await;
    assert_eq!(producer.stats().acknowledged, 1);
}

#[tokio::test(start_paused = true)]
async fn m2_the_budget_is_exact_when_the_broker_hangs() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).timeout(millis(2345)).build();
    let sender = producer.clone();
    let (_, (error, took)) = run(&producer, |_| async move {
        let began = Instant::now();
        (sender.send(message("x")).await.unwrap_err(), began.elapsed())
    })
    .await;
    assert_eq!(took, millis(2345));
    assert_eq!((error.kind(), error.class(), error.attempts()), (SendErrorKind::TimedOut, Class::RetryableAmbiguous, 1));
    assert_eq!(error.broker_error().unwrap().kind(), ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn m2_admission_is_part_of_the_budget() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).timeout(secs(3)).max_in_flight(1).build();
    let sender = producer.clone();
    let (_, took) = run(&producer, |_| async move {
        drop(sender.try_send(message("in the way for 3 s")).unwrap());
        tokio::time::sleep(secs(1)).await;
        let began = Instant::now();
        let error = sender.send(message("x")).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (SendErrorKind::TimedOut, 1));
        began.elapsed()
    })
    .await;
    assert_eq!(took, secs(3), "2 s of waiting to be let in, 1 s for the try");
    assert_eq!(broker.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn m2_who_is_never_let_in_is_told_in_time() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).timeout(secs(3)).max_in_flight(0).build();
    let sender = producer.clone();
    let (_, (error, took)) = run(&producer, |_| async move {
        let began = Instant::now();
        (sender.send(message("x")).await.unwrap_err(), began.elapsed())
    })
    .await;
    assert_eq!(took, secs(3));
    assert_eq!((error.kind(), error.class()), (SendErrorKind::TimedOut, Class::RetryableSafe));
    assert_eq!((producer.stats().accepted, producer.stats().refused), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn m2_pauses_double_with_jitter_and_never_pass_the_budget() {
    let broker = Scripted::always(Answer::No(ErrorKind::Busy));
    let backoff = Backoff::new(millis(100), secs(1));
    let producer = Producer::builder(shared(&broker)).timeout(secs(10)).backoff(backoff).build();
    let sender = producer.clone();
    let (_, (error, began, took)) = run(&producer, |_| async move {
        let began = Instant::now();
        (sender.send(message("x")).await.unwrap_err(), began, began.elapsed())
    })
    .await;
    assert!(took <= secs(10) && took > secs(9), "{took:?}");
    assert_eq!((error.kind(), error.class()), (SendErrorKind::TimedOut, Class::RetryableSafe), "busy is never stored");
    let calls = broker.calls();
    assert_eq!(calls.len() as u32, error.attempts());
    let pauses: Vec<_> = calls.windows(2).map(|two| two[1].at - two[0].at).collect();
    for (i, pause) in pauses.iter().enumerate() {
        let bare = backoff.bare(i as u32 + 1);
        let rest = calls[0].at + secs(10) - calls[i].at;
        assert!(*pause <= bare && (*pause >= bare / 2 - millis(1) || *pause >= rest / 2 - millis(1)), "{i}: {pause:?} of {bare:?}");
    }
    assert!(calls.last().unwrap().at <= began + secs(10));
    let jittered = pauses.iter().enumerate().filter(|(i, pause)| **pause != backoff.bare(*i as u32 + 1)).count();
    assert!(jittered > pauses.len() / 2);
}

#[tokio::test(start_paused = true)]
async fn m2_fatal_is_not_tried_again() {
    for kind in [ErrorKind::Invalid, ErrorKind::UnknownTopic, ErrorKind::Unauthorised, ErrorKind::TooLarge] {
        let broker = Scripted::always(Answer::No(kind));
        let producer = Producer::new(shared(&broker));
        let sender = producer.clone();
        let (_, error) = run(&producer, |_| async move { sender.send(message("x")).await.unwrap_err() }).await;
        let expected = if kind == ErrorKind::TooLarge { SendErrorKind::TooLarge } else { SendErrorKind::Refused };
        assert_eq!((error.kind(), error.class(), error.attempts()), (expected, Class::Fatal, 1));
        assert_eq!(error.broker_error().unwrap().kind(), kind);
        assert_eq!(producer.stats().returned, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn m2_ambiguous_is_tried_again_and_counted() {
    let broker = Scripted::new(|n, _, _| if n == 0 { Answer::No(ErrorKind::Disconnected) } else { Answer::Yes });
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move { sender.send(message("x")).await.unwrap() }).await;
    assert_eq!((producer.stats().ambiguous, producer.stats().retries), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn m2_one_lost_answer_makes_the_whole_send_ambiguous() {
    let broker = Scripted::new(|n, _, _| Answer::No(if n == 0 { ErrorKind::Disconnected } else { ErrorKind::Busy }));
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    let (_, error) = run(&producer, |_| async move { sender.send(message("x")).await.unwrap_err() }).await;
    assert_eq!((error.kind(), error.class()), (SendErrorKind::TimedOut, Class::RetryableAmbiguous));
    assert_eq!(error.broker_error().unwrap().kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("may have been stored"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn m2_no_more_tries_than_allowed() {
    let broker = Scripted::always(Answer::No(ErrorKind::Busy));
    let producer = Producer::builder(shared(&broker)).max_attempts(3).build();
    let sender = producer.clone();
    let (_, error) = run(&producer, |_| async move { sender.send(message("x")).await.unwrap_err() }).await;
    assert_eq!((error.kind(), error.attempts(), broker.calls().len()), (SendErrorKind::AttemptsUsedUp, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn m2_a_bound_for_one_try_leaves_time_for_others() {
    let broker = Scripted::new(|n, _, _| if n == 0 { Answer::Hang } else { Answer::Yes });
    let producer = Producer::builder(shared(&broker)).try_timeout(millis(500)).build();
    let sender = producer.clone();
    let (_, took) = run(&producer, |_| async move {
        let began = Instant::now();
        assert!(sender.send(message("x")).await.is_ok());
        began.elapsed()
    })
    .await;
    assert!(took > millis(500) && took <= millis(521), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn m2_a_panic_of_the_broker_is_an_answer() {
    let broker = Scripted::new(|n, _, _| if n < 2 { [Answer::Panic, after(millis(5), Answer::Panic)][n].clone() } else { Answer::Yes });
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    let (report, outcome) = run(&producer, |_| async move { sender.try_send(message("x")).unwrap().await }).await;
    assert!(outcome.is_ok());
    assert_eq!(producer.stats().ambiguous, 2, "it may have been sent before the panic");
    assert_eq!(report.exit_code(), 0, "and the component knows nothing of it");
}

#[tokio::test(start_paused = true)]
async fn m2_a_callback_is_called_exactly_once_whatever_happens() {
    let answers =
        [Answer::Yes, Answer::No(ErrorKind::Invalid), Answer::Hang, Answer::Panic, after(millis(2999), Answer::Yes), after(secs(3), Answer::Yes)];
    let broker = Scripted::new(move |_, m, _| answers[m.body()[0] as usize - 48].clone());
    let producer = Producer::builder(shared(&broker)).timeout(secs(3)).build();
    let (sender, counts) = (producer.clone(), Arc::new([const { AtomicU32::new(0) }; 60]));
    let told = counts.clone();
    let (report, ()) = run(&producer, |_| async move {
        for i in 0..60 {
            let told = told.clone();
            let callback = move |_: Result<Sent, SendError>| {
                told[i].fetch_add(1, Ordering::SeqCst);
                if i % 7 == 0 {
                    panic!("callbacks may panic");
                }
            };
            sender.try_send_with(message(&(i % 6).to_string()), callback).unwrap();
        }
        // Some end by themselves, the others are cut off by the stop.
        tokio::time::sleep(millis(100)).await;
    })
    .await;
    assert!(counts.iter().all(|n| n.load(Ordering::SeqCst) == 1), "{counts:?}");
    assert_eq!(report.exit_code(), 0);
    assert_eq!(producer.stats().lost, 0, "a callback had each of them");
}

#[tokio::test(start_paused = true)]
async fn m2_errors_say_which_broker_which_topic_and_what_to_do() {
    let broker = Scripted::always(Answer::No(ErrorKind::Busy));
    let producer = Producer::builder(shared(&broker)).max_attempts(2).build();
    let sender = producer.clone();
    let (_, error) = run(&producer, |_| async move { sender.send(message("x")).await.unwrap_err() }).await;
    let id = error.message().id();
    let expected = format!(
        "message {id} to topic `orders` of scripted was not sent: attempts-used-up after 2 tries; the last answer: scripted: busy: as told; try again \
         later, raise `max_attempts`, or give the producer an outbox"
    );
    assert_eq!(error.to_string(), expected);
    assert!(std::error::Error::source(&error).is_some());
}
