//! How a delivery is named when it is settled.

use std::sync::Arc;

/// What a broker gave with a delivery, to settle it by: opaque to everybody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    numbers: (u64, u64),
    text: Option<Arc<str>>,
}

impl Receipt {
    /// Two numbers, such as an offset and a generation.
    pub const fn numbers(first: u64, second: u64) -> Receipt {
        Receipt { numbers: (first, second), text: None }
    }

    /// A text, such as a handle.
    pub fn text(text: impl Into<Arc<str>>) -> Receipt {
        Receipt { numbers: (0, 0), text: Some(text.into()) }
    }

    /// Both.
    pub fn with_text(self, text: impl Into<Arc<str>>) -> Receipt {
        Receipt { text: Some(text.into()), ..self }
    }

    /// The numbers; zeros if there are none.
    pub const fn as_numbers(&self) -> (u64, u64) {
        self.numbers
    }

    /// The text.
    pub fn as_text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

/// What became of deliveries that were settled (acknowledged, given back, buried).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// So many were settled.
    pub done: usize,
    /// So many had run out of their visibility before, or were settled already: the broker has taken, or will take, its own course with
    /// them. No harm; a handled one may come again.
    pub stale: usize,
}

impl Settled {
    /// All of so many.
    pub const fn all(done: usize) -> Settled {
        Settled { done, stale: 0 }
    }

    /// Both together.
    pub const fn plus(self, other: Settled) -> Settled {
        Settled { done: self.done + other.done, stale: self.stale + other.stale }
    }
}
