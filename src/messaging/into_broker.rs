//! Whatever can be taken for a broker.

use super::{Broker, OpenBroker};
use std::sync::Arc;

/// What producers, consumers and exporters are made for: a broker, owned, shared, or [opened](super::open_broker) as a resource.
pub trait IntoBroker {
    /// The broker, shared.
    fn into_broker(self) -> Arc<dyn Broker>;
}

impl<B: Broker> IntoBroker for B {
    fn into_broker(self) -> Arc<dyn Broker> {
        Arc::new(self)
    }
}

impl<B: Broker> IntoBroker for Arc<B> {
    fn into_broker(self) -> Arc<dyn Broker> {
        self
    }
}

impl IntoBroker for Arc<dyn Broker> {
    fn into_broker(self) -> Arc<dyn Broker> {
        self
    }
}

impl IntoBroker for &Arc<dyn Broker> {
    fn into_broker(self) -> Arc<dyn Broker> {
        self.clone()
    }
}

impl IntoBroker for OpenBroker {
    fn into_broker(self) -> Arc<dyn Broker> {
        self.broker
    }
}

impl IntoBroker for &OpenBroker {
    fn into_broker(self) -> Arc<dyn Broker> {
        self.broker.clone()
    }
}
