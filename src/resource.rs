//! Resources: opened in set-up, leased to whoever uses them, destroyed after every component is terminal.

use crate::error::Error;
use crate::id::ResourceId;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A handle to something that must outlive the components which use it: a pool, a connection, a file.
///
/// Made by [`App::resource`](crate::App::resource). The handle itself owns nothing: it gives [leases](Resource::lease), which do.
/// When every component is terminal, resources are destroyed in reverse order of registration; a lease that is still out then is
/// reported with its holder's name and waited for within the resource's budget.
///
/// ```
/// # async fn set_up(app: winddown::App) -> anyhow::Result<()> {
/// let numbers = app.resource("numbers", async { anyhow::Ok(vec![1, 2, 3]) }).await?;
/// app.task("adder", {
///     let numbers = numbers.clone();
///     |cx| async move {
///         let numbers = cx.lease(&numbers)?;              // this component's, by name
///         println!("{}", numbers.iter().sum::<i32>());
///         cx.stopping().await;
///         Ok(())
///     }
/// })
/// .uses(&numbers);
/// # Ok(())
/// # }
/// ```
pub struct Resource<T> {
    id: ResourceId,
    cell: Arc<Cell<T>>,
}

impl<T> Clone for Resource<T> {
    fn clone(&self) -> Resource<T> {
        Resource { id: self.id, cell: self.cell.clone() }
    }
}

impl<T> fmt::Debug for Resource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").field("name", &self.cell.name).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Resource<T> {
    pub(crate) fn new(id: ResourceId, name: &str, value: T) -> Resource<T> {
        let state = State { value: Some(Arc::new(value)), holders: Vec::new(), leases: 0 };
        Resource { id, cell: Arc::new(Cell { name: name.into(), state: Mutex::new(state), returned: Notify::new() }) }
    }

    pub(crate) fn cell(&self) -> Arc<Cell<T>> {
        self.cell.clone()
    }

    /// Its typed id.
    pub fn id(&self) -> ResourceId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Access to the resource, in a holder's name; inside a component use [`Cx::lease`](crate::Cx::lease), which knows the name.
    ///
    /// Takes a lock for a moment: lease once and keep it rather than once an item on a hot path.
    ///
    /// # Errors
    /// When its destruction has begun; [`Error::is_resource_gone`] is true.
    pub fn lease(&self, holder: impl AsRef<str>) -> Result<Lease<T>, Error> {
        self.cell.lease(holder.as_ref())
    }
}

/// Drops of components that never came to run, or are kept for later: under way on the runtime. What they own may hold a resource.
#[derive(Debug, Default)]
pub(crate) struct Graveyard {
    open: AtomicUsize,
    closed: Notify,
}

/// One of them.
pub(crate) struct Burial(Arc<Graveyard>);

impl Graveyard {
    pub(crate) fn enter(this: &Arc<Graveyard>) -> Burial {
        this.open.fetch_add(1, Ordering::AcqRel);
        Burial(this.clone())
    }

    /// Waits until there are none.
    pub(crate) async fn wait(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            closed.await;
        }
    }
}

impl Drop for Burial {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.closed.notify_waiters();
        }
    }
}

/// What a resource's handles share.
pub(crate) struct Cell<T> {
    name: Arc<str>,
    state: Mutex<State<T>>,
    returned: Notify,
}

struct State<T> {
    /// `None` once its destruction has begun.
    value: Option<Arc<T>>,
    /// Who holds how many.
    holders: Vec<(Arc<str>, usize)>,
    leases: usize,
}

impl<T> Cell<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(self: &Arc<Cell<T>>, holder: &str) -> Result<Lease<T>, Error> {
        let mut state = self.state();
        let Some(value) = state.value.clone() else { return Err(Error::resource_gone(&*self.name)) };
        let holder = match state.holders.iter_mut().find(|(name, _)| &**name == holder) {
            Some((name, count)) => {
                *count += 1;
                name.clone()
            }
            None => {
                let name: Arc<str> = holder.into();
                state.holders.push((name.clone(), 1));
                name
            }
        };
        state.leases += 1;
        drop(state);
        Ok(Lease { value: Some(value), holder, cell: self.clone() })
    }

    /// Who holds leases now.
    pub(crate) fn holders(&self) -> Vec<Arc<str>> {
        self.state().holders.iter().map(|(name, _)| name.clone()).collect()
    }

    /// No new leases; waits until all are back, then gives the value out.
    pub(crate) async fn take(&self) -> Option<Arc<T>> {
        let value = self.state().value.take();
        loop {
            let returned = self.returned.notified();
            if self.state().leases == 0 {
                return value;
            }
            returned.await;
        }
    }
}

/// Access to a [`Resource`], given back when it is dropped.
pub struct Lease<T> {
    value: Option<Arc<T>>,
    holder: Arc<str>,
    cell: Arc<Cell<T>>,
}

impl<T> Lease<T> {
    /// In whose name it was taken.
    pub fn holder(&self) -> &str {
        &self.holder
    }
}

impl<T> Clone for Lease<T> {
    /// Another lease of the same holder; possible also after the destruction has begun, since this one holds it up anyway.
    fn clone(&self) -> Lease<T> {
        let mut state = self.cell.state();
        match state.holders.iter_mut().find(|(name, _)| *name == self.holder) {
            Some((_, count)) => *count += 1,
            None => state.holders.push((self.holder.clone(), 1)),
        }
        state.leases += 1;
        drop(state);
        Lease { value: self.value.clone(), holder: self.holder.clone(), cell: self.cell.clone() }
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;
    fn deref(&self) -> &T {
        match &self.value {
            Some(value) => value,
            // Taken only in `drop`, after which nobody can call this.
            None => unreachable!("a lease is used after its drop"),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("holder", &self.holder).field("value", &self.value).finish()
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        // The value first: who is told that all leases are back may count on being its last owner.
        drop(self.value.take());
        let mut state = self.cell.state();
        state.leases -= 1;
        let last = state.leases == 0;
        if let Some(at) = state.holders.iter().position(|(name, _)| *name == self.holder) {
            state.holders[at].1 -= 1;
            if state.holders[at].1 == 0 {
                state.holders.swap_remove(at);
            }
        }
        drop(state);
        if last {
            self.cell.returned.notify_waiters();
        }
    }
}
