//! A broker that fails as told.

use super::gate::Gate;
use super::subscription::FaultySubscription;
use super::{Fate, Faults};
use crate::messaging::{
    Backlog, Broker, BrokerError, Class, ErrorKind, Interest, IntoBroker, Limits, Message, Route, Routes, SendReceipt, Subscription,
};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Stands in front of any broker and makes its calls fail, as [`Faults`] say. What the broker behind it holds is never lost.
///
/// Closing is never hindered, except that a subscription cannot leave its group while the broker is stalled or down.
///
/// ```
/// use std::sync::Arc;
/// use winddown::messaging::{Broker, Class, Faults, FaultyBroker, MemoryBroker, Message};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let memory = MemoryBroker::new();
/// let broker = FaultyBroker::new(Arc::new(memory.clone()), Faults::new().ambiguous(1.0));
/// let error = broker.send(&Message::new("orders", "two pumps"), None).await.unwrap_err();
/// assert_eq!((error.class(), memory.depth("orders")), (Class::RetryableAmbiguous, 1));
/// # });
/// ```
#[derive(Clone)]
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    name: Arc<str>,
    faults: Faults,
    closed: CancellationToken,
}

impl FaultyBroker {
    /// These faults in front of that broker.
    pub fn new(broker: impl IntoBroker, faults: Faults) -> FaultyBroker {
        let inner = broker.into_broker();
        FaultyBroker { name: inner.name().into(), inner, faults, closed: CancellationToken::new() }
    }

    /// The faults, to change them.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn gate(&self, route: Option<&Route>) -> Gate<'_> {
        Gate::new(&self.name, &self.closed, &self.faults, route.map(Route::name))
    }
}

/// A request, as far as it goes: carried out, or not, and with which error instead of its answer.
async fn send<T>(gate: &Gate<'_>, request: impl Future<Output = T>) -> Result<(Option<T>, Option<BrokerError>), BrokerError> {
    let fate = gate.draw(true);
    gate.through(async {
        match fate {
            Fate::Fine => (Some(request.await), None),
            Fate::Busy => (None, Some(gate.error(ErrorKind::Busy, "[TIMEOUT_CLEAN_QUEUE] not carried out (a fault on demand)").with_code(2))),
            Fate::Lost => (None, Some(gate.lost())),
            Fate::Unanswered => (Some(request.await), Some(gate.lost())),
            Fate::Ambiguous => {
                let unknown = gate.error(ErrorKind::TimedOut, "no answer came (a fault on demand)").with_class(Class::RetryableAmbiguous);
                (Some(request.await), Some(unknown))
            }
        }
    })
    .await
}

#[async_trait]
impl Broker for FaultyBroker {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn routes(&self, topic: &str) -> Routes {
        self.inner.routes(topic)
    }

    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        match send(&self.gate(route), self.inner.send(message, route)).await? {
            // What was refused for good reasons stays refused.
            (Some(Err(error)), _) | (_, Some(error)) => Err(error),
            (Some(Ok(receipt)), None) => Ok(receipt),
            (None, None) => Err(self.gate(route).lost()),
        }
    }

    async fn send_batch(&self, messages: &[Message], route: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        match send(&self.gate(route), self.inner.send_batch(messages, route)).await {
            Ok((Some(answers), None)) => answers,
            Ok((Some(answers), Some(error))) => answers.into_iter().map(|answer| answer.and(Err(error.clone()))).collect(),
            Ok((None, Some(error))) | Err(error) => vec![Err(error); messages.len()],
            Ok((None, None)) => vec![Err(self.gate(route).lost()); messages.len()],
        }
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        let gate = self.gate(None);
        // An answer that gets lost would leave a member behind that nobody can reach: it is lost before.
        if gate.draw(false) != Fate::Fine {
            return gate.through(async { Err(gate.lost()) }).await?;
        }
        let inner = gate.through(self.inner.subscribe(interest)).await??;
        Ok(Arc::new(FaultySubscription::new(inner, self.name.clone(), self.faults.clone(), self.closed.child_token())))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        self.gate(None).through(self.inner.backlog(group, topic)).await?
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.closed.cancel();
        self.inner.close().await
    }
}

impl fmt::Debug for FaultyBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyBroker").field("name", &self.name).field("faults", &self.faults.to_string()).finish_non_exhaustive()
    }
}
