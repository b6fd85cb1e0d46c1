//! The test kit as users use it: worlds in which things go wrong, recorders, and assertions on order.
//!
//! A test's name begins with the rule that it proves, where it proves one; the rules stand in `docs/semantics.md`.

#[path = "testkit/actors.rs"]
mod actors;
#[path = "testkit/cues.rs"]
mod cues;
#[path = "testkit/faults.rs"]
mod faults;
#[path = "testkit/guide.rs"]
mod guide;
#[cfg(feature = "messaging")]
#[path = "testkit/guide_messages.rs"]
mod guide_messages;
#[cfg(feature = "messaging")]
#[path = "testkit/messages.rs"]
mod messages;
#[path = "testkit/order.rs"]
mod order;
#[path = "testkit/recorder.rs"]
mod recorder;
#[path = "testkit/refused.rs"]
mod refused;
#[path = "testkit/tasks.rs"]
mod tasks;
#[path = "testkit/threads.rs"]
mod threads;
#[path = "testkit/worlds.rs"]
mod worlds;
