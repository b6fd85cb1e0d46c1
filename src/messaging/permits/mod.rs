//! Admission in count and bytes, all or nothing (M1).

mod admission;
mod error;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use admission::{Acquire, Idle, Permit, Permits};
pub use error::{AcquireError, TryAcquireError};
