//! Why somebody is not let in.

use std::fmt;

/// Why there is no permit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// A budget is used up, or others wait: try later, or wait with [`Permits::acquire`](super::Permits::acquire).
    Full,
    /// Larger than the whole budget: it could never be let in.
    TooLarge {
        /// So many bytes were asked for.
        bytes: usize,
        /// So many there are in all.
        limit: usize,
    },
    /// The permits were closed.
    Closed,
}

/// Why there will be no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireError {
    /// Larger than the whole budget: it could never be let in.
    TooLarge {
        /// So many bytes were asked for.
        bytes: usize,
        /// So many there are in all.
        limit: usize,
    },
    /// The permits were closed.
    Closed,
}

impl AcquireError {
    /// `Full` is no answer to who waits.
    pub(crate) fn from_try(error: TryAcquireError) -> AcquireError {
        match error {
            TryAcquireError::TooLarge { bytes, limit } => AcquireError::TooLarge { bytes, limit },
            TryAcquireError::Closed | TryAcquireError::Full => AcquireError::Closed,
        }
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryAcquireError::Full => f.write_str("everything is in use, or others wait: try later, or wait"),
            TryAcquireError::TooLarge { bytes, limit } => AcquireError::TooLarge { bytes, limit }.fmt(f),
            TryAcquireError::Closed => AcquireError::Closed.fmt(f),
        }
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcquireError::TooLarge { bytes, limit } => {
                write!(f, "{bytes} bytes are more than the whole budget of {limit}: raise it, or send less at a time")
            }
            AcquireError::Closed => f.write_str("closed: nobody is let in any more"),
        }
    }
}

impl std::error::Error for TryAcquireError {}
impl std::error::Error for AcquireError {}
