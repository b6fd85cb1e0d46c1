//! The ordeals on every server: RocketMQ, Kafka, RabbitMQ, NATS. Each starts its server, and has it alone.

#[allow(unreachable_pub, reason = "a file that several tests share")]
mod ordeals;
#[allow(unreachable_pub, reason = "a file that several tests share")]
mod server;

use ordeals::Site;
use server::Server;
use std::sync::Arc;
use std::time::Duration;
use winddown::messaging::{Broker, Interest, KafkaBroker, NatsBroker, RabbitMqBroker, RocketMqBroker};
use winddown::{async_trait, secs};

struct Nats(String);

#[async_trait]
impl Site for Nats {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::connect(&self.0).await.expect("the server is up"))
    }
}

struct RabbitMq(String);

#[async_trait]
impl Site for RabbitMq {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(RabbitMqBroker::connect(&self.0).await.expect("the server is up"))
    }
    /// Where the server is going to be killed, the group's queue is made before and gets old enough to survive it: see the traps in docs/rabbitmq.md.
    async fn make_topic(&self, name: &str) {
        let Some(rest) = name.strip_prefix("o-kill-") else { return };
        let broker = self.broker().await;
        let member = broker.subscribe(&Interest::new(format!("g-kill-{rest}"), name)).await.expect("joined");
        tokio::time::sleep(secs(6)).await;
        member.close().await.expect("left");
        broker.close().await.expect("closed");
    }
}

struct RocketMq(String);

#[async_trait]
impl Site for RocketMq {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(RocketMqBroker::connect(&self.0).await.expect("the server is up"))
    }
    async fn make_topic(&self, name: &str) {
        RocketMqBroker::connect(&self.0).await.expect("the server is up").create_topic(name, 4).await.expect("a topic can be made");
    }
    /// What is given back at once comes after two seconds and more: the broker looks for it once a second.
    fn handover(&self) -> Duration {
        secs(6)
    }
}

struct Kafka(String);

#[async_trait]
impl Site for Kafka {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(KafkaBroker::connect(&self.0).await.expect("the server is up"))
    }
    async fn make_topic(&self, name: &str) {
        KafkaBroker::connect(&self.0).await.expect("the server is up").create_topic(name, 4).await.expect("a topic can be made");
    }
    /// What a member holds goes with its partitions, when it leaves.
    fn any_member(&self) -> bool {
        false
    }
    fn handover(&self) -> Duration {
        secs(10)
    }
}

macro_rules! ordeals {
    ($($module:ident $name:literal $site:ident;)+) => {$(
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn l1_a_stop_drains_what_was_accepted() {
                let server = Server::up($name);
                ordeals::the_stop_drains(&$site(server.url().into())).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn l2_a_stop_hands_back_what_was_not_begun() {
                let server = Server::up($name);
                ordeals::the_stop_hands_back(&$site(server.url().into())).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn l3_nothing_is_lost_when_the_server_is_killed() {
                let server = Server::up($name);
                ordeals::a_kill(&$site(server.url().into()), &server).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn l4_nothing_is_lost_when_the_server_stands_still() {
                let server = Server::up($name);
                ordeals::a_pause(&$site(server.url().into()), &server).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn l5_nothing_is_lost_when_connections_are_cut() {
                let server = Server::up($name);
                ordeals::cut_connections(&$site(server.url().into()), &server).await;
            }
        }
    )+};
}

ordeals! {
    rocketmq "rocketmq" RocketMq;
    kafka "kafka" Kafka;
    rabbitmq "rabbitmq" RabbitMq;
    nats "nats" Nats;
}
