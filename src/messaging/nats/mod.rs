//! NATS JetStream as a broker.
//!
//! The way of a message: [`core`] makes it [headers](codec) and a body, has [`streams`] find the stream that keeps its topic, and asks over the
//! [`link`], whose [`line`] is one connection of the client library's; only the stream's own word makes a send `Ok`. A [group](groups) is a
//! durable consumer. A [`member`] pulls by [`fetch`], in tasks of its own, and keeps [accounts](held) of what it holds; its keeper renews leases,
//! gives back what nobody settled in time, and leaves in the end.
//!
//! Invariants of the whole (each room has its own):
//! 1. Every call may be dropped at any await. A send is then stored or not; a pull's messages go back at once; a settlement was made or the
//!    delivery is held as before; subscribing leaves at most a durable consumer behind, which is the group.
//! 2. Nothing is told the server about a delivery that may be another member's by now.
//! 3. Nothing waits for longer than the time limit it was given, whatever the server does.
//! 4. What the library buffers is bounded: messages by what pulls asked for, requests by the callers that wait for them.

pub use async_nats;

mod broker;
mod builder;
mod codec;
mod core;
mod fault;
mod fetch;
mod groups;
mod held;
mod line;
mod link;
mod member;
mod names;
mod passing;
mod schedule;
mod streams;
mod subscription;
mod tracks;

pub use broker::NatsBroker;
pub use builder::NatsBuilder;
