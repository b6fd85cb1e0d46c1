//! What librdkafka tells without being asked: log lines and errors of its connections.

use super::super::{BrokerError, ErrorKind};
use super::fault;
use crate::sync::{Mutex, lock};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;
use std::sync::Arc;
use tokio::sync::Notify;

/// The last error of a client's connections, for those whose own answer is just that there was none.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    last: Mutex<Option<BrokerError>>,
    /// Somebody turned us away: no need to wait any longer.
    refused: Notify,
}

impl Alarm {
    pub(super) fn ring(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let error = code.map_or_else(|| fault::of(error), |code| fault::of_code(code, reason));
        let refused = error.kind() == ErrorKind::Unauthorised;
        let mut last = lock(&self.last);
        // "All brokers are down" follows on the reason why, and says less.
        if refused || last.as_ref().is_none_or(|last| last.kind() != ErrorKind::Unauthorised) {
            *last = Some(error);
        }
        drop(last);
        if refused {
            self.refused.notify_one();
        }
    }

    pub(super) fn last(&self) -> Option<BrokerError> {
        lock(&self.last).clone()
    }

    /// Turned away, with what was said.
    pub(super) async fn refused(&self) -> BrokerError {
        loop {
            self.refused.notified().await;
            if let Some(error) = self.last() {
                return error;
            }
        }
    }
}

/// The context of the producer and of clients for single questions.
#[derive(Clone, Debug)]
pub(super) struct Quiet(pub(super) Arc<Alarm>);

impl ClientContext for Quiet {
    fn log(&self, level: Level, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.ring(&error, reason);
        tracing::debug!(target: "winddown::kafka", %error, reason, "a connection");
    }
}

/// The library's lines go where all others go. What matters of them is told by errors; so none is louder than a warning.
pub(super) fn log(level: Level, facility: &str, text: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            tracing::warn!(target: "winddown::kafka", facility, "{text}");
        }
        Level::Notice | Level::Info => tracing::info!(target: "winddown::kafka", facility, "{text}"),
        Level::Debug => tracing::debug!(target: "winddown::kafka", facility, "{text}"),
    }
}
