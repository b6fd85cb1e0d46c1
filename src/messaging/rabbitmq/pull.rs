//! Pulling: takes from what the member holds, under its lock, and returns in the same step. So a pull that is dropped has taken nothing.

use super::super::lanes::Taken;
use super::super::{BrokerError, Delivery, Receipt};
use super::member::{Held, Member};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A pull that would not wait still gives the server the time to answer whether there is something.
const GLANCE: Duration = Duration::from_millis(50);

impl Member {
    /// Up to so many, as soon as there are any; none when the wait is over.
    ///
    /// # Errors
    /// What is the matter, when the channel was lost and is not back.
    pub(super) async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        let (_want, seen) = {
            let mut state = self.open()?;
            if max == 0 {
                return Ok(Vec::new());
            }
            state.demand = state.demand.saturating_add(max);
            state.stirred = Instant::now();
            (Want { member: self, max }, state.failures)
        };
        self.pump.notify_one();
        // Longer than anybody waits, and it fits.
        let until = Instant::now() + wait.clamp(GLANCE, Duration::from_secs(365 * 24 * 3600));
        loop {
            let bell = self.bell.notified();
            let mut bell = std::pin::pin!(bell);
            bell.as_mut().enable();
            let now = Instant::now();
            let due = {
                let mut state = self.open()?;
                let taken = state.lanes.take(max, now.into_std());
                if !taken.is_empty() {
                    return Ok(taken.into_iter().map(delivery).collect());
                }
                let lost = state.channel.is_none() && (state.failures != seen || now >= until);
                if let Some(error) = state.failure.as_ref().filter(|_| lost) {
                    return Err(self.about(error.clone()));
                }
                if now >= until {
                    return Ok(Vec::new());
                }
                state.lanes.next_due(now.into_std()).map_or(until, |due| until.min(due.into()))
            };
            let _ = timeout_at(due, bell).await;
        }
    }
}

fn delivery(taken: Taken<Arc<Held>>) -> Delivery {
    let Taken { ticket, attempt, thing } = taken;
    Delivery::new(thing.message.clone(), attempt, Receipt::numbers(ticket.place, ticket.turn))
}

/// What a pull asks for, for as long as it waits.
struct Want<'a> {
    member: &'a Member,
    max: usize,
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        let mut state = self.member.state();
        state.demand = state.demand.saturating_sub(self.max);
        state.stirred = Instant::now();
        drop(state);
        self.member.pump.notify_one();
    }
}
