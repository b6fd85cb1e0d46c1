//! The load: posts orders at a steady rate, and goes on while the service stops, as the world does.

use crate::args::LoadPlan;
use crate::client::{Answer, Client};
use crate::directory::unique;
use hyper::StatusCode;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Requests under way at once. Both ends of each are in this process, so it costs two of its open files.
const AT_ONCE: usize = 256;

/// How often what is due is sent.
const TICK: Duration = Duration::from_millis(2);

/// What was heard, order by order.
#[derive(Default)]
pub(crate) struct Tally {
    /// All ids of this run begin with it.
    pub(crate) prefix: String,
    pub(crate) sent: u64,
    /// The ids answered 202.
    pub(crate) accepted: Vec<String>,
    /// Answered 503.
    pub(crate) refused: u64,
    /// Answered otherwise, or not at all: how, and how often.
    pub(crate) other: BTreeMap<String, u64>,
    /// Not sent, since no connection could be made.
    pub(crate) unsent: u64,
}

/// Waits to be told the address, loads it for the planned span, asks the process to stop, and goes on until the door is closed
/// or the run is over. Runs on a thread and a runtime of its own, outside the service: so it sees all of the stop.
pub(crate) fn drive(
    mut told: UnboundedReceiver<SocketAddr>,
    plan: LoadPlan,
    terminate: impl FnOnce(),
    over: &CancellationToken,
) -> io::Result<Tally> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            terminate(); // or the service would wait for ever
            return Err(why);
        }
    };
    runtime.block_on(async {
        match over.run_until_cancelled(told.recv()).await.flatten() {
            Some(address) => Ok(post_all(address, plan, terminate, over).await),
            None => Ok(Tally::default()), // it never came up
        }
    })
}

async fn post_all(address: SocketAddr, plan: LoadPlan, terminate: impl FnOnce(), over: &CancellationToken) -> Tally {
    let client = Arc::new(Client::new(address));
    let mut tally = Tally { prefix: format!("{}-", unique()), ..Tally::default() };
    let mut terminate = Some(terminate);
    let mut posts = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let began = Instant::now();
    let (mut number, mut unsent_before) = (0, 0);
    // Once asked to stop, the first order that finds the door closed is the last.
    while terminate.is_some() || tally.unsent == unsent_before {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(done) = posts.join_next() => tally.count(done.ok()),
            () = over.cancelled() => break,
        }
        let elapsed = began.elapsed();
        if elapsed >= plan.span
            && let Some(terminate) = terminate.take()
        {
            unsent_before = tally.unsent;
            terminate();
        }
        // By the clock and not by the tick, so that a late tick does not lower the rate.
        let due = (elapsed.as_secs_f64() * f64::from(plan.per_second)) as u64;
        while number < due && posts.len() < AT_ONCE {
            number += 1;
            let id = format!("{}{number}", tally.prefix);
            posts.spawn(post(Arc::clone(&client), id));
        }
    }
    // What is under way ends by itself, at the latest when the service's sockets close.
    let rest = async {
        while let Some(done) = posts.join_next().await {
            tally.count(done.ok());
        }
    };
    let _ = timeout(Duration::from_secs(10), rest).await;
    for _ in 0..posts.len() {
        tally.lost("still waiting");
    }
    tally
}

async fn post(client: Arc<Client>, id: String) -> (String, Answer) {
    let order = serde_json::json!({ "id": id, "item": "teapot", "quantity": 1 }).to_string();
    let answer = client.post(order).await;
    (id, answer)
}

impl Tally {
    fn count(&mut self, done: Option<(String, Answer)>) {
        let Some((id, answer)) = done else { return self.lost("its task panicked") };
        match answer {
            Answer::Unreachable => return self.unsent += 1,
            Answer::None => return self.lost("no answer"),
            Answer::Status(StatusCode::ACCEPTED) => self.accepted.push(id),
            Answer::ComeBack => self.refused += 1,
            Answer::Status(other) => return self.lost(other.as_str()),
        }
        self.sent += 1;
    }

    fn lost(&mut self, how: &str) {
        self.sent += 1;
        *self.other.entry(how.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { sent, accepted, refused, other, unsent, .. } = self;
        writeln!(f, "what the clients heard")?;
        writeln!(f, "  sent            {sent:>8}")?;
        writeln!(f, "  accepted (202)  {:>8}", accepted.len())?;
        writeln!(f, "  refused (503)   {refused:>8}")?;
        writeln!(f, "  other           {:>8}", other.values().sum::<u64>())?;
        for (how, count) in other {
            writeln!(f, "among the others {count}: {how}")?;
        }
        if *unsent > 0 {
            writeln!(f, "{unsent} more were not sent, since no connection could be made")?;
        }
        Ok(())
    }
}
