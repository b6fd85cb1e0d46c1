//! The conductor: one plain OS thread that decides. It waits on one channel with a timeout, asks the machine, and carries out what it says.
//!
//! Invariants:
//! - K1. Nothing of the user's runs on this thread: futures, closures, `Display`, observers, log sinks and drops all run on the runtime,
//!   the herald or the printer. (Wakers do run here: a token's waiters are woken from here on purpose, see K3.)
//! - K2. It never waits for the runtime, for a lock that user code can hold, or for a descriptor. Its only waits are its channel, and
//!   bounded ones for its own printer and scribe at the end.
//! - K3. Every wake-up that starts or stops a component comes from this thread and so goes through the runtime's shared queue; one from a
//!   worker would land in that worker's own slot and wait with it if it blocks.
//! - K4. Facts are applied before timeouts that are due at the same look (T6).
//! - K5. No deadline is a runtime timer.

mod actions;
mod disposition;
mod herald;
mod leave;
mod panics;
#[cfg(feature = "testkit")]
mod patience;
mod printer;
mod real_time;
mod signals;
mod step;
#[cfg(feature = "testkit")]
mod virtual_time;
mod voice;
mod watch;

pub(crate) use leave::{exit_now, taken};
pub(crate) use real_time::{Ended, start};
#[cfg(feature = "testkit")]
pub(crate) use step::Conductor;
pub(crate) use step::Ownership;
#[cfg(feature = "testkit")]
pub(crate) use virtual_time::{Director, conduct};
