//! The producer's life: the gate, the drain, the rest (M4).

use super::Sent;
use super::core::{Core, Session};
use crate::messaging::outbox::{self, Outbox};
use crate::messaging::sending::Attempt;
use crate::messaging::{BrokerError, Message, SendReceipt};
use crate::{Lifecycle, Link, Phase, StartCx, StopCx};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Of the stop budget, what is kept for the cancelled: their tries are dropped at once, so this is for the outbox's transactions.
const MARGIN: Duration = Duration::from_millis(500);
/// And of a short budget, no more than this part.
const MARGIN_PART: u32 = 5;
/// How often it says what it waits for.
const TELL: Duration = Duration::from_secs(1);

/// The producer as a component, in [`Phase::CLIENTS`]: add it to the app, once. It opens the gate, and its stop closes it, drains what is in flight
/// and deals with the rest; `docs/producer.md` says how.
///
/// Its stop takes the steps `gate_closed` (so many are in flight), `drained` (so many ended by themselves), `cancelled` (so many did not),
/// `outboxed` (so many of all these are in the outbox), and says the books of its whole life: `total_accepted`,
/// `total_acknowledged`, `total_returned`, `total_outboxed`, `total_lost`.
#[must_use = "the producer takes messages only when this runs: add it to the app"]
pub struct ProducerComponent {
    core: Arc<Core>,
}

impl ProducerComponent {
    pub(super) fn new(core: Arc<Core>) -> ProducerComponent {
        ProducerComponent { core }
    }
}

#[async_trait]
impl Lifecycle for ProducerComponent {
    fn name(&self) -> String {
        self.core.name.to_string()
    }
    fn phase(&self) -> Phase {
        Phase::CLIENTS
    }
    fn provides(&self) -> Option<Link> {
        Some(self.core.link.clone())
    }
    fn needs(&self) -> Vec<Link> {
        self.core.trace.iter().map(|trace| trace.link()).collect()
    }

    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let session = Session::new((**cx).clone());
        cx.spawn("gate", gate(self.core.clone(), session.clone()));
        if let Some(stow) = &self.core.stow {
            cx.spawn("replay", replay(stow.outbox.clone(), self.core.clone(), session.clone()));
        } else {
            session.replayed.cancel();
        }
        self.core.open(&session);
        Ok(())
    }

    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        let core = &self.core;
        let Some(session) = core.session() else { return Ok(()) };
        let at_gate = core.close(&session);
        cx.step("gate_closed", at_gate.in_flight);
        let budget = cx.remaining();
        drain(core, &session, cx, Instant::now() + budget.saturating_sub(MARGIN.min(budget / MARGIN_PART))).await;
        let after_drain = core.ledger.stats();
        let lost_meanwhile = after_drain.lost.saturating_sub(at_gate.lost);
        let drained = at_gate.in_flight.saturating_sub(after_drain.in_flight + lost_meanwhile);
        cx.step("drained", drained);
        cx.drained(drained);
        cx.step("cancelled", after_drain.in_flight);
        cx.progress(format!("{} being stored or given back", after_drain.in_flight));
        session.cancel.cancel();
        core.ledger.idle().await;
        let end = core.ledger.stats();
        cx.step("outboxed", end.outboxed - at_gate.outboxed);
        let back = (end.outboxed + end.returned).saturating_sub(after_drain.outboxed + after_drain.returned);
        cx.handed_back(back);
        cx.step("total_accepted", end.accepted);
        cx.step("total_acknowledged", end.acknowledged);
        cx.step("total_returned", end.returned);
        cx.step("total_outboxed", end.outboxed);
        cx.step("total_lost", end.lost);
        Ok(())
    }
}

/// Nothing is in flight, and the replay has settled what it was at.
async fn over(core: &Core, session: &Session) {
    core.ledger.idle().await;
    session.replayed.cancelled().await;
}

/// Until that, or the time is over, or force is used.
async fn drain(core: &Core, session: &Session, cx: &StopCx, until: Instant) {
    let mut over = std::pin::pin!(over(core, session));
    loop {
        let next = (Instant::now() + TELL).min(until);
        tokio::select! {
            biased;
            () = &mut over => return,
            () = cx.cancelled().wait() => return,
            () = sleep_until(next) => {}
        }
        if next >= until {
            return;
        }
        cx.progress(format!("{} in flight", core.ledger.stats().in_flight));
    }
}

/// Closes the gate also where there is no stop: when the component is taken back or is about to be started again after a failure.
async fn gate(core: Arc<Core>, session: Arc<Session>) -> anyhow::Result<()> {
    let cx = &session.cx;
    cx.stopping().await;
    core.close(&session);
    cx.until_cancelled(over(&core, &session)).await;
    session.cancel.cancel();
    Ok(())
}

/// What is in the outbox is sent as long as this runs. Cut off, what it has claimed is free again after the lease.
async fn replay(outbox: Outbox, core: Arc<Core>, session: Arc<Session>) -> anyhow::Result<()> {
    // However it ends.
    let _over = session.replayed.clone().drop_guard();
    let stopping = session.cx.stopping().wait();
    let replay = outbox::replay(outbox, Arc::new(Replaying(core)), stopping);
    let replayed = session.cancel.run_until_cancelled(replay).await;
    if let Some(replayed) = replayed {
        session.cx.step("replayed", replayed.sent);
    }
    Ok(())
}

/// A try of the replay: as any other, and recorded when it was answered well.
struct Replaying(Arc<Core>);

#[async_trait]
impl Attempt for Replaying {
    async fn attempt(&self, message: &Message) -> Result<SendReceipt, BrokerError> {
        let began = Instant::now();
        let receipt = self.0.engine.attempt(message).await?;
        self.0.trace(message, began.elapsed(), 1, &Ok(Sent::Acknowledged(receipt.clone())));
        Ok(receipt)
    }
}

impl fmt::Debug for ProducerComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerComponent").field("name", &self.core.name).finish_non_exhaustive()
    }
}
