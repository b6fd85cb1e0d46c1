//! What is recorded of a message's way: sent, about to be handled, handled.

use crate::messaging::{Delivery, Message, MessageId};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One step of a message's way. Its texts are shared, so making one from a message and appending it copies no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceRecord {
    /// It was sent, or could not be.
    Pub(PubTrace),
    /// A consumer is about to handle it.
    SubBefore(SubBefore),
    /// A consumer has handled it, or failed to.
    SubAfter(SubAfter),
}

impl TraceRecord {
    /// Which message it is about.
    pub fn message_id(&self) -> MessageId {
        match self {
            TraceRecord::Pub(trace) => trace.message_id,
            TraceRecord::SubBefore(trace) => trace.message_id,
            TraceRecord::SubAfter(trace) => trace.message_id,
        }
    }

    /// What that message is about, if it has a key.
    pub fn keys(&self) -> Option<&str> {
        match self {
            TraceRecord::Pub(trace) => trace.keys.as_deref(),
            TraceRecord::SubBefore(trace) => trace.keys.as_deref(),
            TraceRecord::SubAfter(trace) => trace.keys.as_deref(),
        }
    }

    /// Its size as a dispatcher counts it, in bytes: at least what its wire form takes, and at most 60 more (each number is counted at its
    /// longest, which saves looking at it).
    pub fn size(&self) -> usize {
        match self {
            // 14 separators, `Pub`, a time of 19 digits, an id of 32, two numbers of 10, one of 1, `false`.
            TraceRecord::Pub(t) => {
                let texts = [&t.region, &t.tag, &t.keys, &t.store_host, &t.offset_id];
                94 + t.group.len() + t.topic.len() + texts.into_iter().map(text).sum::<usize>()
            }
            // 8 separators, `SubBefore`, a time, two ids, a number.
            TraceRecord::SubBefore(t) => 110 + t.group.len() + text(&t.region) + text(&t.keys),
            // 9 separators, `SubAfter`, two ids, two numbers, `false`, a time.
            TraceRecord::SubAfter(t) => 116 + t.group.len() + text(&t.keys),
        }
    }
}

/// A text that is not there is written as `null`.
fn text(text: &Option<Arc<str>>) -> usize {
    text.as_ref().map_or(4, |text| text.len().max(4))
}

impl From<PubTrace> for TraceRecord {
    fn from(trace: PubTrace) -> TraceRecord {
        TraceRecord::Pub(trace)
    }
}

impl From<SubBefore> for TraceRecord {
    fn from(trace: SubBefore) -> TraceRecord {
        TraceRecord::SubBefore(trace)
    }
}

impl From<SubAfter> for TraceRecord {
    fn from(trace: SubAfter) -> TraceRecord {
        TraceRecord::SubAfter(trace)
    }
}

/// A message was sent, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubTrace {
    /// When the send began, in milliseconds since 1970.
    pub timestamp: u64,
    /// The region of the broker that took it.
    pub region: Option<Arc<str>>,
    /// The producer's group or name.
    pub group: Arc<str>,
    /// Where it was sent to.
    pub topic: Arc<str>,
    /// Which message.
    pub message_id: MessageId,
    /// Its tag.
    pub tag: Option<Arc<str>>,
    /// Its key, or several with spaces in between.
    pub keys: Option<Arc<str>>,
    /// Which broker took it.
    pub store_host: Option<Arc<str>>,
    /// Bytes of its body.
    pub body_len: u32,
    /// How long sending took, all tries together.
    pub cost: Duration,
    /// What kind of message it was.
    pub kind: MessageKind,
    /// The broker's own name for it.
    pub offset_id: Option<Arc<str>>,
    /// Did the broker take it?
    pub success: bool,
}

impl PubTrace {
    /// What the message itself tells. The rest is as for a send that begins now and succeeds: fill in what came of it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use winddown::{messaging::{Message, trace::PubTrace}, millis};
    ///
    /// let message = Message::new("orders", "two pumps").with_key("order-17");
    /// let group: Arc<str> = "producer".into();
    /// let trace = PubTrace { cost: millis(3), ..PubTrace::of(&group, &message) };
    /// assert_eq!((&*trace.topic, trace.body_len, trace.success), ("orders", 9, true));
    /// ```
    pub fn of(group: &Arc<str>, message: &Message) -> PubTrace {
        let kind = match (message.is_ordered(), message.delay()) {
            (_, Some(_)) => MessageKind::Delay,
            (true, None) => MessageKind::Order,
            (false, None) => MessageKind::Normal,
        };
        PubTrace {
            timestamp: now(),
            region: None,
            group: group.clone(),
            topic: message.topic_shared(),
            message_id: message.id(),
            tag: message.tag_shared(),
            keys: message.key_shared(),
            store_host: None,
            body_len: u32::try_from(message.body().len()).unwrap_or(u32::MAX),
            cost: Duration::ZERO,
            kind,
            offset_id: None,
            success: true,
        }
    }
}

/// A consumer is about to handle a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubBefore {
    /// When, in milliseconds since 1970.
    pub timestamp: u64,
    /// The region of the broker it came from.
    pub region: Option<Arc<str>>,
    /// The consumer's group.
    pub group: Arc<str>,
    /// Joins this record to its [`SubAfter`].
    pub request_id: MessageId,
    /// Which message.
    pub message_id: MessageId,
    /// How often it was delivered before: 0 the first time.
    pub retry_times: u32,
    /// Its key, or several with spaces in between.
    pub keys: Option<Arc<str>>,
}

impl SubBefore {
    /// What the delivery tells, with the present time and a new request id.
    pub fn of(group: &Arc<str>, delivery: &Delivery) -> SubBefore {
        let message = delivery.message();
        SubBefore {
            timestamp: now(),
            region: None,
            group: group.clone(),
            request_id: MessageId::new(),
            message_id: message.id(),
            retry_times: delivery.attempt().saturating_sub(1),
            keys: message.key_shared(),
        }
    }

    /// The record that goes with it when the handling is over, with the present time.
    pub fn after(&self, cost: Duration, code: ContextCode) -> SubAfter {
        SubAfter {
            request_id: self.request_id,
            message_id: self.message_id,
            cost,
            success: code == ContextCode::Success,
            keys: self.keys.clone(),
            code,
            timestamp: now(),
            group: self.group.clone(),
        }
    }
}

/// A consumer has handled a message, or failed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAfter {
    /// Joins this record to its [`SubBefore`].
    pub request_id: MessageId,
    /// Which message.
    pub message_id: MessageId,
    /// How long the handling took.
    pub cost: Duration,
    /// Was it handled?
    pub success: bool,
    /// Its key, or several with spaces in between.
    pub keys: Option<Arc<str>>,
    /// How the handling ended.
    pub code: ContextCode,
    /// When it ended, in milliseconds since 1970.
    pub timestamp: u64,
    /// The consumer's group.
    pub group: Arc<str>,
}

/// What kind of message was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// An ordinary one.
    #[default]
    Normal,
    /// The first half of a transaction.
    TransHalf,
    /// A transaction's message, committed.
    TransCommit,
    /// One to be delivered later.
    Delay,
    /// One of a sequence.
    Order,
}

impl MessageKind {
    /// All of them; the place in it is the number on the wire.
    pub const ALL: [MessageKind; 5] = [MessageKind::Normal, MessageKind::TransHalf, MessageKind::TransCommit, MessageKind::Delay, MessageKind::Order];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            MessageKind::Normal => "normal",
            MessageKind::TransHalf => "trans-half",
            MessageKind::TransCommit => "trans-commit",
            MessageKind::Delay => "delay",
            MessageKind::Order => "order",
        }
    }
}

/// How a handling ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ContextCode {
    /// Well.
    #[default]
    Success,
    /// Not in time.
    TimedOut,
    /// With a panic.
    Exception,
    /// Without a result. RocketMQ's listeners can; handlers of this crate cannot.
    ReturnedNull,
    /// With an error.
    Failed,
}

impl ContextCode {
    /// All of them; the place in it is the number on the wire.
    pub const ALL: [ContextCode; 5] =
        [ContextCode::Success, ContextCode::TimedOut, ContextCode::Exception, ContextCode::ReturnedNull, ContextCode::Failed];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            ContextCode::Success => "success",
            ContextCode::TimedOut => "timed-out",
            ContextCode::Exception => "exception",
            ContextCode::ReturnedNull => "returned-null",
            ContextCode::Failed => "failed",
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
