//! A token and a tracker that a program has already, as a component.

use super::{Lifecycle, StopCx};
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A `CancellationToken` and a `TaskTracker` as a component: its stop cancels the token, closes the tracker and waits for it.
///
/// The smallest step for code that has the pair already. The tasks stay the program's own: they are counted and waited for, but their
/// names are unknown and the abort rung cannot drop them.
///
/// ```
/// use tokio_util::{sync::CancellationToken, task::TaskTracker};
/// let (token, tracker) = (CancellationToken::new(), TaskTracker::new());
/// let app = winddown::App::new("orders");
/// app.add(winddown::Tracked::new("legacy", token, tracker));
/// # app.plan().unwrap();
/// ```
#[derive(Debug)]
pub struct Tracked {
    name: String,
    token: CancellationToken,
    tracker: TaskTracker,
}

impl Tracked {
    /// A component of this name over the pair.
    pub fn new(name: impl Into<String>, token: CancellationToken, tracker: TaskTracker) -> Tracked {
        Tracked { name: name.into(), token, tracker }
    }
}

#[async_trait]
impl Lifecycle for Tracked {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        self.token.cancel();
        self.tracker.close();
        cx.progress(format!("{} tasks", self.tracker.len()));
        self.tracker.wait().await;
        Ok(())
    }
}
