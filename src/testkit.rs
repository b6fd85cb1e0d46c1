//! An app under test, in virtual time: the same machine and the same actions as in a real run, on tokio's paused clock.
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

use crate::app::App;
use crate::conductor::{Conductor, Ownership, conduct};
use crate::error::Error;
use crate::report::Report;
use std::sync::{Arc, PoisonError};
use tokio::sync::Notify;

/// Runs an app in virtual time: under `#[tokio::test(start_paused = true)]`, or any current-thread runtime whose clock is paused.
///
/// Signals are not heard, nothing is printed, the process is never left; what would be abandoned is. Observers are called on their own
/// thread, as ever. What cannot run gives a refused report.
pub async fn run(app: &App) -> Arc<Report> {
    let shared = app.inner().shared.clone();
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return app.refuse(&Error::no_runtime()) };
    let mut conductor = match Conductor::new(app, Ownership::Host, false) {
        Ok(conductor) => conductor,
        Err(error) => return app.refuse(&error),
    };
    let _ = shared.runtime.set(runtime);
    let inbox = shared.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(inbox) = inbox else { return app.refuse(&Error::already_run()) };
    let bell = Arc::new(Notify::new());
    let _ = shared.bell.set(bell.clone());
    shared.clock.begin(true);
    conduct(&mut conductor, &inbox, &bell).await;
    match shared.report.get() {
        Some(report) => report.clone(),
        None => app.refuse(&Error::already_run()),
    }
}
