//! The end: the report made, written, handed over; and the process left when it must be.
//!
//! Nothing here waits without a bound. Behind it all stands the net: a thread that leaves the process shortly after the last deadline, should
//! even this hang.

use super::signals::Ears;
use super::step::{Conductor, Ownership};
use crate::app::OnDeadline;
use crate::outcome::Verdict;
use crate::report::{Blocked, Raw, Report};
use crate::run::machine::{Cut, Stage};
use crate::run::{Cause, Failure, Subject};
use crate::scope::{OVER, Shared};
use crate::span::Moment;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

/// How long after the last deadline the net leaves.
const NET: Duration = Duration::from_millis(2);
/// How long a report may take to be written when no deadline presses, and how long its text on a terminal.
const WRITING: Duration = Duration::from_secs(2);
const PRINTING: Duration = Duration::from_millis(200);
/// Both, when somebody has signalled three times.
/// A host has this long at least to take its report.
const HAND_OVER: Duration = Duration::from_millis(50);
const AT_ONCE: Duration = Duration::from_millis(100);

/// What the end needs to know.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(super) ownership: Ownership,
    on_deadline: OnDeadline,
    report_to: Option<PathBuf>,
    real: bool,
    /// Signals are heard while this is here.
    pub(super) ears: Option<Ears>,
    /// Until when a host that has not taken its report is waited for.
    host_until: Moment,
    /// Who waits on a thread for the report.
    pub(super) done: Option<Sender<Arc<Report>>>,
    /// Who waits for it has it, or is gone.
    pub(super) taken: bool,
    /// Dropping it disarms the net.
    net: Option<Sender<()>>,
}

impl Ending {
    pub(super) fn new(ownership: Ownership, options: &crate::app::Options, real: bool) -> Ending {
        let on_deadline = if real { options.on_deadline } else { OnDeadline::Return };
        Ending {
            ownership,
            on_deadline,
            report_to: options.report_to.clone(),
            real,
            ears: None,
            host_until: Moment::NEVER,
            done: None,
            taken: false,
            net: None,
        }
    }
}

/// Leaves the process without running exit handlers: they may wait for what is blocked.
pub(crate) fn exit_now(code: u8) -> ! {
    signal_hook::low_level::exit(i32::from(code))
}

impl Conductor {
    /// A thread that leaves when the deadline has passed, whatever happens here.
    pub(super) fn arm_net(&mut self) {
        let (Some(shutdown), true) = (&self.machine.shutdown, self.ending.real && self.ending.on_deadline == OnDeadline::Exit) else { return };
        let shared = self.inner.shared.clone();
        let until = shared.clock.at(shutdown.deadline) + NET;
        let (net, disarmed) = channel::<()>();
        let body = move || {
            let left = until.saturating_duration_since(Instant::now());
            if disarmed.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                exit_now(shared.exit_code.get().copied().unwrap_or(124));
            }
        };
        if std::thread::Builder::new().name("winddown-net".into()).spawn(body).is_ok() {
            self.ending.net = Some(net);
        }
    }

    /// Everything is terminal, or given up: make the report and hand it over.
    pub(super) fn finish(&mut self, now: Moment) {
        let blocked_at_end = self.blocked_at_end(now);
        self.voice.pass_on(&self.machine);
        let dropped = self.voice.herald.dropped + self.voice.printer.dropped() + self.machine.timeline.dropped;
        let mut raw = Raw::take(&mut self.machine, now, std::mem::take(&mut self.extras));
        self.voice.start_afresh();
        raw.blocked_at_end = blocked_at_end;
        raw.dropped_events = dropped;
        let report = Arc::new(Report::new(raw));
        self.publish(&report);
        if !self.ending.real {
            return;
        }
        let expired = self.machine.cut == Some(Cut::Deadline);
        // A guarded program that did not end in its time is the same thing.
        let overdue = self.ending.ownership == Ownership::Guarded && report.verdict() == Verdict::Forced;
        if (expired || overdue) && self.ending.on_deadline == OnDeadline::Exit {
            exit_now(report.exit_code());
        }
    }

    /// Writes and prints it, then lets everybody have it.
    fn publish(&mut self, report: &Arc<Report>) {
        self.tickets.clear();
        let _ = self.inner.shared.exit_code.set(report.exit_code());
        let bound = self.time_to_write();
        let began = Instant::now();
        let written = self.ending.report_to.take().and_then(|path| scribe(path, report.clone()));
        self.voice.printer.print_at_last(self.ending.leaves(report), || report.to_text(colours()));
        self.voice.printer.flush(bound.min(PRINTING));
        if let Some(written) = written {
            match written.recv_timeout(bound.saturating_sub(began.elapsed())) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.voice.say(format_args!("the report could not be written: {error}")),
                Err(_) => self.voice.say("the report could not be written in time"),
            }
        }
        self.voice.herald.flush(bound.saturating_sub(began.elapsed()).min(PRINTING));
        if self.ending.ownership != Ownership::Ours {
            // Before anybody can go on: from now on signals have their default action again.
            self.ending.ears = None;
            self.ending.net = None;
        }
        let shared = &self.inner.shared;
        // Whoever gets it late is given a little time to take it.
        let handed_over = shared.clock.now().plus(HAND_OVER);
        self.ending.host_until = self.machine.shutdown.as_ref().map_or(handed_over, |s| s.deadline.max(handed_over));
        let _ = shared.report.set(report.clone());
        shared.advance(OVER);
        if let Some(done) = self.ending.done.take() {
            let _ = done.send(report.clone());
        }
    }

    /// This thread panicked, which is a defect of winddown: whoever waits must not wait for ever.
    pub(super) fn broken(&mut self, failure: &Failure) {
        let name = self.machine.plan.app.clone();
        let problem = format!("winddown's own thread panicked, which is a defect, please report it: {}", failure.text);
        self.publish(&Arc::new(Report::refused(name, vec![problem])));
    }

    fn time_to_write(&self) -> Duration {
        match (&self.machine.shutdown, self.machine.cut) {
            (_, Some(Cut::Signal(_))) => AT_ONCE,
            (Some(shutdown), cut) => {
                // A host that is in time has the other half to take its report.
                let left = shutdown.deadline.since(self.inner.shared.clock.now());
                let share = if cut.is_none() && self.ending.ownership == Ownership::Host { left / 2 } else { left };
                share.clamp(Duration::from_millis(1), WRITING)
            }
            (None, _) => WRITING,
        }
    }

    /// A third signal.
    pub(super) fn leave_at_once(&mut self) {
        if !self.ending.real || self.ending.on_deadline == OnDeadline::Return {
            return;
        }
        self.voice.pass_on(&self.machine);
        self.voice.printer.flush(Duration::from_millis(5));
        // A run that was over by then leaves as its report says.
        exit_now(self.inner.shared.exit_code.get().copied().unwrap_or(124));
    }

    /// After the report: is there nothing left to do for this thread?
    pub(crate) fn is_over(&mut self, now: Moment) -> bool {
        if self.machine.stage != Stage::Done {
            return false;
        }
        match self.ending.ownership {
            // Signals are still ours, until the process has gone.
            Ownership::Ours => false,
            Ownership::Guarded => self.disarm(),
            Ownership::Host if self.ending.taken => self.disarm(),
            Ownership::Host => {
                // Nobody took the report: the runtime does not let them.
                if self.ending.host_until > now {
                    return false;
                }
                if self.ending.on_deadline == OnDeadline::Exit
                    && let Some(report) = self.inner.shared.report.get()
                {
                    self.voice.printer.print_at_last(true, || report.to_text(colours()));
                    self.voice.printer.flush(Duration::from_millis(1));
                    exit_now(if report.exit_code() == 0 { 124 } else { report.exit_code() });
                }
                self.disarm()
            }
        }
    }

    fn disarm(&mut self) -> bool {
        self.ending.net = None;
        true
    }

    /// When the wait for the host ends.
    pub(crate) fn host_deadline(&self) -> Option<Moment> {
        let waits = self.machine.stage == Stage::Done && self.ending.ownership == Ownership::Host && !self.ending.taken;
        waits.then_some(self.ending.host_until)
    }

    /// The workers that are blocked now, for the report.
    fn blocked_at_end(&mut self, now: Moment) -> Vec<String> {
        let number = self.inner.shared.number.0;
        let Some(watch) = &mut self.watch else { return Vec::new() };
        let blocked = watch.blocked(now, number);
        let mut lines = Vec::new();
        for (thread, place, since) in blocked {
            let (who, task) = (self.who(place.subject), self.task_name(place.subject, place.task));
            let held = crate::span::Show(now.since(since));
            lines.push(match self.subject(place.subject) {
                Subject::Run if who.starts_with("code") => format!("{thread}: {who}, for {held}"),
                _ => format!("{thread}: {who}, in `{task}`, for {held}"),
            });
            if now.since(since) >= super::watch::RECORDED {
                self.keep_longest(self.subject(place.subject), Blocked { task, since, lasted: now.since(since) });
            }
        }
        lines
    }

    /// A panic is about to end the process: say who it was while there is time (R2).
    pub(super) fn process_panics(&mut self, now: Moment, subject: Option<u32>, text: &str, done: &SyncSender<()>) {
        let component = subject.and_then(|s| match self.subject(s) {
            Subject::Component(id) => Some(id),
            _ => None,
        });
        if let Some(id) = component {
            self.machine.panicked(now, id, Failure::panic(text));
        }
        let who = subject.map_or_else(|| "code outside any component".to_owned(), |s| self.who(s));
        self.voice.say(format_args!("{who} panicked, and a panic ends this process: {text}"));
        let kind = crate::ReasonKind::ComponentFailed;
        self.machine.give_up(now, Cause { kind, detail: text.to_owned(), component });
        self.ending.on_deadline = OnDeadline::Return;
        // The panic leaves the process, not `main`, which goes on waiting.
        std::mem::forget(self.ending.done.take());
        self.settle(now);
        let _ = done.try_send(());
    }
}

impl Ending {
    /// Is the process about to be left from within?
    fn leaves(&self, report: &Report) -> bool {
        self.on_deadline == OnDeadline::Exit && matches!(report.raw().cut, Some(Cut::Deadline | Cut::Signal(_)))
    }
}

/// A file system may hang: written on a thread of its own.
fn scribe(path: PathBuf, report: Arc<Report>) -> Option<std::sync::mpsc::Receiver<std::io::Result<()>>> {
    let (done, written) = sync_channel(1);
    let body = move || {
        let _ = done.try_send(report.write_to(&path));
    };
    std::thread::Builder::new().name("winddown-scribe".into()).spawn(body).ok()?;
    Some(written)
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Tells the conductor that who waited for the report has it.
pub(crate) fn taken(shared: &Shared) {
    shared.send(crate::scope::Message::ReportTaken);
}
