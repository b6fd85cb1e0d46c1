//! Which broker the service runs on: a file of its own, or a server. Each server's arm is there when its feature is built in.

use crate::files;
use anyhow::{Context, bail};
use std::path::Path;
use std::sync::Arc;
use winddown::messaging::{Backlog, Broker, BrokerError, SqliteBroker};

/// Queues or partitions of a topic, where it is made with a number of them: as many instances of the service can share the work on Kafka.
#[cfg(any(feature = "kafka", feature = "rocketmq"))]
const PARTS: u32 = 4;

/// The servers, by the names of their features.
const SERVERS: [(&str, bool); 4] = [
    ("rocketmq", cfg!(feature = "rocketmq")),
    ("kafka", cfg!(feature = "kafka")),
    ("rabbitmq", cfg!(feature = "rabbitmq")),
    ("nats", cfg!(feature = "nats")),
];

/// The broker that was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// An SQLite file in the data directory.
    #[default]
    File,
    /// A server, which any number of instances may share.
    Server { name: &'static str, url: String },
}

impl Chosen {
    /// From `--broker` and `--broker-url`. The error is for people.
    pub(crate) fn of(name: Option<&str>, url: Option<String>) -> Result<Chosen, String> {
        let name = name.unwrap_or("sqlite");
        if name == "sqlite" {
            return match url {
                None => Ok(Chosen::File),
                Some(_) => Err("--broker-url says where a server is: say with --broker which one it is".into()),
            };
        }
        let Some((name, built_in)) = SERVERS.into_iter().find(|(server, _)| *server == name) else {
            return Err(format!("--broker: there is no `{name}`, only sqlite, rocketmq, kafka, rabbitmq, nats"));
        };
        if !built_in {
            let command = format!("cargo run --release --features sqlite,{name} --example order_service -- --broker {name} --broker-url …");
            return Err(format!("--broker {name}: this program was built without it; `{command}` has it"));
        }
        let url = url.ok_or_else(|| format!("--broker {name} needs --broker-url, such as {}", example(name)))?;
        Ok(Chosen::Server { name, url })
    }

    /// As on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Chosen::File => "sqlite",
            Chosen::Server { name, .. } => name,
        }
    }

    /// Opens it. `make`: these topics are made where the server does not do so by itself.
    pub(crate) async fn open(&self, data: &Path, make: &[&str]) -> anyhow::Result<Opened> {
        match self {
            Chosen::File => {
                // It makes tables and syncs: not for a thread that runs tasks.
                let file = files::broker(data);
                let open = tokio::task::spawn_blocking(move || SqliteBroker::open(file));
                Ok(opened(open.await?.context("cannot open the broker")?))
            }
            Chosen::Server { name, url } => connect(name, url, make).await.with_context(|| format!("cannot use the broker at {}", bare(url))),
        }
    }
}

/// An open broker.
pub(crate) struct Opened {
    pub(crate) broker: Arc<dyn Broker>,
    /// RocketMQ does not tell a backlog as exactly as the trait wants it; what it tells does for an audit, which can look again.
    #[cfg(feature = "rocketmq")]
    rocketmq: Option<Arc<winddown::messaging::RocketMqBroker>>,
}

impl Opened {
    /// What a group has left to do in a topic.
    pub(crate) async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        #[cfg(feature = "rocketmq")]
        if let Some(rocketmq) = &self.rocketmq {
            return rocketmq.lag(group, topic).await.map(|waiting| Backlog { waiting, held: None });
        }
        self.broker.backlog(group, topic).await
    }
}

fn opened(broker: impl Broker) -> Opened {
    Opened {
        broker: Arc::new(broker),
        #[cfg(feature = "rocketmq")]
        rocketmq: None,
    }
}

async fn connect(name: &str, url: &str, make: &[&str]) -> anyhow::Result<Opened> {
    let _ = (url, make);
    match name {
        #[cfg(feature = "rocketmq")]
        "rocketmq" => {
            let broker = Arc::new(winddown::messaging::RocketMqBroker::connect(url).await?);
            for topic in make {
                broker.create_topic(topic, PARTS).await?;
            }
            Ok(Opened { broker: broker.clone(), rocketmq: Some(broker) })
        }
        #[cfg(feature = "kafka")]
        "kafka" => {
            let broker = winddown::messaging::KafkaBroker::builder(url).session_timeout(crate::assemble::LEASE).connect().await?;
            for topic in make {
                broker.create_topic(topic, PARTS).await?;
            }
            Ok(opened(broker))
        }
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => Ok(opened(winddown::messaging::RabbitMqBroker::connect(url).await?)),
        #[cfg(feature = "nats")]
        "nats" => Ok(opened(winddown::messaging::NatsBroker::connect(url).await?)),
        _ => bail!("there is no {name} in this program"),
    }
}

fn example(name: &str) -> &'static str {
    match name {
        "rocketmq" => "127.0.0.1:9876, the name servers",
        "kafka" => "127.0.0.1:9092",
        "rabbitmq" => "amqp://guest:guest@127.0.0.1:5672/%2f",
        _ => "nats://127.0.0.1:4222",
    }
}

/// Without the password that may be in it: this is printed.
fn bare(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://{}", &url[at + 1..]),
        (None, Some(at)) => url[at + 1..].to_owned(),
        _ => url.to_owned(),
    }
}
