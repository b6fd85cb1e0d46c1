//! What is said while it runs: lines for people, events for observers.

use super::herald::{Herald, detail, is_bad};
use super::printer::Printer;
use super::step::Conductor;
use crate::event::{Event, EventKind};
use crate::run::machine::{Machine, Stage};
use crate::run::table::Life;
use crate::span::{Moment, Show};
use std::time::Duration;

/// Between two lines that say who is waited for.
const WAITING: Duration = Duration::from_secs(1);
/// With more components than this, only what went wrong gets a line.
const CHATTY: usize = 50;

pub(super) struct Voice {
    app: String,
    pub(super) printer: Printer,
    pub(super) herald: Herald,
    /// Observers are known only once set-up is over; nothing is lost until then, the notes wait.
    pub(super) may_announce: bool,
    printed: usize,
    announced: usize,
    next_waiting: Moment,
}

impl Voice {
    pub(super) fn new(app: String, printer: Printer, herald: Herald) -> Voice {
        Voice { app, printer, herald, may_announce: false, printed: 0, announced: 0, next_waiting: Moment::NEVER }
    }

    pub(super) fn say(&mut self, text: impl std::fmt::Display) {
        self.printer.print(format!("{}: {text}\n", self.app));
    }

    pub(super) fn warn_blocked(&mut self, who: &str, task: &str, held: Duration) {
        self.say(format_args!("{who} has blocked a runtime worker in `{task}` for {}; others wait behind it", Show(held)));
    }

    /// The report has taken the notes over.
    pub(super) fn start_afresh(&mut self) {
        (self.printed, self.announced) = (0, 0);
    }

    /// Passes on what the machine has noted since the last time.
    pub(super) fn pass_on(&mut self, machine: &Machine) {
        let timeline = &machine.timeline;
        while self.printed < timeline.len() {
            let index = self.printed;
            self.printed += 1;
            if self.printer.is_on() && worth_a_line(machine, &timeline.kind(index)) {
                let line = self.line(&timeline.event(&machine.plan, index));
                self.printer.print(line);
            }
        }
        if !self.may_announce {
            return;
        }
        if self.herald.listens() {
            (self.announced..timeline.len()).for_each(|index| self.herald.tell(timeline.event(&machine.plan, index)));
        }
        self.announced = timeline.len();
    }

    fn line(&self, event: &Event) -> String {
        let subject = event.subject().map(|s| format!("{s}: ")).unwrap_or_default();
        let text = match event.kind() {
            EventKind::ShutdownBegan { trigger, grace } => format!("stopping ({trigger}), {} at most", Show(*grace)),
            EventKind::SignalReceived { signal, effect } => format!("{signal}: {effect}"),
            EventKind::ComponentEnded { outcome } => outcome.name().to_owned(),
            EventKind::DestroyEnded { outcome } => outcome.name().to_owned(),
            EventKind::CancelBegan => "its time is over; cancelling".to_owned(),
            EventKind::AbortBegan => "did not heed the cancel; dropping its futures".to_owned(),
            EventKind::StartEnded { error: Some(error) } => format!("did not start: {error}"),
            EventKind::SetUpEnded { error: Some(error) } => format!("set-up failed: {error}"),
            EventKind::TaskEnded { task, error: Some(error) } => format!("`{task}` failed: {error}"),
            EventKind::LeaseOutlived { holder } => format!("still leased by {holder}, waiting for it"),
            EventKind::RestartScheduled { .. } => detail(event.kind()),
            kind => format!("{} {}", kind.name().replace('_', " "), detail(kind)),
        };
        format!("{}: {subject}{text}\n", self.app)
    }
}

fn worth_a_line(machine: &Machine, kind: &EventKind) -> bool {
    match kind {
        EventKind::ComponentEnded { outcome } => *outcome >= crate::Outcome::Failed || machine.plan.components.len() <= CHATTY,
        EventKind::ShutdownBegan { .. } | EventKind::SignalReceived { .. } => true,
        // Has its own line.
        EventKind::WorkerBlocked { .. } => false,
        kind => is_bad(kind),
    }
}

impl Conductor {
    /// P4: for whom, how much is in flight, how long is left; one line a second at most.
    pub(super) fn say_waiting(&mut self, now: Moment) {
        let Some(shutdown) = &self.machine.shutdown else { return };
        let waits = matches!(self.machine.stage, Stage::Stopping | Stage::Destroying | Stage::DroppingSetUp { .. });
        if self.voice.next_waiting == Moment::NEVER {
            self.voice.next_waiting = now.plus(WAITING);
        }
        if !waits || now < self.voice.next_waiting || !self.voice.printer.is_on() {
            return;
        }
        self.voice.next_waiting = now.plus(WAITING);
        let left = Show(shutdown.deadline.since(now)).to_string();
        let mut named = Vec::new();
        let mut more = 0;
        for (id, comp) in self.machine.comps.iter().enumerate() {
            if !matches!(comp.life, Life::Stopping | Life::Undoing) {
                continue;
            }
            if named.len() == 3 {
                more += 1;
                continue;
            }
            let scope = self.slots.get(id).and_then(|slot| slot.scope.as_ref());
            let progress = scope.and_then(|scope| {
                scope
                    .extra_if_any()
                    .and_then(|extra| extra.progress())
                    .or_else(|| (scope.members() > 1).then(|| format!("{} tasks", scope.members())))
            });
            let name = &self.machine.plan.components[id].name;
            named.push(progress.map_or_else(|| name.to_string(), |progress| format!("{name}, {progress}")));
        }
        if named.is_empty() {
            named.push(if self.machine.stage == Stage::Destroying { "resources".into() } else { "set-up".into() });
        }
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.voice.say(format_args!("waiting on {}{more}, {left} left", named.join("; ")));
    }
}
