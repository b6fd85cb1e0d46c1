//! What a child writes, line by line, with waiting.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// All lines of one stream so far. Read on a thread of its own, so that the child is never held up.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    lines: Vec<String>,
    closed: bool,
}

impl Lines {
    pub(crate) fn read(stream: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let writer = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                writer.update(|state| state.lines.push(line));
            }
            writer.update(|state| state.closed = true);
        });
        lines
    }

    /// A stream that goes elsewhere: nothing can be read of it.
    pub(crate) fn none() -> Lines {
        let lines = Lines::default();
        lines.update(|state| state.closed = true);
        lines
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.0;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// Waits for a line, also among those already there. `None` when the stream ends or the time is over without it.
    pub(crate) fn wait_for(&self, bound: Duration, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.wait_for_nth(bound, 1, wanted)
    }

    /// Waits for the `n`th such line.
    pub(crate) fn wait_for_nth(&self, bound: Duration, n: usize, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + bound;
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = state.lines.iter().filter(|line| wanted(line)).nth(n - 1) {
                return Some(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the end of the stream, so that the text is whole.
    pub(crate) fn wait_closed(&self, bound: Duration) {
        let _ = self.wait_for(bound, |_| false);
    }

    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).lines.join("\n")
    }
}
