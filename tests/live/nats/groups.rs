//! Whose a delivery is, and for how long.

use crate::kit::{self, collect, connect, one, receipts};
use crate::server::Server;
use std::time::Instant;
use winddown::messaging::nats::async_nats::jetstream::consumer::PullConsumer;
use winddown::messaging::{Broker, ErrorKind, Interest, Message, NatsBroker, TagFilter};
use winddown::{millis, secs};

/// Members may want different visibilities: the server's lease is the first one's, and the others' deliveries are renewed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_visibility_outlives_the_groups_short_lease() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("leases"));
    let short = Interest { visibility: millis(400), ..kit::interest("g", &topic) };
    let long = Interest { visibility: secs(3), ..short.clone() };
    let (hasty, patient) = (broker.subscribe(&short).await.unwrap(), broker.subscribe(&long).await.unwrap());
    broker.send(&Message::new(&*topic, "1"), None).await.unwrap();
    let held = one(&patient).await;
    let began = Instant::now();
    assert!(hasty.pull(1, millis(2_000)).await.unwrap().is_empty(), "another's after {:?}", began.elapsed());
    assert_eq!(patient.ack(&receipts(&[held])).await.unwrap().done, 1);

    // The other way round: the lease is long, and who wants it short gives it back in time.
    let topic = kit::name("leases");
    let interest = |visibility| Interest { visibility, ..kit::interest("g", &topic) };
    let (patient, hasty) = (broker.subscribe(&interest(secs(30))).await.unwrap(), broker.subscribe(&interest(millis(400))).await.unwrap());
    broker.send(&Message::new(&*topic, "1"), None).await.unwrap();
    let held = one(&hasty).await;
    let began = Instant::now();
    let again = one(&patient).await;
    assert!(began.elapsed() >= millis(395) && began.elapsed() < secs(3), "{:?}", began.elapsed());
    assert_eq!(again.attempt(), 2);
    assert_eq!(hasty.ack(&receipts(&[held])).await.unwrap().stale, 1);
    assert_eq!(patient.ack(&receipts(&[again])).await.unwrap().done, 1);
    broker.close().await.unwrap();
}

/// A process that dies says nothing: its share comes again after the lease, which is a little longer than the visibility.
#[test]
fn who_dies_without_a_word_is_found_out_by_the_lease() {
    let server = Server::up("nats");
    let (url, topic) = (server.url().to_owned(), kit::name("dead"));
    let interest = Interest { visibility: millis(800), ..kit::interest("g", &topic) };
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (dies, lives) = (runtime(), runtime());
    let (topic, dying) = (&*topic, &interest);
    let held = dies.block_on(async {
        let broker = NatsBroker::connect(&*url).await.unwrap();
        broker.send(&Message::new(topic, "1"), None).await.unwrap();
        let group = broker.subscribe(dying).await.unwrap();
        let held = one(&group).await;
        // Neither is dropped: nothing runs any more that could give it back.
        std::mem::forget((broker, group));
        held
    });
    let began = Instant::now();
    dies.shutdown_background();
    lives.block_on(async {
        let broker = NatsBroker::connect(&*url).await.unwrap();
        let group = broker.subscribe(&interest).await.unwrap();
        let again = one(&group).await;
        assert_eq!((again.message().id(), again.attempt()), (held.message().id(), 2));
        let took = began.elapsed();
        assert!(took > millis(700) && took < secs(4), "{took:?}");
        broker.close().await.unwrap();
    });
}

/// Order can be asked for later: the group keeps its place and has one message at a time from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_put_in_order_where_it_stands() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("order"));
    let interest = kit::interest("g", &topic);
    let free = broker.subscribe(&interest).await.unwrap();
    for number in 1..=3 {
        broker.send(&Message::new(&*topic, number.to_string()).with_ordered_key("k"), None).await.unwrap();
    }
    let first = collect(&free, 1).await;
    free.ack(&receipts(&first)).await.unwrap();
    free.close().await.unwrap();
    let ordered = broker.subscribe(&Interest { ordered: true, ..interest.clone() }).await.unwrap();
    for number in ["2", "3"] {
        let next = one(&ordered).await;
        assert_eq!(next.message().body().as_ref(), number.as_bytes());
        assert!(ordered.pull(5, millis(50)).await.unwrap().is_empty());
        ordered.ack(&receipts(&[next])).await.unwrap();
    }
    broker.close().await.unwrap();
}

/// However many there are that nobody of the group wants, a pull that does not wait finds the one that is wanted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_wanted_hides_nothing() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("tags"));
    let mut messages: Vec<_> = (0..50).map(|number| Message::new(&*topic, number.to_string()).with_tag("blue")).collect();
    messages.push(Message::new(&*topic, "wanted").with_tag("red"));
    for sent in broker.send_batch(&messages, None).await {
        sent.unwrap();
    }
    let interest = Interest { tags: TagFilter::any(["red"]), ..kit::interest("g", &topic) };
    let group = broker.subscribe(&interest).await.unwrap();
    let came = group.pull(10, millis(0)).await.unwrap();
    assert_eq!(came.iter().map(|delivery| delivery.message().body().as_ref()).collect::<Vec<_>>(), [b"wanted"]);
    group.ack(&receipts(&came)).await.unwrap();
    assert_eq!(broker.backlog(&interest.group, &topic).await.unwrap().total(), 0);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_consumer_was_deleted_is_told() {
    let server = Server::up("nats");
    let broker = NatsBroker::builder(server.url()).request_timeout(millis(500)).connect().await.unwrap();
    let topic = kit::name("deleted");
    let interest = kit::interest("g", &topic);
    let group = broker.subscribe(&interest).await.unwrap();
    let stream = kit::raw(server.url()).await.get_stream(&topic).await.unwrap();
    let waits = group.pull(1, secs(20));
    let deleted = async {
        tokio::time::sleep(millis(100)).await;
        stream.delete_consumer(&interest.group).await.unwrap();
    };
    let (pulled, ()) = kit::within(secs(5), "a pull of a deleted group", async { tokio::join!(waits, deleted) }).await;
    assert_eq!(pulled.unwrap_err().kind(), ErrorKind::UnknownGroup);
    assert_eq!(group.pull(1, secs(1)).await.unwrap_err().kind(), ErrorKind::UnknownGroup);
    let _: Result<PullConsumer, _> = stream.get_consumer(&interest.group).await;
    // Joined anew it is a new group.
    broker.send(&Message::new(&*topic, "1"), None).await.unwrap();
    one(&broker.subscribe(&interest).await.unwrap()).await;
    broker.close().await.unwrap();
}

/// Dropped with everything, not closed: the connection ends, and what was held is there for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_forgets_to_close_leaves_all_the_same() {
    let server = Server::up("nats");
    let topic = kit::name("forgotten");
    let interest = kit::interest("g", &topic);
    let forgetful = connect(&server).await;
    let group = forgetful.subscribe(&interest).await.unwrap();
    forgetful.send(&Message::new(&*topic, "1"), None).await.unwrap();
    one(&group).await;
    // The subscription is a handle too.
    drop(forgetful);
    assert!(group.pull(1, millis(50)).await.unwrap().is_empty());
    drop(group);
    kit::no_connection_is_left(server.url()).await;
    let broker = connect(&server).await;
    let again = one(&broker.subscribe(&interest).await.unwrap()).await;
    assert_eq!(again.attempt(), 2);
    broker.close().await.unwrap();
}
