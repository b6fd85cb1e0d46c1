//! Asks a server how much it has left to do.

use crate::assemble::{DEAD, GRAVEYARD, GROUP};
use crate::brokers::{Chosen, Opened};
use crate::order::TOPIC;
use anyhow::Context;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use winddown::messaging::{Backlog, BrokerError, ErrorKind};

/// How long the broker may take to answer.
const WITHIN: Duration = Duration::from_secs(15);

/// A connection to the server that the services share.
pub(crate) struct Inquiry {
    runtime: Runtime,
    opened: Opened,
}

impl Inquiry {
    /// Nothing where the broker is a file, which tells more by itself.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) fn of(chosen: &Chosen) -> anyhow::Result<Option<Inquiry>> {
        if *chosen == Chosen::File {
            return Ok(None);
        }
        // Some clients work in tasks of their own, which must go on between two questions.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot make a runtime")?;
        let opened = runtime.block_on(async { timeout(WITHIN, chosen.open(Path::new(""), &[])).await });
        let opened = opened.with_context(|| format!("no connection to the broker within {WITHIN:?}"))??;
        Ok(Some(Inquiry { runtime, opened }))
    }

    /// What it has left to do: orders first, dead letters after them, so that an order that becomes one in between is in either count.
    pub(crate) fn left(&self) -> anyhow::Result<u64> {
        let both = async {
            let orders = self.backlog(GROUP, TOPIC).await?;
            let dead = self.backlog(GRAVEYARD, DEAD).await?;
            Ok(orders.total() + dead.total())
        };
        let asked = self.runtime.block_on(async { timeout(WITHIN, both).await });
        let answered = asked.with_context(|| format!("no answer of the broker within {WITHIN:?}"))?;
        answered.map_err(|error: BrokerError| anyhow::Error::from(error).context("the broker does not say what it has left to do"))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        match self.opened.backlog(group, topic).await {
            // No service got as far as making it: there is nothing in it.
            Err(error) if matches!(error.kind(), ErrorKind::UnknownTopic | ErrorKind::UnknownGroup) => Ok(Backlog::default()),
            told => told,
        }
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(async { timeout(WITHIN, self.opened.broker.close()).await });
    }
}
