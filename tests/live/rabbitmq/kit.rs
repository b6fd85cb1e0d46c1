//! What these tests are written with.

use std::sync::Arc;
use std::time::{Duration, Instant};
use winddown::messaging::rabbitmq::RabbitMqBroker;
use winddown::messaging::{Broker, Delivery, Interest, Message, MessageId, Receipt, Subscription};
use winddown::secs;

/// After this a new quorum queue survives a kill of the server.
pub(crate) const QUEUE_NOTED: Duration = secs(6);

pub(crate) type Member = Arc<dyn Subscription>;

/// A name that nobody used before.
pub(crate) fn fresh(label: &str) -> String {
    format!("r-{label}-{}", MessageId::new().to_string()[4..].to_lowercase())
}

pub(crate) async fn joined(broker: &RabbitMqBroker, group: &str, topic: &str) -> Member {
    broker.subscribe(&Interest::new(group, topic)).await.expect("joined")
}

pub(crate) fn receipt(delivery: &Delivery) -> &[Receipt] {
    std::slice::from_ref(delivery.receipt())
}

/// The next one, within ten seconds.
pub(crate) async fn one(member: &Member) -> Delivery {
    let began = Instant::now();
    while began.elapsed() < secs(10) {
        if let Some(delivery) = member.pull(1, secs(1)).await.expect("pulled").pop() {
            return delivery;
        }
    }
    panic!("nothing came")
}

/// So many, each acknowledged.
pub(crate) async fn handle(member: &Member, count: usize) -> Vec<Message> {
    let mut all = Vec::new();
    while all.len() < count {
        let came = member.pull(count - all.len(), secs(10)).await.expect("pulled");
        assert!(!came.is_empty(), "{} of {count} came, and no more", all.len());
        let receipts: Vec<_> = came.iter().map(|delivery| delivery.receipt().clone()).collect();
        assert_eq!(member.ack(&receipts).await.expect("acknowledged").done, receipts.len());
        all.extend(came.into_iter().map(Delivery::into_message));
    }
    all
}

pub(crate) async fn nothing(member: &Member, span: Duration) {
    let came = member.pull(10, span).await.expect("pulled");
    assert!(came.is_empty(), "{came:?} came");
}
