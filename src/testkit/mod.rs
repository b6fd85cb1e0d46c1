//! For users' own tests: an app's whole life in virtual time, with things going wrong, and what happened as a value to assert on.
//!
//! - [`run`]: the app as it is, on tokio's paused clock.
//! - [`World`]: the same with faults in chosen components, signals and a shutdown at chosen moments.
//! - [`Recorder`]: the events of a run, virtual or real, to be asked and waited for.
//! - [`assert_start_order`], [`assert_stop_order`]: who came before whom, with a failure text that shows what happened instead.
//!
//! ```
//! use winddown::{App, millis, secs, testkit};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let app = App::new("orders").grace(secs(10));
//! app.task("slow", |cx| async move {
//!     cx.stopping().await;
//!     tokio::time::sleep(secs(3)).await;
//!     Ok(())
//! });
//! app.handle().shutdown("test");                      // remembered
//! app.task("other", |cx| async move { cx.stopping().await; Ok(()) });
//! let report = testkit::run(&app).await;
//! assert_eq!(report.exit_code(), 0);
//! # });
//! ```

mod cue;
mod interpose;
mod order;
mod recorder;
mod sabotage;
mod saboteur;
mod signal;
mod when;
mod world;

pub use interpose::Who;
pub use order::{assert_start_order, assert_stop_order};
pub use recorder::Recorder;
pub use sabotage::Sabotage;
pub use signal::Signal;
pub use when::When;
pub use world::{World, WorldError};

#[cfg(feature = "messaging")]
pub mod contract;

use crate::app::App;
use crate::conductor::{Conductor, Director, Ownership, conduct};
use crate::error::Error;
use crate::report::Report;
use std::sync::{Arc, PoisonError};
use tokio::sync::Notify;

/// Runs an app in virtual time: under `#[tokio::test(start_paused = true)]`, or any current-thread runtime whose clock is paused.
///
/// Signals are not heard, nothing is printed, the process is never left; what would be abandoned is. Observers are called on their own
/// thread, as ever. What cannot run gives a refused report. An app that nobody asks to stop runs for ever: see [`World`] for one that does.
pub async fn run(app: &App) -> Arc<Report> {
    drive(app, |_| {}, &mut ()).await
}

/// `prepare` sees the conductor before the run begins.
async fn drive(app: &App, prepare: impl FnOnce(&mut Conductor), director: &mut dyn Director) -> Arc<Report> {
    let shared = app.inner().shared.clone();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return app.refuse(&Error::no_runtime()) };
    let mut conductor = match Conductor::new(app, Ownership::Host, false) {
        Ok(conductor) => conductor,
        Err(error) => return app.refuse(&error),
    };
    prepare(&mut conductor);
    let _ = shared.runtime.set(runtime);
    let inbox = shared.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(inbox) = inbox else { return app.refuse(&Error::already_run()) };
    let bell = Arc::new(Notify::new());
    let _ = shared.bell.set(bell.clone());
    shared.clock.begin(true);
    conduct(&mut conductor, &inbox, &bell, director).await;
    match shared.report.get() {
        Some(report) => report.clone(),
        None => app.refuse(&Error::already_run()),
    }
}
