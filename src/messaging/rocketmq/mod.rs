//! Apache RocketMQ as a broker, by its remoting protocol.
//!
//! The way of a message: `send` chooses a queue of the topic's `route` and hands the frame (`wire`) to the `connection`'s writer task; the
//! broker's code becomes an error with a class in `codes`. The other way: a pull waits at the `desk`, a `poller` pops for it, and what it
//! caught is read (`stored`, `properties`, `body`) and handed over with a lease (`leases`) that is settled by RocketMQ's own
//! receipt, the `handle`.
//!
//! Invariants of the whole (each room has its own):
//! 1. Frames are written whole, by one task for each connection: a caller may go away at any await, and its request is then written or not.
//! 2. An error is called safe only where the frame was certainly not written, or the broker has said that it did nothing.
//! 3. What was popped is in the desk's stash, in the table of leases, or in the hands of a call that settles it; whoever goes away puts it back.
//!    When its visibility is over it comes again, whatever happened here.
//! 4. A poll outlives the pull it was made for, is never dropped, and what it catches is the next pull's or goes back.
//! 5. Leaving a group ends the poll's connection, hears what is still said, gives everything back and says good-bye: in that order, bounded.
//! 6. With the last handle of a client, all its tasks and connections end.

mod acl;
mod admin;
mod body;
mod broker;
mod builder;
mod client;
mod codes;
mod connection;
mod delay;
mod desk;
mod handle;
mod heartbeat;
mod json;
mod leases;
mod links;
mod member;
mod names;
mod offsets;
mod outgoing;
mod poller;
mod pop;
mod properties;
mod route;
mod send;
mod stored;
mod subscription;
mod transport;
mod wire;

pub use acl::Credentials;
pub use broker::RocketMqBroker;
pub use builder::RocketMqBuilder;
pub use delay::Delays;
pub use transport::Stream;
