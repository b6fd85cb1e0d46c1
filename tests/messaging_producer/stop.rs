//! Gate, drain, cancel (M4).

use crate::kit::{Answer, Scripted, after, message, run, run_with_budget, shared, step, steps};
use std::sync::{Arc, Mutex};
use winddown::messaging::{Class, Producer, SendErrorKind, Sent};
use winddown::{App, Outcome, Phase, Rung, millis, secs, testkit};

#[tokio::test(start_paused = true)]
async fn m4_what_is_in_flight_is_drained_and_nothing_new_comes_in() {
    let broker = Scripted::always(after(secs(2), Answer::Yes));
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    let (report, sends) = run(&producer, |_| async move { (0..7).map(|_| sender.try_send(message("x")).unwrap()).collect::<Vec<_>>() }).await;
    for send in sends {
        assert!(matches!(send.await, Ok(Sent::Acknowledged(_))));
    }
    let names: Vec<_> = steps(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..4], ["gate_closed", "drained", "cancelled", "outboxed"]);
    assert_eq!((step(&report, "gate_closed"), step(&report, "drained"), step(&report, "cancelled")), (7, 7, 0));
    assert_eq!((step(&report, "total_accepted"), step(&report, "total_acknowledged")), (7, 7));
    let component = report.component("producer").unwrap();
    assert_eq!((component.drained, component.lost, component.outcome), (7, 0, Outcome::Stopped));
    let stop = component.stop.unwrap();
    assert!(stop.ended - stop.began < millis(2010), "it leaves when it is idle");
}

#[tokio::test(start_paused = true)]
async fn m4_what_hangs_is_cancelled_inside_the_budget_and_given_back() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).timeout(secs(60)).build();
    let sender = producer.clone();
    let (report, sends) =
        run_with_budget(&producer, secs(5), |_| async move { (0..3).map(|_| sender.try_send(message("x")).unwrap()).collect::<Vec<_>>() }).await;
    for send in sends {
        let error = send.await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (SendErrorKind::Cancelled, Class::RetryableAmbiguous));
    }
    assert_eq!((step(&report, "drained"), step(&report, "cancelled"), step(&report, "outboxed")), (0, 3, 0));
    let component = report.component("producer").unwrap();
    assert_eq!((component.rung, component.outcome), (Rung::Graceful, Outcome::Stopped));
    assert_eq!((component.drained, component.handed_back, component.lost), (0, 3, 0));
    let stop = component.stop.unwrap();
    let took = stop.ended - stop.began;
    assert!(took >= millis(4500) && took < millis(4510), "the budget less 500 ms: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn m4_the_margin_is_a_fifth_of_a_short_budget() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).timeout(secs(60)).build();
    let sender = producer.clone();
    let (report, _sends) = run_with_budget(&producer, secs(1), |_| async move { [sender.try_send(message("x")).unwrap()] }).await;
    let stop = report.component("producer").unwrap().stop.unwrap();
    let took = stop.ended - stop.began;
    assert!(took >= millis(800) && took < millis(810), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn m4_what_nobody_awaits_is_lost_counted_and_reported() {
    let broker = Scripted::always(Answer::Hang);
    let lost = Arc::new(Mutex::new(Vec::new()));
    let told = lost.clone();
    let producer = Producer::builder(shared(&broker))
        .timeout(secs(60))
        .on_lost(move |error| told.lock().unwrap().push((error.kind(), error.into_message())))
        .build();
    let sender = producer.clone();
    let (report, ()) = run(&producer, |_| async move {
        for i in 0..4 {
            drop(sender.try_send(message(&i.to_string())).unwrap());
        }
    })
    .await;
    let stats = producer.stats();
    assert_eq!((stats.accepted, stats.lost, stats.in_flight), (4, 4, 0));
    assert_eq!((report.component("producer").unwrap().lost, step(&report, "total_lost")), (4, 4));
    let lost = lost.lock().unwrap();
    assert!(lost.iter().all(|(kind, _)| *kind == SendErrorKind::Cancelled));
    let mut bodies: Vec<_> = lost.iter().map(|(_, message)| message.body().clone()).collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3"]);
}

/// Those who send stop before the producer: a handler's last message still goes out.
#[tokio::test(start_paused = true)]
async fn m4_the_gate_is_open_until_the_workers_are_over() {
    let broker = Scripted::always(Answer::Yes);
    let producer = Producer::new(shared(&broker));
    let app = App::new("test");
    app.add(producer.component());
    let sender = producer.clone();
    let worker = move |cx: winddown::RunCx| async move {
        cx.stopping().await;
        for _ in 0..5 {
            tokio::time::sleep(millis(100)).await;
            let _ = sender.send(message("last words")).await?;
        }
        Ok(())
    };
    app.task("worker", worker).phase(Phase::WORKERS);
    let handle = app.handle();
    tokio::spawn(async move {
        handle.wait_ready().await;
        handle.request_shutdown("now");
    });
    let report = testkit::run(&app).await;
    assert_eq!(report.exit_code(), 0);
    assert_eq!(producer.stats().acknowledged, 5);
}

/// A second signal: the drain is cut off, and what is in flight is dealt with all the same.
#[tokio::test(start_paused = true)]
async fn m4_who_is_cut_short_still_deals_with_what_is_in_flight() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).timeout(secs(60)).build();
    let app = App::new("test").grace(secs(2));
    // It needs more than there is: the stop is asked late and gets little.
    app.add(producer.component());
    app.task("stubborn", |cx: winddown::RunCx| async move {
        cx.stopping().await;
        std::future::pending::<()>().await;
        Ok(())
    });
    let (handle, sender) = (app.handle(), producer.clone());
    let sends = tokio::spawn(async move {
        handle.wait_ready().await;
        let sends: Vec<_> = (0..3).map(|_| sender.try_send(message("x")).unwrap()).collect();
        handle.request_shutdown("now");
        sends
    });
    let report = testkit::run(&app).await;
    for send in sends.await.unwrap() {
        assert_eq!(send.await.unwrap_err().kind(), SendErrorKind::Cancelled);
    }
    assert_eq!(producer.stats().in_flight, 0);
    assert_eq!(report.component("producer").unwrap().outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn m4_it_can_be_stopped_and_started_again_by_itself() {
    let broker = Scripted::always(Answer::Yes);
    let producer = Producer::new(shared(&broker));
    let app = App::new("test");
    let id = app.add(producer.component()).id();
    app.task("idle", |cx: winddown::RunCx| async move {
        cx.stopping().await;
        Ok(())
    })
    .phase(Phase::TRACE);
    let (handle, sender) = (app.handle(), producer.clone());
    let test = tokio::spawn(async move {
        handle.wait_ready().await;
        sender.send(message("1")).await.unwrap();
        handle.stop(id).await.unwrap();
        assert_eq!(sender.send(message("2")).await.unwrap_err().kind(), SendErrorKind::Closed);
        handle.start(id).await.unwrap();
        sender.send(message("3")).await.unwrap();
        sender.enqueue(message("4")).await.unwrap().await.unwrap();
        handle.request_shutdown("over");
    });
    let report = testkit::run(&app).await;
    test.await.unwrap();
    assert_eq!(report.exit_code(), 0);
    assert_eq!(broker.bodies(), ["1", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn m4_added_twice_is_refused_when_planned() {
    let producer = Producer::new(shared(&Scripted::always(Answer::Yes)));
    let app = App::new("test");
    app.add(producer.component());
    app.add(producer.component()).named("again");
    assert!(app.plan().is_err());
}
