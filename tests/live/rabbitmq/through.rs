//! The ordeals of every broker, with producers and consumers in an app.

use super::ordeals::{self, Site};
use super::server::Server;
use std::sync::Arc;
use winddown::async_trait;
use winddown::messaging::Broker;
use winddown::messaging::rabbitmq::RabbitMqBroker;

struct Rabbit(String);

#[async_trait]
impl Site for Rabbit {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(RabbitMqBroker::connect(&self.0).await.expect("the server is up"))
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
    ordeals::a_kill(&Rabbit(server.url().to_owned()), &server).await;
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
