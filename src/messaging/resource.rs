//! A broker as a resource of an app: opened in set-up, closed when every component is terminal.

use super::Broker;
use crate::{App, Resource};
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

/// Opens a broker as a [resource](App::resource) of the app: it is closed after every component is terminal, so nobody sends, pulls or
/// acknowledges through a closed one.
///
/// Producers, consumers and exporters take it as `&broker`. Say [`uses`](crate::Added::uses) with [`resource`](OpenBroker::resource) for components that
/// may have to be abandoned: then it is left open for them instead.
///
/// # Errors
/// The future's own; or the run has begun already.
///
/// ```
/// use winddown::messaging::{self, Consumer, HandlerCx, MemoryBroker, Producer};
///
/// # async fn set_up(app: winddown::App) -> anyhow::Result<()> {
/// let broker = messaging::open_broker(&app, "broker", async { anyhow::Ok(MemoryBroker::new()) }).await?;
/// let producer = Producer::new(&broker);
/// app.add(producer.component());
/// app.add(Consumer::new(&broker, "billing", "orders", |_: HandlerCx| async { Ok(()) })).uses(broker.resource());
/// # Ok(()) }
/// ```
pub async fn open_broker<B, E, F>(app: &App, name: impl Into<String>, open: F) -> anyhow::Result<OpenBroker>
where
    B: Broker,
    E: Into<anyhow::Error>,
    F: Future<Output = Result<B, E>> + Send + 'static,
{
    let opened = async move { open.await.map(|broker| Arc::new(broker) as Arc<dyn Broker>).map_err(Into::into) };
    let close = |broker: Arc<Arc<dyn Broker>>| async move { Ok(broker.close().await?) };
    let resource = app.resource::<_, anyhow::Error, _>(name, opened).destroy_with(close).await?;
    let broker = Arc::clone(&*resource.lease("messaging")?);
    Ok(OpenBroker { broker, resource })
}

/// A broker that an app opened and will close; see [`open_broker`]. Cheap to clone.
#[derive(Clone)]
pub struct OpenBroker {
    pub(super) broker: Arc<dyn Broker>,
    resource: Resource<Arc<dyn Broker>>,
}

impl OpenBroker {
    /// The resource, for [`uses`](crate::Added::uses).
    pub fn resource(&self) -> &Resource<Arc<dyn Broker>> {
        &self.resource
    }
}

impl Deref for OpenBroker {
    type Target = Arc<dyn Broker>;

    fn deref(&self) -> &Arc<dyn Broker> {
        &self.broker
    }
}

impl fmt::Debug for OpenBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenBroker").field("broker", &self.broker.name()).field("resource", &self.resource.name()).finish()
    }
}
