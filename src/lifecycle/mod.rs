//! What a user implements, and what is handed to the code that does.
//!
//! Invariant: nothing here decides anything; contexts only carry facts to the conductor and tokens from it.

mod body;
mod context;
mod critical;
mod service;
mod thread;
mod tracked;

pub(crate) use body::{Body, FnTask, Home};
#[cfg(feature = "testkit")]
pub(crate) use body::{OnceTask, Work};
pub use context::{Cx, RunCx, StartCx, StopCx};
pub use critical::Critical;
pub(crate) use service::FnService;
pub use service::{Service, ServiceComponent};
pub(crate) use thread::ThreadComponent;
pub use thread::ThreadCx;
pub use tracked::Tracked;

use crate::id::Link;
use crate::phase::Phase;
use async_trait::async_trait;

/// A component: something that is started, runs, and is stopped in order.
///
/// # The contract
///
/// **Who calls.** Only winddown, each call as a task of its own on the runtime, never on its own thread.
///
/// **How often.** [`start`](Lifecycle::start) once, and once more for every restart that its [`Policy`](crate::Policy) allows (or
/// that is asked for through a [`Handle`](crate::Handle)). [`stop`](Lifecycle::stop) at most once for each start that returned `Ok`,
/// and never for one that failed, was late or was interrupted: then the scope is cancelled, waited for and dropped instead. Before a
/// restart there is no `stop` either.
///
/// **What is never concurrent.** `start` and `stop` of one component: the `&mut self` means what it says.
///
/// **When it is ready.** When `start` returned `Ok` and, if [`declares_ready`](Lifecycle::declares_ready), [`Cx::ready`] was called
/// from its scope. What comes after it in the plan starts only then.
///
/// **Background work** belongs into the scope: [`Cx::spawn`] from `start`. What is spawned elsewhere can be neither named, waited for
/// nor dropped.
///
/// **Stop means over.** When `stop` has returned and the scope is empty, nothing of the component runs any more. `stopping` is set before
/// `stop` is called, so tasks that wait for it need nothing else; a `stop` that only returns `Ok(())` is right for them.
///
/// **Cancel.** When the stop budget is over, or at a second signal, [`Cx::cancelled`] is set: end now, at the price of leaving work undone.
///
/// **Abort.** When that did not help, the future of `stop` and all tasks of the scope are dropped at their next await point; a
/// [critical section](Cx::critical) delays it. A future must bear being dropped at any await; `start` may be dropped so too.
///
/// **Abandon.** What cannot even be dropped, since it blocks its thread, is recorded and left behind; resources that it declared with
/// [`uses`](crate::Added::uses) are then not destroyed.
///
/// **Panics** in `start`, `stop`, tasks, drops and error texts are outcomes with their text, handled like errors. After a panic in
/// `start` or in a task the component may be started again if its policy says so: `start` must set up its state anew.
///
/// **Drop.** The component itself is dropped inside its stop, before it counts as terminal.
///
/// ```
/// use winddown::{async_trait, Lifecycle, StartCx, StopCx};
///
/// struct Pinger { interval: std::time::Duration }
///
/// #[async_trait]
/// impl Lifecycle for Pinger {
///     async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
///         let (interval, task) = (self.interval, cx.clone());
///         cx.spawn("ping", async move {
///             while task.until_stopping(tokio::time::sleep(interval)).await.is_some() { /* ping */ }
///             Ok(())
///         });
///         Ok(())
///     }
///     async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
///         Ok(())      // the task saw `stopping`
///     }
/// }
/// # let app = winddown::App::new("doc");
/// app.add(Pinger { interval: winddown::secs(10) });
/// # app.plan().unwrap();
/// ```
#[async_trait]
pub trait Lifecycle: Send + 'static {
    /// Its name, for people; unique in an app. Default: the type's name without its path. Called once, at registration.
    fn name(&self) -> String {
        short_type_name::<Self>()
    }

    /// Its phase. Default: [`Phase::WORKERS`]. Called once, at registration, which may override it.
    fn phase(&self) -> Phase {
        Phase::WORKERS
    }

    /// Does it say itself when it is ready, by calling [`Cx::ready`]? Default: no, `start` returning `Ok` is enough.
    fn declares_ready(&self) -> bool {
        false
    }

    /// The link that stands for it, where others reach it through a handle. Default: none. Called once, at registration.
    fn provides(&self) -> Option<Link> {
        None
    }

    /// What it reaches through handles: it starts after the components that provide these, and stops before them. Default: nothing.
    /// Called once, at registration.
    ///
    /// ```
    /// use winddown::{async_trait, Lifecycle, Link, Phase, StopCx};
    ///
    /// struct Cache { link: Link }
    /// struct Reader { cache: Link }
    ///
    /// #[async_trait]
    /// impl Lifecycle for Cache {
    ///     fn provides(&self) -> Option<Link> { Some(self.link.clone()) }
    ///     async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> { Ok(()) }
    /// }
    /// #[async_trait]
    /// impl Lifecycle for Reader {
    ///     fn needs(&self) -> Vec<Link> { vec![self.cache.clone()] }
    ///     async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> { Ok(()) }
    /// }
    ///
    /// let app = winddown::App::new("doc");
    /// let link = Link::new("cache");
    /// app.add(Reader { cache: link.clone() });
    /// let refused = app.plan().unwrap_err();
    /// assert!(refused.to_string().contains("`Reader` needs `cache`"));
    /// app.add(Cache { link });
    /// app.plan().unwrap();        // Cache starts first and stops last, whatever the order of registration
    /// ```
    fn needs(&self) -> Vec<Link> {
        Vec::new()
    }

    /// Starts it. Default: nothing to do.
    ///
    /// # Errors
    /// Any error fails the start: the program is rolled back and leaves with exit code 1.
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let _ = cx;
        Ok(())
    }

    /// Stops it.
    ///
    /// # Errors
    /// An error is reported and makes the exit code 1; the component is terminal all the same once its scope is empty.
    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()>;
}

/// `Consumer` for `orders::consumer::Consumer<Handler>`.
pub(crate) fn short_type_name<T: ?Sized>() -> String {
    let full = std::any::type_name::<T>();
    let plain = full.split('<').next().unwrap_or(full);
    plain.rsplit("::").next().unwrap_or(plain).to_owned()
}
