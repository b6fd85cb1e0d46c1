//! What one call has to pass on its way to the broker and back.

use super::{Fate, Faults, Settings};
use crate::messaging::{BrokerError, Class, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// The general faults, and those of the route that was chosen.
pub(super) struct Gate<'a> {
    broker: &'a Arc<str>,
    closed: &'a CancellationToken,
    faults: Vec<Faults>,
}

impl<'a> Gate<'a> {
    pub(super) fn new(broker: &'a Arc<str>, closed: &'a CancellationToken, general: &Faults, route: Option<&str>) -> Gate<'a> {
        let of_route = route.and_then(|route| general.of_route(route));
        Gate { broker, closed, faults: std::iter::once(general.clone()).chain(of_route).collect() }
    }

    /// What becomes of the request: the first fault that strikes.
    pub(super) fn draw(&self, send: bool) -> Fate {
        let mut fate = Fate::Fine;
        for faults in &self.faults {
            if fate == Fate::Fine {
                fate = faults.draw(send);
            }
        }
        fate
    }

    /// Lets a call through: late if the broker is slow or stalled, not at all if it is down. What happens while it is under way counts too.
    pub(super) async fn through<T>(&self, call: impl Future<Output = T>) -> Result<T, BrokerError> {
        let begun = AtomicBool::new(false);
        let whole = async {
            self.enter().await;
            begun.store(true, Ordering::Relaxed);
            let answer = call.await;
            self.unstalled().await;
            answer
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(self.error(ErrorKind::Closed, "this client was closed")),
            () = self.down() => Err(self.cut(begun.load(Ordering::Relaxed))),
            answer = whole => Ok(answer),
        }
    }

    /// The same for a call that may be dropped and made again without harm, and that must not be held back once it has its answer.
    pub(super) async fn through_again<T, F: Future<Output = T>>(&self, mut call: impl FnMut() -> F) -> Result<T, BrokerError> {
        let whole = async {
            self.enter().await;
            loop {
                self.unstalled().await;
                tokio::select! { biased; () = self.until(|settings| settings.stalled) => {}, answer = call() => return answer }
            }
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(self.error(ErrorKind::Closed, "this client was closed")),
            () = self.down() => Err(self.cut(false)),
            answer = whole => Ok(answer),
        }
    }

    pub(super) fn error(&self, kind: ErrorKind, text: &str) -> BrokerError {
        BrokerError::new(self.broker.clone(), kind, text)
    }

    pub(super) fn lost(&self) -> BrokerError {
        self.error(ErrorKind::Disconnected, "the connection was lost (a fault on demand)")
    }

    fn cut(&self, begun: bool) -> BrokerError {
        self.faults[0].count(|counts| counts.down += 1);
        if begun {
            return self.error(ErrorKind::Disconnected, "the broker went down while it had the request (a fault on demand)");
        }
        self.error(ErrorKind::Disconnected, "the connection was refused (a fault on demand)").with_class(Class::RetryableSafe)
    }

    async fn enter(&self) {
        self.unstalled().await;
        let slow = self.faults.iter().map(|faults| faults.settings().slow).sum::<std::time::Duration>();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
    }

    async fn unstalled(&self) {
        for faults in &self.faults {
            if faults.settings().stalled {
                faults.count(|counts| counts.stalled += 1);
                faults.until(|settings| !settings.stalled).await;
            }
        }
    }

    async fn down(&self) {
        self.until(|settings| settings.down).await;
    }

    /// Returns when it is so of any of them.
    async fn until(&self, so: impl Fn(&Settings) -> bool) {
        match self.faults.as_slice() {
            [one, other] => tokio::select! { () = one.until(&so) => {}, () = other.until(&so) => {} },
            [one, ..] => one.until(&so).await,
            [] => std::future::pending().await,
        }
    }
}

impl Faults {
    async fn until(&self, so: impl Fn(&Settings) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // From here on a change is heard, so none falls between looking and waiting.
            changed.as_mut().enable();
            if so(&self.settings()) {
                return;
            }
            changed.await;
        }
    }
}
