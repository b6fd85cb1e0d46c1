//! Each fault strikes as said, in the class that is true, and takes nothing away for good.

use super::*;
use crate::messaging::{Broker, BrokerError, Class, Delivery, ErrorKind, Interest, MemoryBroker, Message, Receipt, Route, Subscription};
use crate::{millis, secs};
use tokio::time::{Instant, sleep, timeout};

fn message(body: &str) -> Message {
    Message::new("t", body.to_owned())
}

fn with(faults: &Faults) -> (MemoryBroker, FaultyBroker) {
    let memory = MemoryBroker::new();
    (memory.clone(), FaultyBroker::new(Arc::new(memory), faults.clone()))
}

async fn join(broker: &dyn Broker) -> Arc<dyn Subscription> {
    broker.subscribe(&Interest { visibility: secs(5), ..Interest::new("g", "t") }).await.unwrap()
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt().clone()).collect()
}

fn told<T>(answer: &Result<T, BrokerError>) -> Option<(ErrorKind, Class)> {
    answer.as_ref().err().map(|error| (error.kind(), error.class()))
}

#[tokio::test(start_paused = true)]
async fn m2_each_fault_of_a_send_has_the_class_that_is_true() {
    let faults = Faults::new().busy(0.2).disconnect(0.2).ambiguous(0.2);
    let (memory, broker) = with(&faults);
    let (mut stored, mut seen) = (0, BTreeMap::new());
    for _ in 0..2000 {
        let before = memory.depth("t");
        let answer = broker.send(&message("x"), None).await;
        let was_stored = memory.depth("t") > before;
        stored += usize::from(was_stored);
        *seen.entry(format!("{:?} {was_stored}", told(&answer))).or_insert(0) += 1;
    }
    let kinds: Vec<_> = seen.keys().map(String::as_str).collect();
    let wanted = [
        "None true",
        "Some((Busy, RetryableSafe)) false",
        "Some((Disconnected, RetryableAmbiguous)) false",
        "Some((Disconnected, RetryableAmbiguous)) true",
        "Some((TimedOut, RetryableAmbiguous)) true",
    ];
    assert_eq!(kinds, wanted, "{seen:?}");
    let counts = faults.counts();
    assert_eq!((counts.calls, counts.busy), (2000, seen[wanted[1]] as u64));
    assert!((300..500).contains(&counts.busy) && (300..500).contains(&counts.disconnected) && (300..500).contains(&counts.ambiguous), "{counts:?}");
    assert_eq!(stored, memory.depth("t"));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let (_, broker) = with(&Faults::new().busy(0.3).ambiguous(0.3).seed(seed));
        let mut answers = Vec::new();
        for _ in 0..100 {
            answers.push(told(&broker.send(&message("x"), None).await));
        }
        runs.push(answers);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_stays_refused() {
    let memory = MemoryBroker::builder().topics(["t"]).build();
    let broker = FaultyBroker::new(Arc::new(memory), Faults::new().ambiguous(1.0));
    assert_eq!(told(&broker.send(&Message::new("u", ""), None).await), Some((ErrorKind::UnknownTopic, Class::Fatal)));
    let answers = broker.send_batch(&[message("1"), Message::new("u", "")], None).await;
    assert_eq!(answers.iter().map(told).collect::<Vec<_>>()[1], Some((ErrorKind::UnknownTopic, Class::Fatal)));
    assert_eq!(told(&answers[0]), Some((ErrorKind::TimedOut, Class::RetryableAmbiguous)));
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_loses_its_connection_has_taken_nothing() {
    let faults = Faults::new();
    let (memory, broker) = with(&faults);
    let member = join(&broker).await;
    broker.send(&message("1"), None).await.unwrap();
    faults.disconnect(1.0);
    for _ in 0..20 {
        assert_eq!(told(&member.pull(1, secs(1)).await), Some((ErrorKind::Disconnected, Class::RetryableAmbiguous)));
        assert_eq!(memory.in_flight("t", "g"), 0);
    }
    faults.disconnect(0.0);
    assert_eq!(member.pull(1, secs(1)).await.unwrap()[0].attempt(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_settlements_that_lose_their_connection_are_carried_out() {
    let faults = Faults::new();
    let (memory, broker) = with(&faults);
    let member = join(&broker).await;
    let mut acked = 0;
    for _ in 0..200 {
        broker.send(&message("1"), None).await.unwrap();
        let taken = member.pull(1, secs(1)).await.unwrap();
        faults.disconnect(1.0);
        assert!(member.ack(&receipts(&taken)).await.is_err());
        faults.disconnect(0.0);
        acked += usize::from(memory.depth("t") == 0);
        member.ack(&receipts(&taken)).await.unwrap();
    }
    assert!((70..130).contains(&acked), "{acked}");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_the_same_delivery_again_and_never_more_than_asked_for() {
    let faults = Faults::new().duplicate(1.0);
    let (_, broker) = with(&faults);
    let member = join(&broker).await;
    broker.send_batch(&[message("1"), message("2"), message("3")], None).await;
    let mut all = Vec::new();
    for max in [2, 2, 2, 2] {
        let taken = member.pull(max, secs(1)).await.unwrap();
        assert!(taken.len() <= max);
        all.extend(taken.into_iter().map(|delivery| (String::from_utf8(delivery.message().body().to_vec()).unwrap(), delivery)));
    }
    let bodies: Vec<_> = all.iter().map(|(body, _)| body.as_str()).collect();
    assert_eq!(bodies, ["1", "2", "1", "2", "3", "3"]);
    assert_eq!(faults.counts().duplicated, 3);
    let receipts: Vec<_> = all.iter().map(|(_, delivery)| delivery.receipt().clone()).collect();
    let settled = member.ack(&receipts).await.unwrap();
    assert_eq!((settled.done, settled.stale), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn slow_is_that_much_later_for_everything() {
    let (_, broker) = with(&Faults::new().slow(millis(30)));
    let began = Instant::now();
    let member = join(&broker).await;
    broker.send(&message("1"), None).await.unwrap();
    let taken = member.pull(1, secs(1)).await.unwrap();
    let receipt = member.extend(taken[0].receipt(), secs(5)).await.unwrap();
    member.nack(std::slice::from_ref(&receipt), Duration::ZERO).await.unwrap();
    member.ack(&[receipt]).await.unwrap();
    member.commit().await.unwrap();
    assert_eq!(began.elapsed(), millis(7 * 30));
}

#[tokio::test(start_paused = true)]
async fn m2_down_is_refused_safely_and_cuts_off_what_is_under_way() {
    let faults = Faults::new();
    let (memory, broker) = with(&faults);
    let member = join(&broker).await;
    let cut = async {
        sleep(secs(1)).await;
        faults.down(true);
    };
    let (pulled, ()) = tokio::join!(member.pull(1, secs(60)), cut);
    assert_eq!(told(&pulled).unwrap().0, ErrorKind::Disconnected);
    let refused = Some((ErrorKind::Disconnected, Class::RetryableSafe));
    assert_eq!(told(&broker.send(&message("1"), None).await), refused);
    assert_eq!(told(&broker.send_batch(&[message("1")], None).await[0]), refused);
    assert_eq!(told(&member.pull(1, secs(1)).await), refused);
    assert_eq!(told(&member.ack(&[Receipt::numbers(0, 1)]).await), refused);
    assert_eq!(told(&member.commit().await), refused);
    assert_eq!(told(&broker.subscribe(&Interest::new("g", "t")).await), refused);
    assert_eq!((memory.depth("t"), faults.counts().down), (0, 7));
    faults.down(false);
    broker.send(&message("1"), None).await.unwrap();
    assert_eq!(member.pull(1, secs(1)).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn m2_a_send_that_is_cut_off_inside_the_broker_is_ambiguous() {
    let faults = Faults::new();
    let memory = MemoryBroker::builder().service_time(secs(1)).build();
    let broker = FaultyBroker::new(Arc::new(memory), faults.clone());
    let message = message("1");
    let cut = async {
        sleep(millis(100)).await;
        faults.down(true);
    };
    let (answer, ()) = tokio::join!(broker.send(&message, None), cut);
    assert_eq!(told(&answer), Some((ErrorKind::Disconnected, Class::RetryableAmbiguous)));
}

#[tokio::test(start_paused = true)]
async fn stalled_answers_nobody_until_it_is_over() {
    let faults = Faults::new();
    let (memory, broker) = with(&faults);
    let member = join(&broker).await;
    let (one, two) = (message("1"), message("2"));
    let began = Instant::now();
    let story = async {
        sleep(secs(1)).await;
        faults.stalled(true);
        memory.send(&one, None).await.unwrap();
        assert!(timeout(secs(10), broker.send(&two, None)).await.is_err());
        assert_eq!((memory.depth("t"), memory.in_flight("t", "g")), (1, 0), "what waits in a pull takes nothing meanwhile");
        faults.stalled(false);
    };
    let (pulled, ()) = tokio::join!(member.pull(9, secs(60)), story);
    assert_eq!((pulled.unwrap().len(), began.elapsed()), (1, secs(11)));
    assert_eq!(faults.counts().stalled, 2);
}

#[tokio::test(start_paused = true)]
async fn close_ends_what_is_stalled() {
    let faults = Faults::new();
    let (_, broker) = with(&faults);
    let member = join(&broker).await;
    faults.stalled(true);
    assert!(timeout(secs(10), member.close()).await.is_err(), "the broker cannot be told");
    let one = message("1");
    let closing = async {
        sleep(secs(1)).await;
        broker.close().await
    };
    let (sent, pulled, closed) = tokio::join!(broker.send(&one, None), member.pull(1, secs(60)), closing);
    assert_eq!((told(&sent).unwrap().0, told(&pulled).unwrap().0), (ErrorKind::Closed, ErrorKind::Closed));
    closed.unwrap();
    member.close().await.unwrap();
    member.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_could_not_be_closed_is_closed_nevertheless() {
    let faults = Faults::new();
    let (memory, broker) = with(&faults);
    let member = join(&broker).await;
    broker.send(&message("1"), None).await.unwrap();
    member.pull(1, secs(1)).await.unwrap();
    faults.down(true);
    assert!(member.close().await.is_err());
    faults.down(false);
    assert_eq!(told(&member.pull(1, secs(1)).await).unwrap().0, ErrorKind::Closed);
    sleep(secs(5)).await;
    assert_eq!((memory.in_flight("t", "g"), memory.pending("t", "g")), (0, 1), "its visibility is over");
}

#[tokio::test(start_paused = true)]
async fn a_routes_faults_are_its_own() {
    let faults = Faults::new();
    let memory = MemoryBroker::builder().routes(["a", "b"]).build();
    let broker = FaultyBroker::new(Arc::new(memory), faults.clone());
    faults.route("b").down(true);
    let (a, b) = (Route::new("a"), Route::new("b"));
    assert!(broker.send(&message("1"), Some(&a)).await.is_ok());
    assert_eq!(told(&broker.send(&message("1"), Some(&b)).await), Some((ErrorKind::Disconnected, Class::RetryableSafe)));
    faults.route("b").down(false).busy(1.0);
    assert_eq!(told(&broker.send(&message("1"), Some(&b)).await), Some((ErrorKind::Busy, Class::RetryableSafe)));
    assert_eq!((faults.counts().busy, faults.route("b").counts().busy), (0, 1));
    assert_eq!(broker.routes("t").len(), 2);
}

#[test]
fn a_text_is_read_and_shown() {
    let text = "busy=0.25,disconnect=0.01,slow=1500us,down,ambiguous@b=1,slow@b=20ms,stalled@c";
    assert_eq!(Faults::parse(text).unwrap().to_string(), text);
    assert_eq!(" down = true , busy @ b = 0.5,seed=9 ".parse::<Faults>().unwrap().to_string(), "down,busy@b=0.5");
    for nothing in ["", " ", ",", "none", "down=false", "busy=0"] {
        assert_eq!(Faults::parse(nothing).unwrap().to_string(), "none", "{nothing:?}");
    }
    for (wrong, said) in [
        ("fast=1", "there is no fault `fast`"),
        ("busy", "the fault `busy` needs a probability"),
        ("busy=-1", "`-1` does not fit the fault `busy`"),
        ("busy=NaN", "`NaN` does not fit"),
        ("slow=5", "`5` does not fit the fault `slow`: it needs a time"),
        ("down=0.5", "`0.5` does not fit the fault `down`"),
        ("seed=-1", "it needs a whole number"),
        ("@b=1", "there is no fault ``"),
    ] {
        let error = Faults::parse(wrong).unwrap_err().to_string();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}

#[test]
fn what_is_no_probability_becomes_one() {
    assert_eq!(Faults::new().busy(7.0).disconnect(-1.0).ambiguous(f64::NAN).to_string(), "busy=1");
}
