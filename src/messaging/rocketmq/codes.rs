//! The protocol's numbers, and what each answer means for whoever asked.

use super::wire::Answer;
use crate::messaging::{BrokerError, Class, ErrorKind};

/// What the broker is called in errors.
pub(super) const NAME: &str = "rocketmq";

pub(super) const QUERY_CONSUMER_OFFSET: i32 = 14;
pub(super) const UPDATE_CONSUMER_OFFSET: i32 = 15;
pub(super) const UPDATE_AND_CREATE_TOPIC: i32 = 17;
pub(super) const GET_MAX_OFFSET: i32 = 30;
pub(super) const GET_MIN_OFFSET: i32 = 31;
pub(super) const HEART_BEAT: i32 = 34;
pub(super) const UNREGISTER_CLIENT: i32 = 35;
pub(super) const GET_ROUTE: i32 = 105;
pub(super) const GET_CLUSTER: i32 = 106;
pub(super) const UPDATE_AND_CREATE_GROUP: i32 = 200;
pub(super) const SEND_V2: i32 = 310;
pub(super) const SEND_BATCH: i32 = 320;
pub(super) const POP: i32 = 200_050;
pub(super) const ACK: i32 = 200_051;
pub(super) const CHANGE_INVISIBLE_TIME: i32 = 200_053;

pub(super) const SUCCESS: i32 = 0;
/// Stored, but not flushed to the disk in time; no replica to take it; not replicated in time.
pub(super) const WEAKLY_STORED: [i32; 3] = [10, 11, 12];
pub(super) const PULL_NOT_FOUND: i32 = 19;
pub(super) const QUERY_NOT_FOUND: i32 = 22;
pub(super) const POLLING_FULL: i32 = 209;
pub(super) const POLLING_TIMEOUT: i32 = 210;
pub(super) const GO_AWAY: i32 = 1500;

/// An answer that is not "yes", as an error.
pub(super) fn refused(answer: &Answer) -> BrokerError {
    let (kind, class) = classed(answer.code, &answer.remark);
    BrokerError::new(NAME, kind, shortened(&answer.remark)).with_class(class).with_code(answer.code.into())
}

/// Kind and class of a code. Some codes mean two things, and only the remark tells which.
fn classed(code: i32, remark: &str) -> (ErrorKind, Class) {
    use Class::{Fatal, RetryableAmbiguous as Ambiguous, RetryableSafe as Safe};
    let says = |text: &str| remark.contains(text);
    match code {
        // Signatures of old are checked before anything else, and answered as an error of the system.
        1 if says("AclException") => (ErrorKind::Unauthorised, Fatal),
        // Looked at before the message is stored.
        1 if says("in-sync replicas not enough") => (ErrorKind::Unavailable, Safe),
        1 if says("under flow control") => (ErrorKind::Busy, Safe),
        1 if says("timerWheelEnable is false") => (ErrorKind::Unsupported, Fatal),
        1 => (ErrorKind::Other, Ambiguous),
        // Of a busy page cache the broker hears while it stores.
        2 if says("[PC_SYNCHRONIZED]") || says("[PCBUSY_CLEAN_QUEUE]") || says("page cache") => (ErrorKind::Busy, Ambiguous),
        // Turned away at the door, or taken out of the queue before its turn came.
        2 => (ErrorKind::Busy, Safe),
        3 => (ErrorKind::Unsupported, Fatal),
        // It is in the log: a second try makes a second message.
        10 | 12 => (ErrorKind::TimedOut, Ambiguous),
        11 => (ErrorKind::Unavailable, Ambiguous),
        13 if says("length limit") => (ErrorKind::TooLarge, Fatal),
        13 => (ErrorKind::Invalid, Fatal),
        14 => (ErrorKind::Unavailable, Safe),
        15 => (ErrorKind::Unsupported, Fatal),
        // A broker whose permission was taken away to empty it: another one takes the message.
        16 if says("the broker[") => (ErrorKind::Unavailable, Safe),
        16 => (ErrorKind::Unauthorised, Fatal),
        17 => (ErrorKind::UnknownTopic, Fatal),
        23 | 29 => (ErrorKind::Invalid, Fatal),
        24 | 26 => (ErrorKind::UnknownGroup, Fatal),
        204 | 205 => (ErrorKind::Unavailable, Safe),
        208 => (ErrorKind::Stale, Fatal),
        POLLING_FULL | 215 => (ErrorKind::Busy, Safe),
        // The topic has moved: it was not stored here.
        211 | 501 => (ErrorKind::Unavailable, Safe),
        GO_AWAY => (ErrorKind::Unavailable, Safe),
        3001 | 3002 => (ErrorKind::Unauthorised, Fatal),
        _ => (ErrorKind::Other, Ambiguous),
    }
}

/// May the route be out of date, by this answer?
pub(super) fn hints_at_stale_route(error: &BrokerError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Disconnected | ErrorKind::TimedOut)
}

/// Remarks may carry a stack trace, each line of it in the broker's own log.
fn shortened(remark: &str) -> String {
    let first = remark.lines().next().unwrap_or_default();
    let end = first.char_indices().nth(400).map_or(first.len(), |(at, _)| at);
    first[..end].to_owned()
}

/// An error of the client's own.
pub(super) fn error(kind: ErrorKind, text: impl Into<String>) -> BrokerError {
    BrokerError::new(NAME, kind, text)
}

pub(super) fn closed() -> BrokerError {
    error(ErrorKind::Closed, "the client was closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_kind_and_class() {
        use Class::{Fatal, RetryableAmbiguous as Ambiguous, RetryableSafe as Safe};
        let table = [
            (1, "", ErrorKind::Other, Ambiguous),
            (1, "org.apache.rocketmq.acl.common.AclException: No accessKey", ErrorKind::Unauthorised, Fatal),
            (1, "in-sync replicas not enough", ErrorKind::Unavailable, Safe),
            (1, "timer message is under flow control, max num", ErrorKind::Busy, Safe),
            (2, "[REJECTREQUEST]system busy, start flow control for a while", ErrorKind::Busy, Safe),
            (2, "[TIMEOUT_CLEAN_QUEUE]broker busy", ErrorKind::Busy, Safe),
            (2, "[OVERLOAD]system busy, start flow control for a while", ErrorKind::Busy, Safe),
            (2, "[PCBUSY_CLEAN_QUEUE]broker busy", ErrorKind::Busy, Ambiguous),
            (2, "[PC_SYNCHRONIZED]broker busy", ErrorKind::Busy, Ambiguous),
            (3, "request type 9 not supported", ErrorKind::Unsupported, Fatal),
            (10, "", ErrorKind::TimedOut, Ambiguous),
            (11, "", ErrorKind::Unavailable, Ambiguous),
            (12, "", ErrorKind::TimedOut, Ambiguous),
            (13, "msg body length limit 4194304B", ErrorKind::TooLarge, Fatal),
            (13, "timer message illegal", ErrorKind::Invalid, Fatal),
            (14, "service not available now", ErrorKind::Unavailable, Safe),
            (16, "the broker[127.0.0.1] sending message is forbidden", ErrorKind::Unavailable, Safe),
            (16, "User: nobody is not found", ErrorKind::Unauthorised, Fatal),
            (17, "topic[x] not exist", ErrorKind::UnknownTopic, Fatal),
            (26, "subscription group [g] does not exist", ErrorKind::UnknownGroup, Fatal),
            (208, "", ErrorKind::Stale, Fatal),
            (209, "", ErrorKind::Busy, Safe),
            (215, "", ErrorKind::Busy, Safe),
            (1500, "please go away", ErrorKind::Unavailable, Safe),
            (-1006, "", ErrorKind::Other, Ambiguous),
            (987, "", ErrorKind::Other, Ambiguous),
        ];
        for (code, remark, kind, class) in table {
            let error = refused(&Answer { code, remark: remark.to_owned(), ..Answer::default() });
            assert_eq!((error.kind(), error.class(), error.code(), error.text()), (kind, class, Some(code.into()), remark), "code {code} {remark}");
        }
    }

    #[test]
    fn a_stack_trace_is_cut_to_its_first_line() {
        assert_eq!(shortened("java.lang.X: no\n\tat a.b\n"), "java.lang.X: no");
        assert_eq!(shortened(&"ü".repeat(1000)).chars().count(), 400);
    }
}
