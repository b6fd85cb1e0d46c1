//! RabbitMQ's answers as broker errors: what happened, about what, whether it may be tried again, and what to do.

use super::super::{BrokerError, Class, ErrorKind};
use lapin::Error;
use lapin::protocol::AMQPError;
use std::sync::Arc;

/// What the broker is called in errors.
pub(super) const NAME: &str = "rabbitmq";

/// How far a request had got when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing had left: a connection, a channel or a declaration was still missing, or only looked at.
    Before,
    /// The request may have arrived.
    Sent,
}

pub(super) fn error(kind: ErrorKind, text: impl Into<String>) -> BrokerError {
    BrokerError::new(NAME, kind, text)
}

pub(super) fn closed() -> BrokerError {
    error(ErrorKind::Closed, "the client was closed")
}

/// No answer in time.
pub(super) fn late(what: &str, stage: Stage) -> BrokerError {
    error(ErrorKind::TimedOut, format!("{what}: the server did not answer in time")).with_class(unknown(stage))
}

fn unknown(stage: Stage) -> Class {
    match stage {
        Stage::Before => Class::RetryableSafe,
        Stage::Sent => Class::RetryableAmbiguous,
    }
}

/// The client library's error about something.
pub(super) fn failed(what: &str, fault: &Error, stage: Stage) -> BrokerError {
    use lapin::ErrorKind as Kind;
    let plain = |kind, class| error(kind, format!("{what}: {fault}")).with_class(class);
    match fault.kind() {
        Kind::ProtocolError(answer) => answered(what, answer, stage),
        // The state is looked at before anything is written.
        Kind::InvalidChannel(_)
        | Kind::InvalidChannelState(..)
        | Kind::InvalidConnectionState(_)
        | Kind::IOError(_)
        | Kind::MissingHeartbeatError => plain(ErrorKind::Disconnected, unknown(stage)),
        Kind::RuntimeShutdownError(_) => plain(ErrorKind::Closed, Class::Fatal),
        Kind::ChannelsLimitReached => error(
            ErrorKind::Busy,
            format!("{what}: {fault}: raise channel_max in the server's configuration, or use fewer topics and subscriptions in one client"),
        ),
        Kind::InvalidProtocolVersion(_) => plain(ErrorKind::Unsupported, Class::Fatal),
        Kind::AuthProviderError(_) => plain(ErrorKind::Unauthorised, Class::Fatal),
        Kind::SerialisationError(_) => plain(ErrorKind::Invalid, Class::Fatal),
        _ => plain(ErrorKind::Other, unknown(stage)),
    }
}

/// AMQP's reply codes. What a code means for a request is the same at each stage, except where a failure of the server's may have come after it
/// had done its work.
fn verdict(code: u16, text: &str, stage: Stage) -> (ErrorKind, Class, &'static str) {
    use Class::{Fatal, RetryableSafe as Safe};
    match code {
        311 => (ErrorKind::TooLarge, Fatal, "send a reference to where the rest is stored"),
        // connection-forced: the server is being shut down, or an operator closed the connection.
        320 => (ErrorKind::Unavailable, unknown(stage), ""),
        // invalid-path: no such virtual host.
        402 => (ErrorKind::Invalid, Fatal, "make the virtual host, or name another in the URL"),
        403 => (ErrorKind::Unauthorised, Fatal, "look at user name, password and permissions of the virtual host"),
        404 => (ErrorKind::UnknownTopic, Fatal, "make it, or let the client declare what it needs"),
        // resource-locked: another connection has it to itself, for now.
        405 => (ErrorKind::Unavailable, Safe, ""),
        // precondition-failed has many meanings, told apart by the text alone.
        406 if text.contains("message size") || text.contains("larger than configured max") => {
            (ErrorKind::TooLarge, Fatal, "raise max_message_size in the server's configuration, or send a reference to where the rest is stored")
        }
        406 if text.contains("inequivalent arg") => {
            (ErrorKind::Invalid, Fatal, "it was made with other settings: use the same, or delete it, or let operators own it with declare(false)")
        }
        // An acknowledgement that took longer than the server allows; what was held comes again.
        406 if text.contains("timed out") || text.contains("timeout") => (ErrorKind::Disconnected, Class::RetryableAmbiguous, ""),
        406 => (ErrorKind::Invalid, Fatal, ""),
        // resource-error: a limit of connections, memory or channels.
        506 => (ErrorKind::Busy, unknown(stage), ""),
        // not-allowed: of a virtual host, the one that is missing or may not be entered; otherwise a limit.
        530 if text.contains("not found") => (ErrorKind::Invalid, Fatal, "make the virtual host, or name another in the URL"),
        530 if text.contains("limit") => (ErrorKind::Busy, Safe, ""),
        530 => (ErrorKind::Unauthorised, Fatal, "give the user permissions on the virtual host"),
        540 => (ErrorKind::Unsupported, Fatal, ""),
        // frame-error, syntax-error, command-invalid, channel-error, unexpected-frame: a server and a client that do not understand each other.
        501..=505 => (ErrorKind::Invalid, Fatal, ""),
        // internal-error and whatever else there may be.
        _ => (ErrorKind::Other, unknown(stage), ""),
    }
}

fn answered(what: &str, answer: &AMQPError, stage: Stage) -> BrokerError {
    let (code, text) = (answer.get_id(), answer.get_message().as_str());
    let (kind, class, advice) = verdict(code, text, stage);
    let pause = if advice.is_empty() { "" } else { ": " };
    error(kind, format!("{what}: {text}{pause}{advice}")).with_class(class).with_code(code.into())
}

/// A message that no queue took.
pub(super) fn unrouted(topic: &Arc<str>, text: &str) -> BrokerError {
    let text = format!(
        "{text}: no group has joined the topic yet, and RabbitMQ would drop the message; nothing was stored: start a consumer first, or make a queue and bind it to the exchange"
    );
    error(ErrorKind::UnknownGroup, text).with_class(Class::RetryableSafe).with_code(312).about(topic.clone())
}

/// `basic.nack`. Of several queues that the exchange feeds, some may hold the message all the same.
pub(super) fn rejected() -> BrokerError {
    let text = "the server did not confirm the message: a queue is full, has too few members left, or failed; other groups may have it";
    error(ErrorKind::Unavailable, text).with_class(Class::RetryableAmbiguous)
}

/// The server has told the connection to publish nothing for now.
pub(super) fn blocked(stage: Stage) -> BrokerError {
    let text = "the server takes no messages: its memory or disk alarm is on; see `rabbitmqctl status`, and make room";
    error(ErrorKind::Busy, text).with_class(unknown(stage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Fatal, RetryableAmbiguous as Ambiguous, RetryableSafe as Safe};

    #[test]
    fn each_code_has_its_kind_and_class() {
        let table = [
            (311, "too large", ErrorKind::TooLarge, Fatal, Fatal),
            (320, "broker forced connection closure", ErrorKind::Unavailable, Safe, Ambiguous),
            (403, "no access", ErrorKind::Unauthorised, Fatal, Fatal),
            (404, "no exchange 'x'", ErrorKind::UnknownTopic, Fatal, Fatal),
            (405, "exclusive", ErrorKind::Unavailable, Safe, Safe),
            (406, "message size 9 is larger than configured max size 8", ErrorKind::TooLarge, Fatal, Fatal),
            (406, "inequivalent arg 'x-queue-type'", ErrorKind::Invalid, Fatal, Fatal),
            (406, "delivery acknowledgement on channel 1 timed out", ErrorKind::Disconnected, Ambiguous, Ambiguous),
            (406, "unknown delivery tag 7", ErrorKind::Invalid, Fatal, Fatal),
            (506, "no memory", ErrorKind::Busy, Safe, Ambiguous),
            (530, "vhost x not found", ErrorKind::Invalid, Fatal, Fatal),
            (530, "access to vhost x refused", ErrorKind::Unauthorised, Fatal, Fatal),
            (530, "connection limit of 1 is reached", ErrorKind::Busy, Safe, Safe),
            (540, "not implemented", ErrorKind::Unsupported, Fatal, Fatal),
            (501, "frame error", ErrorKind::Invalid, Fatal, Fatal),
            (541, "internal", ErrorKind::Other, Safe, Ambiguous),
        ];
        for (code, text, kind, before, sent) in table {
            let (first, second) = (verdict(code, text, Stage::Before), verdict(code, text, Stage::Sent));
            assert_eq!((first.0, first.1, second.0, second.1), (kind, before, kind, sent), "{code} {text}");
        }
    }

    #[test]
    fn a_lost_connection_is_safe_only_before_anything_was_sent() {
        let lost = Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        let (before, sent) = (failed("a send", &lost, Stage::Before), failed("a send", &lost, Stage::Sent));
        assert_eq!((before.kind(), before.class()), (ErrorKind::Disconnected, Safe));
        assert_eq!((sent.kind(), sent.class()), (ErrorKind::Disconnected, Ambiguous));
    }

    #[test]
    fn the_servers_code_and_words_are_kept() {
        let answer = AMQPError::from_id(403, "ACCESS_REFUSED - no".into()).map(lapin::ErrorKind::ProtocolError);
        let made = failed("connecting", &answer.expect("a code of AMQP's").into(), Stage::Before);
        assert_eq!((made.kind(), made.code()), (ErrorKind::Unauthorised, Some(403)));
        assert!(made.text().contains("ACCESS_REFUSED - no"), "{made}");
    }
}
