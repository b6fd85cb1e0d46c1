//! How a case ended, and what tests ask about it.

use crate::report::{ComponentReport, Report};
use crate::run::Action;
use crate::span::Moment;
use std::time::Duration;

/// How it all ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) report: Report,
    pub(super) log: Vec<(Moment, Action)>,
    pub(super) ended: Moment,
}

impl Ending {
    fn find<T>(&self, what: impl Fn(&Action) -> Option<T>) -> Vec<(u64, T)> {
        self.log.iter().filter_map(|(at, action)| Some((at.0 / 1_000_000, what(action)?))).collect()
    }
    /// When its start was called, each time, in milliseconds.
    pub(super) fn starts(&self, c: u32) -> Vec<u64> {
        self.find(|a| matches!(a, Action::Start { id, .. } if *id == c).then_some(())).into_iter().map(|(at, ())| at).collect()
    }
    /// When it was asked to stop, and its budget, each time.
    pub(super) fn asks(&self, c: u32) -> Vec<(u64, Duration)> {
        let asked = self.log.iter().filter_map(|(at, action)| match action {
            Action::AskStop { id, deadline } if *id == c => Some((at.0 / 1_000_000, deadline.since(*at))),
            _ => None,
        });
        asked.collect()
    }
    /// When an action was given for the first time.
    pub(super) fn when(&self, wanted: impl Fn(&Action) -> bool) -> Option<u64> {
        self.find(|a| wanted(a).then_some(())).first().map(|(at, ())| *at)
    }
    /// When it became terminal, each time.
    pub(super) fn over(&self, c: u32) -> Vec<u64> {
        self.find(|a| matches!(a, Action::Ended { id, .. } if *id == c).then_some(())).into_iter().map(|(at, ())| at).collect()
    }
    /// What each ticket was answered.
    pub(super) fn answers(&self) -> Vec<(u64, bool)> {
        self.find(|a| if let Action::Answer { result, .. } = a { Some(result.is_ok()) } else { None })
    }
    pub(super) fn of(&self, c: u32) -> &ComponentReport {
        &self.report.components()[c as usize]
    }
}
