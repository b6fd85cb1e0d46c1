//! What becomes of a message whose handling failed: a pure function of what went wrong, the attempt and the rules.

use super::errors::{Poison, Retry, find};
use crate::messaging::{Backoff, random::Random};
use std::sync::Arc;
use std::time::Duration;

/// An error's text is kept up to so many bytes: it becomes a property of the dead letter, and brokers bound those (RocketMQ at 32 KiB for all).
const TEXT: usize = 1_024;

/// How often a message is tried, and when somebody is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) max_attempts: u32,
    pub(super) notify_after: u32,
    pub(super) backoff: Backoff,
}

/// What went wrong in one handling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) kind: FailureKind,
    /// The error's or panic's text.
    pub(super) text: Arc<str>,
    /// The delay that the handler asked for.
    pub(super) after: Option<Duration>,
    pub(super) poison: bool,
}

/// In which way a handling failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The handler returned an error.
    Error,
    /// It panicked.
    Panic,
    /// It took longer than the consumer's `handler_timeout`.
    TimedOut,
    /// It was not called: the message came more often than `max_attempts` allows, since a process ended while it had it, or since it
    /// could not be moved to the dead letters before.
    Exhausted,
}

/// What comes next for a message whose handling failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It comes again, not before this delay.
    Retry(Duration),
    /// It goes to the group's dead letters.
    DeadLetter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) next: Next,
    /// Are the failure hooks run?
    pub(super) notify: bool,
}

impl Failing {
    pub(super) fn new(kind: FailureKind, text: &str) -> Failing {
        Failing { kind, text: cut(text).into(), after: None, poison: false }
    }

    /// Formats the error, which is the user's code.
    pub(super) fn of(error: &anyhow::Error) -> Failing {
        Failing {
            after: find::<Retry>(error).map(Retry::delay),
            poison: find::<Poison>(error).is_some(),
            ..Failing::new(FailureKind::Error, &format!("{error:#}"))
        }
    }

    /// Why it is a dead letter.
    pub(super) fn reason(&self, attempt: u32) -> String {
        match self.kind {
            _ if self.poison => self.text.to_string(),
            FailureKind::Error => format!("attempt {attempt} failed: {}", self.text),
            FailureKind::Panic => format!("attempt {attempt} panicked: {}", self.text),
            FailureKind::TimedOut => format!("attempt {attempt} timed out: {}", self.text),
            FailureKind::Exhausted => self.text.to_string(),
        }
    }
}

pub(super) fn judge(failing: &Failing, attempt: u32, rules: &Rules, random: &mut Random) -> Verdict {
    let dead = failing.poison || attempt >= rules.max_attempts;
    let next = match failing.after {
        _ if dead => Next::DeadLetter,
        Some(delay) => Next::Retry(delay),
        None => Next::Retry(rules.backoff.pause(attempt, random)),
    };
    Verdict { next, notify: attempt >= rules.notify_after }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { max_attempts: 5, notify_after: 3, backoff: Backoff::new(Duration::from_millis(100), Duration::from_millis(300)) };

    fn failing(kind: FailureKind) -> Failing {
        Failing::new(kind, "no")
    }

    #[test]
    fn m8_the_table_of_verdicts() {
        let plain = failing(FailureKind::Error);
        let later = Failing { after: Some(Duration::from_secs(60)), ..failing(FailureKind::Error) };
        let poison = Failing { poison: true, ..failing(FailureKind::Error) };
        let both = Failing { poison: true, ..later.clone() };
        let (panic, late) = (failing(FailureKind::Panic), failing(FailureKind::TimedOut));
        // What failed, attempt, bare delay in ms (None: dead letter), are hooks run?
        let table = [
            (&plain, 1, Some(100), false),
            (&plain, 2, Some(200), false),
            (&plain, 3, Some(300), true),
            (&plain, 4, Some(300), true),
            (&plain, 5, None, true),
            (&plain, u32::MAX, None, true),
            (&panic, 1, Some(100), false),
            (&panic, 5, None, true),
            (&late, 2, Some(200), false),
            (&late, 5, None, true),
            (&poison, 1, None, false),
            (&poison, 3, None, true),
            (&both, 1, None, false),
            (&later, 1, Some(60_000), false),
            (&later, 3, Some(60_000), true),
            (&later, 5, None, true),
        ];
        let mut random = Random::seeded(1);
        for (failing, attempt, bare, notify) in table {
            for _ in 0..50 {
                let verdict = judge(failing, attempt, &RULES, &mut random);
                assert_eq!(verdict.notify, notify, "{failing:?} {attempt}");
                match (verdict.next, bare) {
                    (Next::DeadLetter, None) => {}
                    (Next::Retry(delay), Some(bare)) if failing.after.is_some() => assert_eq!(delay, Duration::from_millis(bare)),
                    (Next::Retry(delay), Some(bare)) => {
                        let bare = Duration::from_millis(bare);
                        assert!(bare / 2 <= delay && delay <= bare, "{failing:?} {attempt}: {delay:?}");
                    }
                    other => panic!("{failing:?} {attempt}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn m8_delays_have_jitter() {
        let mut random = Random::seeded(2);
        let delays: std::collections::BTreeSet<_> = (0..20)
            .map(|_| match judge(&failing(FailureKind::Error), 1, &RULES, &mut random).next {
                Next::Retry(delay) => delay,
                Next::DeadLetter => panic!("too early"),
            })
            .collect();
        assert!(delays.len() > 10, "{delays:?}");
    }

    #[test]
    fn m8_a_long_text_is_cut_at_a_character() {
        let text = "ü".repeat(TEXT);
        let failing = Failing::new(FailureKind::Error, &text);
        assert!(failing.text.len() <= TEXT && text.starts_with(&*failing.text));
    }

    #[test]
    fn m8_poison_is_told_by_its_own_reason() {
        let failing = Failing::of(&anyhow::Error::from(Poison::new("no such customer")).context("looking it up"));
        assert!(failing.poison);
        assert_eq!(failing.reason(1), "looking it up: poison: no such customer");
    }
}
