//! What the server and the client library answer, as broker errors: which kind, whether it may be tried again, and what to do.

use super::super::{BrokerError, Class, ErrorKind};
use async_nats::{ConnectError, ConnectErrorKind};
use serde::Deserialize;

/// What the broker is called in errors.
pub(super) const NAME: &str = "nats";

/// An answer of JetStream's that is no success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    /// As in HTTP.
    #[serde(default)]
    pub(super) code: i64,
    /// JetStream's own, from 10000 on.
    #[serde(default)]
    pub(super) err_code: i64,
    #[serde(default)]
    pub(super) description: String,
}

pub(super) const CONSUMER_NOT_FOUND: i64 = 10014;
pub(super) const STREAM_NOT_FOUND: i64 = 10059;
pub(super) const STREAM_EXISTS: i64 = 10058;
pub(super) const CONSUMER_EXISTS: i64 = 10148;
pub(super) const CONSUMER_NAME_TAKEN: i64 = 10013;
const STORE_FAILED: i64 = 10077;

impl Refusal {
    pub(super) fn into_error(self) -> BrokerError {
        let (kind, class) = self.classed();
        let code = if self.err_code == 0 { self.code } else { self.err_code };
        BrokerError::new(NAME, kind, self.description).with_class(class).with_code(code)
    }

    /// Each code with its reason. Everything that is refused was not stored, but for the few that say otherwise.
    fn classed(&self) -> (ErrorKind, Class) {
        use ErrorKind::*;
        let kind = match self.err_code {
            // Message or headers larger than the stream takes.
            10054 | 10097 => TooLarge,
            STREAM_NOT_FOUND => UnknownTopic,
            CONSUMER_NOT_FOUND | 10149 => UnknownGroup,
            // Limits of the account or the server: storage, memory, number of streams and consumers.
            10002 | 10023 | 10026 | 10027 | 10028 | 10047 | 10122 => Full,
            // The stream's own limits, with `discard: new`; or its disk failed, and then nobody knows.
            STORE_FAILED if self.description.contains("maximum") => Full,
            STORE_FAILED => Other,
            // The server has too many requests under way.
            10167 => Busy,
            // Another try of the same message is being stored at this moment: it may have been this one's first.
            10158 => return (Busy, Class::RetryableAmbiguous),
            // No leader, no peers, offline: by and by there is one.
            10004 | 10005 | 10008 | 10009 | 10118 | 10119 | 10194 | 10195 => Unavailable,
            // Raft lost its leader in the middle.
            10041 => Other,
            // JetStream is switched off, for the server or for the account; schedules are.
            10035 | 10039 | 10076 | 10188 => Unsupported,
            // Sealed, another stream than expected, another stream has the subject, bad request: the next try would get the same answer.
            _ if (400..500).contains(&self.code) => Invalid,
            _ => Other,
        };
        (kind, kind.usual_class())
    }
}

/// Why there was no answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The client was closed.
    Closed,
    /// There is no connection, and the request was never written.
    Down(String),
    /// The connection was lost while the answer was awaited.
    Broken,
    /// No answer in time.
    Late(u128),
    /// Nobody listens to this subject: no stream, no consumer, or one without a leader.
    NoResponders,
    /// The server does not allow it.
    Denied(String),
    /// More than the server takes; not written.
    TooLarge(String),
    /// The library refused it before it was written.
    Invalid(String),
}

impl Lost {
    pub(super) fn into_error(self) -> BrokerError {
        let error = |kind, text: String| BrokerError::new(NAME, kind, text);
        match self {
            Lost::Closed => closed(),
            Lost::Down(why) => error(ErrorKind::Disconnected, format!("not connected, and trying to: {why}")).with_class(Class::RetryableSafe),
            Lost::Broken => error(ErrorKind::Disconnected, "the connection was lost before the answer came".into()),
            Lost::Late(ms) => error(ErrorKind::TimedOut, format!("no answer within {ms} ms")),
            Lost::NoResponders => error(ErrorKind::Unavailable, "nobody answers: JetStream is starting, or the stream has no leader now".into()),
            Lost::Denied(text) => error(ErrorKind::Unauthorised, text),
            Lost::TooLarge(text) => error(ErrorKind::TooLarge, text),
            Lost::Invalid(text) => error(ErrorKind::Invalid, text),
        }
    }
}

/// After the close.
pub(super) fn closed() -> BrokerError {
    BrokerError::new(NAME, ErrorKind::Closed, "it was closed")
}

/// Nothing was ever sent over a connection that did not come about, so all of these are safe or fatal.
pub(super) fn unconnected(error: &ConnectError, servers: &str) -> BrokerError {
    let (kind, advice) = match error.kind() {
        ConnectErrorKind::ServerParse => (ErrorKind::Invalid, "an address is `nats://host:port`, several are separated by commas"),
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            (ErrorKind::Unauthorised, "not with these credentials: give others in the address or in the ConnectOptions")
        }
        ConnectErrorKind::Tls => (ErrorKind::Unauthorised, "look at the certificates in the ConnectOptions"),
        ConnectErrorKind::TimedOut => (ErrorKind::TimedOut, "nobody answers there"),
        ConnectErrorKind::Dns => (ErrorKind::Disconnected, "the name does not resolve"),
        ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => (ErrorKind::Disconnected, "does the server run there?"),
    };
    // The library says the kind and then its source, which says it again.
    let cause = std::error::Error::source(error).map_or_else(|| error.kind().to_string(), ToString::to_string);
    let class = if kind.usual_class() == Class::Fatal { Class::Fatal } else { Class::RetryableSafe };
    BrokerError::new(NAME, kind, format!("{servers}: {cause}; {advice}")).with_class(class)
}

/// How a pull ended that brought nothing, by the status of the server's last word: `None` where that is as it should be.
pub(super) fn pull_ended(status: u16, description: &str) -> Option<BrokerError> {
    let kind = match status {
        // None there; none came in time.
        404 | 408 => return None,
        409 if description.contains("Consumer Deleted") => ErrorKind::UnknownGroup,
        409 if description.contains("Leadership") || description.contains("Shutdown") || description.contains("Replication") => {
            ErrorKind::Unavailable
        }
        // More pulls wait than the consumer allows.
        409 if description.contains("MaxWaiting") => ErrorKind::Busy,
        409 | 400 => ErrorKind::Invalid,
        503 => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    };
    Some(BrokerError::new(NAME, kind, format!("the pull was ended: {description}")).with_code(i64::from(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: i64, err_code: i64, description: &str) -> Refusal {
        Refusal { code, err_code, description: description.into() }
    }

    #[test]
    fn every_refusal_has_its_class_and_keeps_its_code_and_text() {
        let (safe, ambiguous, fatal) = (Class::RetryableSafe, Class::RetryableAmbiguous, Class::Fatal);
        for (given, kind, class) in [
            (refusal(400, 10054, "message size exceeds maximum allowed"), ErrorKind::TooLarge, fatal),
            (refusal(400, 10097, "header size exceeds maximum allowed of 64k"), ErrorKind::TooLarge, fatal),
            (refusal(404, 10059, "stream not found"), ErrorKind::UnknownTopic, fatal),
            (refusal(404, 10014, "consumer not found"), ErrorKind::UnknownGroup, fatal),
            (refusal(503, 10077, "maximum bytes exceeded"), ErrorKind::Full, safe),
            (refusal(503, 10077, "maximum messages exceeded"), ErrorKind::Full, safe),
            (refusal(503, 10077, "no space left on device"), ErrorKind::Other, ambiguous),
            (refusal(503, 10047, "insufficient storage resources available"), ErrorKind::Full, safe),
            (refusal(503, 10008, "JetStream system temporarily unavailable"), ErrorKind::Unavailable, safe),
            (refusal(429, 10167, "too many requests"), ErrorKind::Busy, safe),
            (refusal(409, 10158, "duplicate message id is in process"), ErrorKind::Busy, ambiguous),
            (refusal(500, 10041, "raft"), ErrorKind::Other, ambiguous),
            (refusal(503, 10039, "JetStream not enabled for account"), ErrorKind::Unsupported, fatal),
            (refusal(400, 10109, "invalid operation on sealed stream"), ErrorKind::Invalid, fatal),
            (refusal(500, 10999, "unheard of"), ErrorKind::Other, ambiguous),
        ] {
            let error = given.clone().into_error();
            assert_eq!((error.kind(), error.class()), (kind, class), "{given:?}");
            assert_eq!((error.code(), error.text()), (Some(given.err_code), given.description.as_str()));
        }
    }

    #[test]
    fn what_was_never_written_is_safe_and_what_may_have_been_is_not() {
        for (lost, class) in [
            (Lost::Down("refused".into()), Class::RetryableSafe),
            (Lost::NoResponders, Class::RetryableSafe),
            (Lost::Broken, Class::RetryableAmbiguous),
            (Lost::Late(5), Class::RetryableAmbiguous),
            (Lost::Denied("no".into()), Class::Fatal),
            (Lost::Closed, Class::Fatal),
        ] {
            assert_eq!(lost.clone().into_error().class(), class, "{lost:?}");
        }
    }

    #[test]
    fn a_connection_that_did_not_come_about_names_the_server() {
        for (kind, wanted, class) in [
            (ConnectErrorKind::Io, ErrorKind::Disconnected, Class::RetryableSafe),
            (ConnectErrorKind::TimedOut, ErrorKind::TimedOut, Class::RetryableSafe),
            (ConnectErrorKind::AuthorizationViolation, ErrorKind::Unauthorised, Class::Fatal),
            (ConnectErrorKind::ServerParse, ErrorKind::Invalid, Class::Fatal),
        ] {
            let error = unconnected(&ConnectError::new(kind), "nats://here:1");
            assert_eq!((error.kind(), error.class()), (wanted, class));
            assert!(error.text().contains("nats://here:1"), "{error}");
        }
    }

    #[test]
    fn a_pull_ends_well_or_by_a_known_cause() {
        assert_eq!(pull_ended(404, "No Messages"), None);
        assert_eq!(pull_ended(408, "Request Timeout"), None);
        for (status, description, kind) in [
            (409, "Consumer Deleted", ErrorKind::UnknownGroup),
            (409, "Leadership Change", ErrorKind::Unavailable),
            (409, "Server Shutdown", ErrorKind::Unavailable),
            (409, "Exceeded MaxWaiting", ErrorKind::Busy),
            (409, "Exceeded MaxRequestBatch of 10", ErrorKind::Invalid),
            (409, "Consumer is push based", ErrorKind::Invalid),
            (503, "", ErrorKind::Unavailable),
        ] {
            assert_eq!(pull_ended(status, description).map(|error| error.kind()), Some(kind), "{status} {description}");
        }
    }
}
