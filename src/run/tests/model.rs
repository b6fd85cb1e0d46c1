//! A second opinion: reads the rules in the plainest way, watches every fact and every action, and says what must and what may be done.
//! It shares with the machine only the data of the case.

use super::case::Case;
use super::naive::Naive;
use crate::outcome::Outcome;
use crate::reason::ReasonKind;
use crate::span::Moment;
use std::collections::HashMap;
use std::time::Duration;

/// Where a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Unstarted,
    Starting,
    Up,
    /// Its scope is cleared for another start.
    Clearing,
    Pausing,
    Asked,
    TakenBack,
    Over,
}

/// One component.
#[derive(Clone, Debug)]
pub(super) struct One {
    pub(super) at: At,
    pub(super) epoch: u32,
    pub(super) start_by: Moment,
    pub(super) returned: bool,
    pub(super) ready: bool,
    pub(super) finished: bool,
    pub(super) ever_up: bool,
    /// How its work ended, and no restart has cured that yet.
    pub(super) uncured: Outcome,
    /// It was told to end, its start or its work being over.
    pub(super) interrupted: bool,
    /// It was started because its work had ended.
    pub(super) again: bool,
    pub(super) empty: bool,
    pub(super) asked: bool,
    /// 0 none, 1 graceful, 2 cancel, 3 abort, 4 abandon.
    pub(super) rung: u8,
    /// Where a second signal must have brought it.
    pub(super) lifted: Option<u8>,
    /// The next rung is not due before, and not later than.
    pub(super) wait: (Moment, Moment),
    pub(super) holds: bool,
    pub(super) released: bool,
    pub(super) worst: Outcome,
    /// Two timeouts of the same instant: which came first is not said.
    pub(super) unclear: bool,
    pub(super) restarts: Vec<Moment>,
    pub(super) pause: Duration,
    pub(super) wanted: bool,
}

/// A shutdown that is on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Down {
    pub(super) kind: ReasonKind,
    pub(super) cause: Option<u32>,
    pub(super) began: Moment,
    pub(super) tail: Moment,
    pub(super) drained: Moment,
    /// The planned common factor.
    pub(super) share: f64,
    /// So short that the least wait of a millisecond matters.
    pub(super) floors: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Model<'a> {
    pub(super) case: &'a Case,
    pub(super) naive: Naive,
    pub(super) all: Vec<One>,
    pub(super) down: Option<Down>,
    pub(super) signals: Vec<(i32, Moment)>,
    pub(super) hurried: bool,
    pub(super) lifted_at: Option<Moment>,
    /// The tail of the deadline has come.
    pub(super) at_tail: bool,
    /// A third signal ended it, or the tail did.
    pub(super) cut: Option<Option<i32>>,
    /// A critical section ate time that was somebody's.
    pub(super) disturbed: bool,
    pub(super) tickets: HashMap<u64, (u32, bool)>,
    pub(super) freed: Vec<Option<crate::ResourceOutcome>>,
    pub(super) freeing: Option<(u32, Moment)>,
    pub(super) finished: bool,
    /// The first thing that was wrong.
    pub(super) complaint: Option<String>,
}

impl<'a> Model<'a> {
    pub(super) fn new(case: &'a Case) -> Model<'a> {
        let one = One {
            at: At::Unstarted,
            epoch: 0,
            start_by: Moment::NEVER,
            returned: false,
            ready: false,
            finished: false,
            ever_up: false,
            uncured: Outcome::NotStarted,
            interrupted: false,
            again: false,
            empty: false,
            asked: false,
            rung: 0,
            lifted: None,
            wait: (Moment::NEVER, Moment::NEVER),
            holds: false,
            released: false,
            worst: Outcome::NotStarted,
            unclear: false,
            restarts: Vec::new(),
            pause: Duration::ZERO,
            wanted: false,
        };
        Model {
            case,
            naive: Naive::new(case),
            all: vec![one; case.parts.len()],
            down: None,
            signals: Vec::new(),
            hurried: false,
            lifted_at: None,
            at_tail: false,
            cut: None,
            disturbed: false,
            tickets: HashMap::new(),
            freed: vec![None; case.resources.len()],
            freeing: None,
            finished: false,
            complaint: None,
        }
    }

    /// A rule was broken.
    pub(super) fn wrong(&mut self, rule: &str, what: impl Into<String>) {
        self.complaint.get_or_insert(format!("{rule}: {}", what.into()));
    }

    pub(super) fn check(&mut self, holds: bool, rule: &str, what: impl Fn() -> String) {
        if !holds {
            self.wrong(rule, what());
        }
    }
}
