//! The broker on a RabbitMQ server. What it promises, its settings, errors and traps are in `docs/rabbitmq.md`.
//!
//! The way of a message: `broker` makes it a parcel (`wire`) and hands it to the `publisher`'s task of its topic, which answers when the server
//! has confirmed it. The server puts it into the queue of each group (`topology`, `names`). A subscription's `pump` consumes from the queue for
//! as long as pulls ask, into what the `member` holds; a pull takes from there. What becomes of it is in `settle`. `link` makes connections, and
//! makes them anew.
//!
//! Invariants of the whole (each room has its own):
//! 1. `Ok` of a send means confirmed, and routed to a queue at least.
//! 2. A delivery is acknowledged only when it was handled, passed over by its tag, or copied with a confirm to where it goes on.
//! 3. No future of the caller's writes a frame or owns a delivery that is not his yet: the client library's thread writes whole frames, the pump's task
//!    takes in what comes, and a pull takes it in one step at its end. So every future may be dropped at any await.
//! 4. With a channel go all receipts of its deliveries: they are stale, and the server gives the messages to somebody again.
//! 5. What is fetched ahead is no more than pulls have asked for (in the order of keys: than the prefetch), and goes back when nobody comes for it.
//! 6. Every wait for the server is bounded. While the server is away, sends are answered at once or within the timeouts, and pulls with what was the matter.

mod broker;
mod builder;
mod fault;
mod heritage;
mod lane;
mod link;
mod member;
mod names;
mod publisher;
mod pull;
mod pump;
mod settle;
mod subscription;
mod topology;
mod verdict;
mod wire;

pub use broker::RabbitMqBroker;
pub use builder::{QueueKind, RabbitMqBuilder};
pub use lapin;
