//! The two trace records of a handling.

use super::held::Held;
use super::settings::Settings;
use super::verdict::FailureKind;
use crate::messaging::trace::{ContextCode, SubBefore, TraceDispatcher};
use tokio::time::Instant;

/// A handling that is on record; its end is too, however it ends.
pub(super) struct Traced {
    trace: TraceDispatcher,
    before: SubBefore,
    began: Instant,
    /// Dropped before it said so, a handling has failed.
    pub(super) code: ContextCode,
}

impl Traced {
    /// Puts on record that a handling begins, if anybody keeps records. What the dispatcher has no room for it counts itself.
    pub(super) fn begin(settings: &Settings, held: &Held) -> Option<Traced> {
        let trace = settings.trace.clone()?;
        let before = SubBefore::of(&settings.interest.group, held.delivery());
        drop(trace.append(before.clone().into()));
        Some(Traced { trace, before, began: Instant::now(), code: ContextCode::Failed })
    }

    pub(super) fn failed(&mut self, kind: FailureKind) {
        self.code = match kind {
            FailureKind::Panic => ContextCode::Exception,
            FailureKind::TimedOut => ContextCode::TimedOut,
            FailureKind::Error | FailureKind::Exhausted => ContextCode::Failed,
        };
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        drop(self.trace.append(self.before.after(self.began.elapsed(), self.code).into()));
    }
}
