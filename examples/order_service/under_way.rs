//! Which ids are on their way through the intake, so that two orders never race for one id.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The set; all clones are the same.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashSet<String>>>);

/// One id that is under way; free again when dropped.
pub(crate) struct Mine {
    id: String,
    all: UnderWay,
}

impl UnderWay {
    /// Takes an id; nothing if somebody else has it.
    pub(crate) fn enter(&self, id: &str) -> Option<Mine> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        new.then(|| Mine { id: id.to_owned(), all: self.clone() })
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
