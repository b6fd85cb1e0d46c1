//! What everything of one app shares: the way to its conductor, its clock, its plan and, in the end, its report.

use super::blame::AppNumber;
use super::gate::{Gate, STOPPING};
use crate::error::Error;
use crate::plan::Plan;
use crate::report::Report;
use crate::run::{Failure, Input};
use crate::span::{Moment, nanos};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// What reaches the conductor.
pub(crate) enum Message {
    /// A fact or command for the machine.
    Fact(Input),
    /// Set-up ended by itself.
    SetUpEnded(Result<(), Failure>),
    /// Start or stop one component, and answer.
    One { start: bool, id: u32, reply: oneshot::Sender<Result<(), Error>> },
    /// A registration came too late.
    TooLate { name: String },
    /// A component took a step of its own.
    Step { id: u32, step: Arc<str>, count: u64 },
    /// A resource was opened.
    ResourceCreated { id: u32 },
    /// The nudge was run.
    Nudged,
    /// Who waited for the report has it.
    ReportTaken,
    /// A guard was dropped: the program ends by itself.
    GuardDropped,
    /// The host gave up on the run: no use to wait for it to take the report.
    HostGone,
    /// A panic is about to end the process (`panic = "abort"`).
    Panicking { subject: Option<u32>, text: String, done: SyncSender<()> },
}

/// How far the app is, for probes: readiness flips the moment shutdown begins.
pub(crate) const BEFORE: u8 = 0;
pub(crate) const READY: u8 = 1;
pub(crate) const STOPS: u8 = 2;
pub(crate) const OVER: u8 = 3;

pub(crate) struct Shared {
    pub(crate) app: u32,
    pub(crate) number: AppNumber,
    inbox: Sender<Message>,
    pub(crate) receiver: std::sync::Mutex<Option<Receiver<Message>>>,
    /// Woken after each message where no thread waits on the channel itself (virtual time).
    pub(crate) bell: OnceLock<Arc<Notify>>,
    pub(crate) clock: Clock,
    pub(crate) runtime: OnceLock<tokio::runtime::Handle>,
    pub(crate) plan: OnceLock<Arc<Plan>>,
    pub(crate) gate: Gate,
    pub(crate) root: CancellationToken,
    pub(crate) state: AtomicU8,
    pub(crate) report: OnceLock<Arc<Report>>,
    /// Known a little before the report is handed over.
    pub(crate) exit_code: OnceLock<u8>,
    /// Threads of components that were ever started: where there are none, virtual time need not look for them.
    #[cfg(feature = "testkit")]
    pub(crate) threads: AtomicU32,
    /// Rung at ready, at the begin of a shutdown and with the report.
    pub(crate) changed: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("app", &self.app).finish_non_exhaustive()
    }
}

static APPS: AtomicU32 = AtomicU32::new(1);

impl Shared {
    pub(crate) fn new() -> Arc<Shared> {
        let (inbox, receiver) = channel();
        Arc::new(Shared {
            app: APPS.fetch_add(1, Ordering::Relaxed),
            number: AppNumber::take(),
            inbox,
            receiver: std::sync::Mutex::new(Some(receiver)),
            bell: OnceLock::new(),
            clock: Clock::default(),
            runtime: OnceLock::new(),
            plan: OnceLock::new(),
            gate: Gate::default(),
            root: CancellationToken::new(),
            state: AtomicU8::new(BEFORE),
            report: OnceLock::new(),
            exit_code: OnceLock::new(),
            #[cfg(feature = "testkit")]
            threads: AtomicU32::new(0),
            changed: Notify::new(),
        })
    }

    /// Never blocks. After the run is over nobody listens, and nothing needs to be said.
    pub(crate) fn send(&self, message: Message) {
        let _ = self.inbox.send(message);
        if let Some(bell) = self.bell.get() {
            bell.notify_one();
        }
    }

    pub(crate) fn fact(&self, input: Input) {
        self.send(Message::Fact(input));
    }

    pub(crate) fn sender(&self) -> Sender<Message> {
        self.inbox.clone()
    }

    pub(crate) fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    /// Only upwards: a shutdown that overtakes readiness is not undone by it.
    pub(crate) fn advance(&self, state: u8) {
        self.state.fetch_max(state, Ordering::AcqRel);
        if state >= STOPS {
            self.gate.set(STOPPING);
            self.root.cancel();
        }
        self.changed.notify_waiters();
    }

    /// Waits until a condition on this holds; it is looked at again at each change.
    pub(crate) async fn until<T>(&self, mut condition: impl FnMut(&Shared) -> Option<T>) -> T {
        loop {
            // Made before the look: a change between the two is not missed.
            let changed = self.changed.notified();
            if let Some(found) = condition(self) {
                return found;
            }
            changed.await;
        }
    }
}

/// The run's clock: real, or tokio's paused one.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    origin: OnceLock<Instant>,
    paused: AtomicBool,
}

impl Clock {
    pub(crate) fn begin(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        let _ = self.origin.set(self.instant());
    }

    fn instant(&self) -> Instant {
        #[cfg(feature = "testkit")]
        if self.paused.load(Ordering::Acquire) {
            return tokio::time::Instant::now().into_std();
        }
        Instant::now()
    }

    pub(crate) fn now(&self) -> Moment {
        self.moment(self.instant())
    }

    pub(crate) fn moment(&self, at: Instant) -> Moment {
        let origin = self.origin.get().copied().unwrap_or(at);
        Moment(nanos(at.saturating_duration_since(origin)))
    }

    /// The instant of a moment; far in the future for one that never comes.
    pub(crate) fn at(&self, moment: Moment) -> Instant {
        let origin = self.origin.get().copied().unwrap_or_else(|| self.instant());
        origin.checked_add(moment.since_start()).unwrap_or(origin + crate::span::MAX_SPAN)
    }
}
