//! What user code waits on to learn that it should end.

use super::gate::{CANCELLED, Gate, STOPPING};
use super::{Scope, Shared};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::sync::CancellationToken;

/// A one-way flag that can be awaited: `stopping` or `cancelled` of a component, or the whole app's.
///
/// Cheap to clone. Awaiting it (`token.await` or `token.wait()`) is cancel safe, allocates nothing, and returns at once if it is set.
///
/// ```
/// # async fn work() {}
/// # async fn run(cx: winddown::RunCx) {
/// let stopping = cx.stopping();
/// while stopping.run_until(work()).await.is_some() {}     // one piece after the other until asked to stop
/// # }
/// ```
#[derive(Clone)]
pub struct Token {
    source: Source,
    flag: u8,
}

#[derive(Clone)]
enum Source {
    Scope(Arc<Scope>),
    App(Arc<Shared>),
}

impl Source {
    fn gate(&self) -> &Gate {
        match self {
            Source::Scope(scope) => &scope.gate,
            Source::App(shared) => &shared.gate,
        }
    }
}

impl Token {
    pub(crate) fn stopping(scope: &Arc<Scope>) -> Token {
        Token { source: Source::Scope(scope.clone()), flag: STOPPING }
    }
    pub(crate) fn cancelled(scope: &Arc<Scope>) -> Token {
        Token { source: Source::Scope(scope.clone()), flag: CANCELLED }
    }
    pub(crate) fn app(shared: &Arc<Shared>) -> Token {
        Token { source: Source::App(shared.clone()), flag: STOPPING }
    }

    /// Is it set?
    pub fn is_set(&self) -> bool {
        self.source.gate().is_set(self.flag)
    }

    /// Waits until it is set.
    pub fn wait(&self) -> Wait {
        Wait { token: self.clone(), key: None }
    }

    /// Runs a future until it ends or the token is set, whichever is first: `Some` with its output, or `None` and the future is dropped.
    ///
    /// The future is polled first, so an output that is ready wins. Cancel safe if the future is.
    pub async fn run_until<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut wait = pin!(self.wait());
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            wait.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// The same flag as a tokio-util token: for code that wants one. Cancelling what is returned, or a child of it, does not set this one.
    pub fn to_cancellation_token(&self) -> CancellationToken {
        let root = match &self.source {
            Source::Scope(scope) => scope.extra().root(self.flag).clone(),
            Source::App(shared) => shared.root.clone(),
        };
        // Set between our look and its creation: whoever comes second cancels.
        if self.is_set() {
            root.cancel();
        }
        root.child_token()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("is_set", &self.is_set()).finish()
    }
}

impl IntoFuture for Token {
    type Output = ();
    type IntoFuture = Wait;
    fn into_future(self) -> Wait {
        Wait { token: self, key: None }
    }
}

/// Waits for a [`Token`]; made by [`Token::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Wait {
    token: Token,
    key: Option<u32>,
}

impl Future for Wait {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.token.source.gate().poll(this.token.flag, &mut this.key, cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.token.source.gate().forget(key);
        }
    }
}
