//! What happens when: the cues of a run, given to the machine between two of its steps.
//!
//! The way: an event comes out of the timeline; every cue that waits for it either acts at once, or is put down for a later moment, when
//! the shell asks again. Acting makes facts for the machine, of the same instant, or calls the test's closure.
//!
//! - Q1. A cue acts once.
//! - Q2. Cues of one event, or of one moment, act in the order in which they were given.

use super::when::{What, When};
use crate::conductor::Director;
use crate::event::{Event, EventKind};
use crate::run::Input;
use crate::span::{MAX_SPAN, Moment};
use std::time::Duration;

/// What a cue does.
pub(super) enum Act {
    ShutDown,
    Signal(i32, &'static str),
    Call(Box<dyn FnOnce()>),
    /// The run has lasted too long.
    Horizon,
}

pub(super) struct Cue {
    pub(super) when: When,
    state: State,
    act: Option<Act>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    DueAt(Moment),
    Over,
}

impl Cue {
    pub(super) fn new(when: When, act: Act) -> Cue {
        let state = match when.what {
            What::At(span) => State::DueAt(moment(span.saturating_add(when.then))),
            _ => State::Waits,
        };
        Cue { when, state, act: Some(act) }
    }

    /// Has it not come to it?
    pub(super) fn waits(&self) -> bool {
        self.act.is_some()
    }
}

/// All cues of a run.
#[derive(Default)]
pub(super) struct Cues {
    pub(super) cues: Vec<Cue>,
    shutdown: bool,
    /// The horizon came and nobody had asked for a shutdown.
    pub(super) endless: bool,
}

impl Cues {
    fn act(&mut self, index: usize, inputs: &mut Vec<Input>) {
        let cue = &mut self.cues[index];
        cue.state = State::Over;
        match cue.act.take() {
            Some(Act::ShutDown) => inputs.push(Input::Request { why: format!("the test, at {}", cue.when) }),
            Some(Act::Signal(number, name)) => inputs.push(Input::Signal { number, name }),
            Some(Act::Call(call)) => call(),
            // What stops already has its own end.
            Some(Act::Horizon) if !self.shutdown => {
                self.endless = true;
                inputs.push(Input::Request { why: format!("nothing had stopped it by {}", cue.when) });
            }
            Some(Act::Horizon) | None => {}
        }
    }
}

impl Director for Cues {
    fn next(&self) -> Option<Moment> {
        let due = |cue: &Cue| match cue.state {
            State::DueAt(at) => Some(at),
            State::Waits | State::Over => None,
        };
        self.cues.iter().filter_map(due).min()
    }

    fn due(&mut self, now: Moment) -> Vec<Input> {
        let mut inputs = Vec::new();
        for index in 0..self.cues.len() {
            if matches!(self.cues[index].state, State::DueAt(at) if at <= now) {
                self.act(index, &mut inputs);
            }
        }
        inputs
    }

    fn saw(&mut self, event: &Event) -> Vec<Input> {
        self.shutdown |= matches!(event.kind(), EventKind::ShutdownBegan { .. });
        let mut inputs = Vec::new();
        for index in 0..self.cues.len() {
            let cue = &mut self.cues[index];
            if cue.state != State::Waits || !cue.when.fits(event) {
                continue;
            }
            if cue.when.then.is_zero() {
                self.act(index, &mut inputs);
            } else {
                cue.state = State::DueAt(moment(event.at().saturating_add(cue.when.then)));
            }
        }
        inputs
    }
}

fn moment(span: Duration) -> Moment {
    Moment::default().plus(span.min(MAX_SPAN))
}
