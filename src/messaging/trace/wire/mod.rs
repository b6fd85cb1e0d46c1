//! RocketMQ's form of trace records, as its tools read it from the topic `RMQ_SYS_TRACE_TOPIC`.
//!
//! Text, UTF-8. Fields are separated by the byte `0x01`, every record ends with the byte `0x02`. The first field is the kind:
//!
//! | kind | fields after it |
//! |---|---|
//! | `Pub` | timestamp, region, group, topic, message id, tag, keys, store host, body length, cost, message kind, offset id, success |
//! | `SubBefore` | timestamp, region, group, request id, message id, retry times, keys |
//! | `SubAfter` | request id, message id, cost, success, keys, code, timestamp, group |
//!
//! Times and costs are milliseconds, ids 32 hexadecimal digits, kinds and codes their place in [`MessageKind::ALL`](super::MessageKind::ALL) and
//! [`ContextCode::ALL`](super::ContextCode::ALL), `success` is `true` or `false`, and a text that is not there is `null`: one that says `null` cannot be told from it.
//!
//! Where this encoder has to differ from RocketMQ's: a byte `0x01` or `0x02` inside a text would break the frame and becomes a space; empty keys
//! of a `SubBefore` become `null`, as RocketMQ's own reader fails over a record whose last field is empty; numbers that are too large for RocketMQ's
//! reader become the largest that it can read.

mod read;
mod write;

pub use read::{DecodeError, Flaw, Records, decode, records};
pub(super) use write::{Keys, encode_to};
pub use write::{encode, message_keys};

/// The topic that RocketMQ's tools look for trace records in.
pub const TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";

/// Between the fields of a record. RocketMQ: `CONTENT_SPLITOR`.
const FIELD_END: char = '\u{1}';
/// Behind each record. RocketMQ: `FIELD_SPLITOR`.
const RECORD_END: char = '\u{2}';
/// What Java writes for a text that is not there.
const NULL: &str = "null";
