//! Looks every few milliseconds which threads are in the same poll as before, nudges the runtime while one is, and names it (T9).

use crate::scope::blame::{self, OUTSIDE, Place, Slot};
use crate::scope::{Message, Shared};
use crate::span::Moment;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks.
pub(super) const PERIOD: Duration = Duration::from_millis(10);
/// A worker held this long is blocked: the runtime is nudged, and whoever it is gets a warning.
const BLOCKED: Duration = Duration::from_millis(20);
/// Held this long it goes into the report.
pub(super) const RECORDED: Duration = Duration::from_millis(100);
/// The same task is warned about once in this time.
const WARN_AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Watch {
    slots: Vec<&'static Slot>,
    seen: Vec<Seen>,
    pub(super) next: Moment,
    last: Moment,
    nudged: bool,
    warned: HashMap<Place, Moment>,
}

#[derive(Clone, Debug)]
struct Seen {
    word: u64,
    since: Moment,
    recorded: bool,
    /// The task's name, asked for while it is blocked: once it is over nobody knows it.
    task: Option<String>,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Blocked for some 20 ms.
    Warn { place: Place, task: String, since: Moment },
    /// Blocked for 100 ms; said once.
    Record { place: Place, task: String, since: Moment },
    /// Recorded, and free again.
    Freed { place: Place, task: String, since: Moment, lasted: Duration },
}

impl Watch {
    pub(super) fn new() -> Watch {
        Watch { slots: Vec::new(), seen: Vec::new(), next: Moment::default(), last: Moment::default(), nudged: false, warned: HashMap::new() }
    }

    /// One look.
    pub(super) fn look(&mut self, now: Moment, shared: &Arc<Shared>, name: impl Fn(Place) -> String) -> Vec<Found> {
        self.next = now.plus(PERIOD);
        // The whole process was held up, this thread too: that is nobody's blame.
        let gap = now.since(std::mem::replace(&mut self.last, now));
        let held_up = if gap > RECORDED { gap - PERIOD } else { Duration::ZERO };
        if blame::slot_count().is_some_and(|count| count != self.slots.len())
            && let Some(slots) = blame::slots()
        {
            self.slots = slots;
            self.seen.resize(self.slots.len(), Seen { word: 0, since: now, recorded: false, task: None });
        }
        let mut found = Vec::new();
        let mut blocked = false;
        for (slot, seen) in self.slots.iter().zip(&mut self.seen) {
            seen.since = seen.since.plus(held_up).min(now);
            let word = slot.word();
            if word != seen.word {
                if let (true, Some(place)) = (seen.recorded, Place::of(seen.word)) {
                    let task = seen.task.take().unwrap_or_default();
                    found.push(Found::Freed { place, task, since: seen.since, lasted: now.since(seen.since) });
                }
                *seen = Seen { word, since: now, recorded: false, task: None };
                continue;
            }
            let Some(place) = Place::of(word) else { continue };
            let held = now.since(seen.since);
            if held < BLOCKED || (place.app != shared.number.0 && place.subject != OUTSIDE) {
                continue;
            }
            blocked = true;
            if place.subject == OUTSIDE {
                continue;
            }
            let task = seen.task.get_or_insert_with(|| name(place)).clone();
            if self.warned.get(&place).is_none_or(|&at| now.since(at) > WARN_AGAIN) {
                // Tasks come and go: what was warned about long ago is forgotten.
                self.warned.retain(|_, at| now.since(*at) <= WARN_AGAIN);
                self.warned.insert(place, now);
                found.push(Found::Warn { place, task: task.clone(), since: seen.since });
            }
            if held >= RECORDED && !seen.recorded {
                seen.recorded = true;
                found.push(Found::Record { place, task, since: seen.since });
            }
        }
        if blocked {
            self.nudge(shared);
        }
        found
    }

    /// An empty task from here wakes a sleeping worker, which then looks after timers and I/O. One outstanding at most.
    fn nudge(&mut self, shared: &Arc<Shared>) {
        if self.nudged {
            return;
        }
        if let Some(runtime) = shared.runtime.get() {
            self.nudged = true;
            let shared = shared.clone();
            runtime.spawn(async move { shared.send(Message::Nudged) });
        }
    }

    pub(super) fn nudge_ran(&mut self) {
        self.nudged = false;
    }

    /// Who is blocked right now: the thread's name, where it is, since when.
    pub(super) fn blocked(&self, now: Moment, app: u8) -> Vec<(String, Place, Moment)> {
        let threads = self.slots.iter().zip(&self.seen).filter(|(slot, seen)| slot.word() == seen.word && now.since(seen.since) >= BLOCKED);
        let places = threads.filter_map(|(slot, seen)| Some((slot.thread(), Place::of(seen.word)?, seen.since)));
        // Outside a scope a thread that is merely busy looks the same; it is worth a line only if the runtime does not answer.
        places.filter(|(_, place, _)| place.app == app || (place.subject == OUTSIDE && self.nudged)).collect()
    }
}
