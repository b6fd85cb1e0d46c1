//! The timeline, compact: 24 bytes for each of the frequent events, of which a hundred thousand components have several each.

use crate::event::{Event, EventKind};
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::span::Moment;
use std::time::Duration;

/// Whom a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Run,
    Component(u32),
    Resource(u32),
}

#[derive(Clone, Copy, Debug)]
struct Note {
    at: Moment,
    subject: Subject,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    StartBegan,
    Started,
    /// In microseconds.
    StopBegan(u32),
    StopReturned,
    ComponentEnded(Outcome),
    /// All other kinds, in a list of their own.
    Rich(u32),
}

/// All events so far, in order.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    notes: Vec<Note>,
    rich: Vec<EventKind>,
    /// Events that a long run repeated too often to keep.
    pub(crate) dropped: u64,
}

/// A run of months must not fill the memory with what went wrong again and again: so many are kept.
const REPEATED: usize = 50_000;

fn repeats(kind: &EventKind) -> bool {
    use EventKind as K;
    matches!(
        kind,
        K::TaskEnded { .. } | K::RestartScheduled { .. } | K::WorkerBlocked { .. } | K::WorkerFreed { .. } | K::RegistrationRefused | K::Step { .. }
    )
}

impl Timeline {
    pub(crate) fn push(&mut self, at: Moment, subject: Subject, kind: EventKind) {
        if self.rich.len() >= REPEATED && repeats(&kind) {
            self.dropped += 1;
            return;
        }
        let what = match kind {
            EventKind::StartBegan => What::StartBegan,
            EventKind::StartEnded { error: None } => What::Started,
            EventKind::StopReturned => What::StopReturned,
            EventKind::ComponentEnded { outcome } => What::ComponentEnded(outcome),
            EventKind::StopBegan { budget } if budget.as_micros() <= u128::from(u32::MAX) => What::StopBegan(budget.as_micros() as u32),
            kind => {
                self.rich.push(kind);
                What::Rich((self.rich.len() - 1) as u32)
            }
        };
        self.notes.push(Note { at, subject, what });
    }

    pub(crate) fn reserve(&mut self, more: usize) {
        self.notes.reserve_exact(more);
    }

    pub(crate) fn len(&self) -> usize {
        self.notes.len()
    }

    pub(crate) fn at(&self, index: usize) -> Moment {
        self.notes[index].at
    }

    pub(crate) fn subject(&self, index: usize) -> Subject {
        self.notes[index].subject
    }

    pub(crate) fn kind(&self, index: usize) -> EventKind {
        match self.notes[index].what {
            What::StartBegan => EventKind::StartBegan,
            What::Started => EventKind::StartEnded { error: None },
            What::StopBegan(budget) => EventKind::StopBegan { budget: Duration::from_micros(budget.into()) },
            What::StopReturned => EventKind::StopReturned,
            What::ComponentEnded(outcome) => EventKind::ComponentEnded { outcome },
            What::Rich(kind) => self.rich[kind as usize].clone(),
        }
    }

    /// One event with its names.
    pub(crate) fn event(&self, plan: &Plan, index: usize) -> Event {
        let subject = match self.subject(index) {
            Subject::Run => None,
            Subject::Component(id) => plan.components.get(id as usize).map(|c| c.name.clone()),
            Subject::Resource(id) => plan.resources.get(id as usize).map(|r| r.name.clone()),
        };
        Event { at: self.at(index).since_start(), subject, kind: self.kind(index) }
    }
}
