//! Opening a resource.

use super::{App, Destroyable, ResourceEntry};
use crate::error::Error;
use crate::id::ResourceId;
use crate::plan::spec::ResourceSpec;
use crate::resource::{Cell, Graveyard, Resource};
use crate::scope::{Message, Role, Scope, Wrapped};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle as Runtime;
use tokio::task::AbortHandle;

type Open<T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send>>;
type Ending = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;
type Destroy<T> = Box<dyn FnOnce(Arc<T>) -> Ending + Send>;

/// A resource about to be opened; await it. See [`App::resource`].
#[must_use = "a resource is opened when this is awaited"]
pub struct Opening<T> {
    app: App,
    name: String,
    open: Open<T>,
    budget: Option<Duration>,
    destroy: Option<Destroy<T>>,
}

impl<T> fmt::Debug for Opening<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Opening<T> {
    pub(super) fn new(app: App, name: String, open: Open<T>) -> Opening<T> {
        Opening { app, name, open, budget: None, destroy: None }
    }

    /// Time for its destruction, leases included. Explicit, so never shortened. Default 1 s, which may be.
    pub fn budget(mut self, budget: Duration) -> Opening<T> {
        self.budget = Some(budget);
        self
    }

    /// How it is destroyed, once all leases are back. Default: dropped. Runs as a task on the runtime; an error or panic is reported.
    pub fn destroy_with<D, End>(mut self, destroy: D) -> Opening<T>
    where
        D: FnOnce(Arc<T>) -> End + Send + 'static,
        End: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.destroy = Some(Box::new(move |value| Box::pin(destroy(value))));
        self
    }
}

impl<T: Send + Sync + 'static> IntoFuture for Opening<T> {
    type Output = anyhow::Result<Resource<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = anyhow::Result<Resource<T>>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Opening { app, name, open, budget, destroy } = self;
            let shared = app.inner().shared.clone();
            let index = {
                let mut registered = app.inner().registered();
                if registered.sealed {
                    return Err(Error::sealed(name).into());
                }
                registered.registry.resources.push(ResourceSpec { name: name.clone(), budget });
                registered.resources.push(ResourceEntry::default());
                registered.resources.len() - 1
            };
            // Registered first: should this be interrupted, the report says "not created".
            let opened = open.await;
            let (value, error) = match opened {
                Ok(value) => (Some(value), None),
                Err(error) => (None, Some(error)),
            };
            let id = ResourceId { app: shared.app, index: index as u32 };
            let resource = value.map(|value| Resource::new(id, &name, value));
            // The error's text is the user's code: made before the lock.
            let text: Option<Arc<str>> = error.as_ref().map(|error| format!("{error:#}").into());
            if let Some(entry) = app.inner().registered().resources.get_mut(index) {
                entry.error = text;
                entry.opened = resource.as_ref().map(|resource| Box::new(Opened { cell: resource.cell(), destroy }) as Box<dyn Destroyable>);
            }
            match (resource, error) {
                (Some(resource), _) => {
                    shared.send(Message::ResourceCreated { id: id.index });
                    Ok(resource)
                }
                (None, Some(error)) => Err(error.context(format!("the resource `{name}` could not be opened"))),
                (None, None) => Err(Error::resource_gone(name).into()),
            }
        })
    }
}

struct Opened<T> {
    cell: Arc<Cell<T>>,
    destroy: Option<Destroy<T>>,
}

impl<T: Send + Sync + 'static> Destroyable for Opened<T> {
    fn holders(&self) -> Vec<Arc<str>> {
        self.cell.holders()
    }

    fn destroy(self: Box<Self>, scope: Arc<Scope>, runtime: &Runtime, graveyard: Arc<Graveyard>) -> AbortHandle {
        let Opened { cell, destroy } = *self;
        let work = async move {
            graveyard.wait().await;
            match (cell.take().await, destroy) {
                (Some(value), Some(destroy)) => destroy(value).await,
                (value, _) => {
                    drop(value);
                    Ok(())
                }
            }
        };
        runtime.spawn(Wrapped::new(work, scope, Role::Destroy)).abort_handle()
    }

    fn leak(self: Box<Self>) {
        // All of it: what the closure owns is the user's too.
        std::mem::forget(self);
    }
}
