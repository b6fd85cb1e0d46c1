//! The server's queue: fast failure, overload, and that what is turned away was not executed.

use super::*;
use futures_util::future::join_all;

fn slow(service: Duration, queue: usize) -> MemoryBroker {
    MemoryBroker::builder().service_time(service).queue(queue).build()
}

async fn send_at_once(broker: &MemoryBroker, count: usize) -> Vec<(Result<SendReceipt, BrokerError>, Duration)> {
    let began = Instant::now();
    join_all((0..count).map(|_| async {
        let answer = broker.send(&message("x"), None).await;
        (answer, began.elapsed())
    }))
    .await
}

#[tokio::test(start_paused = true)]
async fn m2_what_waits_for_more_than_200_ms_is_turned_away_unexecuted() {
    let broker = slow(millis(50), 100);
    let answers = send_at_once(&broker, 10).await;
    // Served: one after the other, 50 ms each. The scan at 210 ms is the first that finds somebody who waited for more than 200 ms; until then
    // four are done, and the fifth is being served.
    let served: Vec<_> = answers.iter().filter(|(answer, _)| answer.is_ok()).map(|(_, at)| at.as_millis()).collect();
    assert_eq!(served, [50, 100, 150, 200, 250]);
    for (error, at) in answers.iter().filter_map(|(answer, at)| Some((answer.as_ref().err()?, at))) {
        assert_eq!((error.kind(), error.class(), error.code(), at.as_millis()), (ErrorKind::Busy, Class::RetryableSafe, Some(2), 210));
        assert!(error.text().starts_with("[TIMEOUT_CLEAN_QUEUE]"), "{error}");
    }
    assert_eq!((broker.depth("t"), broker.queued()), (5, 0), "stored is what was answered with yes");
}

#[tokio::test(start_paused = true)]
async fn m2_a_full_queue_turns_away_at_once() {
    let broker = slow(millis(10), 3);
    let answers = send_at_once(&broker, 6).await;
    let refused: Vec<_> = answers.iter().filter_map(|(answer, at)| Some((answer.as_ref().err()?, at))).collect();
    assert_eq!(refused.len(), 2, "one is served, three wait");
    assert!(refused.iter().all(|(error, at)| error.kind() == ErrorKind::Busy && error.code() == Some(2) && at.is_zero()));
    assert_eq!(broker.depth("t"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_server_turns_away_and_recovers() {
    let broker = MemoryBroker::new();
    broker.stall(true);
    let answers = send_at_once(&broker, 3).await;
    assert!(answers.iter().all(|(answer, at)| answer.is_err() && at.as_millis() == 210));
    let sending = tokio::spawn({
        let broker = broker.clone();
        async move { broker.send(&message("y"), None).await }
    });
    tokio::time::sleep(millis(100)).await;
    assert_eq!(broker.queued(), 1);
    broker.stall(false);
    sending.await.unwrap().unwrap();
    assert_eq!((broker.depth("t"), broker.queued()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_drops_a_send_leaves_the_queue() {
    let broker = slow(millis(40), 100);
    let (a, b, c) = (message("a"), message("b"), message("c"));
    let first = tokio::time::timeout(millis(10), broker.send(&a, None));
    let second = tokio::time::timeout(millis(20), broker.send(&b, None));
    let third = broker.send(&c, None);
    let (first, second, third) = tokio::join!(first, second, third);
    assert!(first.is_err() && second.is_err() && third.is_ok());
    assert_eq!((broker.queued(), bodies_of(&broker)), (0, vec!["c".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn close_ends_what_waits() {
    let broker = slow(secs(1), 100);
    let closing = async {
        tokio::time::sleep(millis(50)).await;
        broker.close().await
    };
    let (answers, closed) = tokio::join!(send_at_once(&broker, 3), closing);
    closed.unwrap();
    assert!(answers.iter().all(|(answer, at)| answer.as_ref().unwrap_err().kind() == ErrorKind::Closed && at.as_millis() == 50));
    assert_eq!((broker.depth("t"), broker.queued()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_faster_than_the_timers_keeps_its_rate() {
    let broker = slow(Duration::from_micros(50), 10_000);
    let began = Instant::now();
    let answers = send_at_once(&broker, 2000).await;
    assert!(answers.iter().all(|(answer, _)| answer.is_ok()));
    assert!(began.elapsed() <= millis(102), "2000 × 50 µs, however coarse the timers: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_request_and_answers_in_order() {
    let broker = slow(millis(10), 100);
    let large = Message::new("t", vec![0; 5 << 20]);
    let batch = [message("1"), large, Message::new("", "no topic"), message("2")];
    let began = Instant::now();
    let answers = broker.send_batch(&batch, None).await;
    assert_eq!(began.elapsed(), millis(10));
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(BrokerError::kind)).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::TooLarge), Some(ErrorKind::Invalid), None]);
    assert_eq!(bodies_of(&broker), ["1", "2"]);
}

fn bodies_of(broker: &MemoryBroker) -> Vec<String> {
    broker.messages("t").iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}
