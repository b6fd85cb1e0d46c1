//! Critical sections (T11).

use crate::scope::Scope;
use std::sync::Arc;
use std::time::Duration;

/// While this lives, force waits before it drops the component's futures; see [`Cx::critical`](crate::Cx::critical).
///
/// ```
/// # async fn write_both_halves() {}
/// # async fn run(cx: winddown::RunCx) {
/// let section = cx.critical(winddown::secs(2));
/// if section.holds() {
///     write_both_halves().await;
/// }
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the section ends when the guard is dropped"]
pub struct Critical {
    scope: Option<Arc<Scope>>,
}

impl Critical {
    pub(super) fn begin(scope: Arc<Scope>, bound: Duration) -> Critical {
        let holds = scope.enter_critical(bound);
        Critical { scope: holds.then_some(scope) }
    }

    /// False if force had been used before the section began: then nothing is held back, and the next await is the last.
    pub fn holds(&self) -> bool {
        self.scope.is_some()
    }
}

impl Drop for Critical {
    fn drop(&mut self) {
        if let Some(scope) = &self.scope {
            scope.leave_critical();
        }
    }
}
