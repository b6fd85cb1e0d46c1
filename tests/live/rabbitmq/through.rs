//! The ordeals of every broker, with producers and consumers in an app.

use super::kit::QUEUE_NOTED;
use super::ordeals::{self, Site};
use super::server::Server;
use std::sync::Arc;
use tokio::time::sleep;
use winddown::async_trait;
use winddown::messaging::rabbitmq::RabbitMqBroker;
use winddown::messaging::{Broker, Interest};

struct Rabbit(String);

#[async_trait]
impl Site for Rabbit {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(RabbitMqBroker::connect(&self.0).await.expect("the server is up"))
    }
}

/// Where the server is killed: the group's queue is made before, long enough to survive it.
struct Old(Rabbit);

#[async_trait]
impl Site for Old {
    async fn broker(&self) -> Arc<dyn Broker> {
        self.0.broker().await
    }
    async fn make_topic(&self, name: &str) {
        let Some(rest) = name.strip_prefix("o-") else { return };
        let broker = self.broker().await;
        let member = broker.subscribe(&Interest::new(format!("g-{rest}"), name)).await.expect("joined");
        sleep(QUEUE_NOTED).await;
        member.close().await.expect("left");
        broker.close().await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_the_stop_drains() {
    let server = Server::up("rabbitmq");
    ordeals::the_stop_drains(&Rabbit(server.url().to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l2_the_stop_hands_back() {
    let server = Server::up("rabbitmq");
    ordeals::the_stop_hands_back(&Rabbit(server.url().to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l3_a_kill() {
    let server = Server::up("rabbitmq");
    ordeals::a_kill(&Old(Rabbit(server.url().to_owned())), &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l4_a_pause() {
    let server = Server::up("rabbitmq");
    ordeals::a_pause(&Rabbit(server.url().to_owned()), &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l5_cut_connections() {
    let server = Server::up("rabbitmq");
    ordeals::cut_connections(&Rabbit(server.url().to_owned()), &server).await;
}
