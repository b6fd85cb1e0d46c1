//! A component on its own OS thread, for synchronous code.

use super::context::{Cx, Member};
use super::{Lifecycle, StartCx, StopCx};
use crate::scope::Role;
use async_trait::async_trait;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Given to a component's own thread ([`App::thread`](crate::App::thread)). Has all of [`Cx`], and these for code that blocks.
#[derive(Clone, Debug)]
pub struct ThreadCx {
    cx: Cx,
}

impl ThreadCx {
    /// Has it been asked to stop? One atomic load: look at it in every round of a loop.
    pub fn is_stopping(&self) -> bool {
        self.cx.stopping().is_set()
    }

    /// Is it to end at once?
    pub fn is_cancelled(&self) -> bool {
        self.cx.cancelled().is_set()
    }

    /// Sleeps, but not longer than until it is asked to stop: false then. Only on the component's own thread.
    pub fn sleep(&self, span: Duration) -> bool {
        let until = Instant::now().checked_add(span);
        loop {
            if self.is_stopping() {
                return false;
            }
            match until {
                // Unparked by the token, and now and then by nothing at all.
                Some(until) => match until.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => std::thread::park_timeout(left),
                    _ => return true,
                },
                None => std::thread::park(),
            }
        }
    }
}

impl Deref for ThreadCx {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

type Work = Box<dyn FnMut(&ThreadCx) -> anyhow::Result<()> + Send>;

/// Runs a closure on a thread of its own for each start.
pub(crate) struct ThreadComponent {
    name: String,
    work: Arc<Mutex<Work>>,
}

impl ThreadComponent {
    pub(crate) fn new(name: String, work: impl FnMut(&ThreadCx) -> anyhow::Result<()> + Send + 'static) -> ThreadComponent {
        ThreadComponent { name, work: Arc::new(Mutex::new(Box::new(work))) }
    }
}

#[async_trait]
impl Lifecycle for ThreadComponent {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let work = self.work.clone();
        let scope = cx.scope.clone();
        anyhow::ensure!(scope.enter(), "its scope has closed");
        let place = scope.extra().reserve("thread".into()).place;
        // A thread that fails at once has run, however fast: its end is told after the start's.
        scope.extra().hold_ends();
        #[cfg(feature = "testkit")]
        {
            scope.extra().expect_thread();
            scope.shared.threads.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        }
        let inside = scope.clone();
        // A panic in an earlier run poisons the lock; the closure is then run again like any restarted component.
        let run = move || {
            inside.extra().add_thread();
            let cx = ThreadCx { cx: Cx { scope: inside } };
            work.lock().unwrap_or_else(PoisonError::into_inner)(&cx)
        };
        // From here on the member's drop says that it is over, also if the thread cannot be made.
        let member = Member::new(scope, Role::Lasting(place), run);
        std::thread::Builder::new().name(self.name.clone()).spawn(move || member.run())?;
        Ok(())
    }

    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        Ok(())
    }
}
