//! Names that Kafka takes.

use super::super::{BrokerError, ErrorKind};
use super::fault::NAME;

/// Kafka's own bound for a topic's name.
pub(super) const TOPIC_BYTES: usize = 249;

/// A topic's name that can be one. It is looked at here, since the client library would ask the server about any.
pub(super) fn topic(name: &str) -> Result<(), BrokerError> {
    let invalid = |text: String| Err(BrokerError::new(NAME, ErrorKind::Invalid, text));
    if name.is_empty() || name.len() > TOPIC_BYTES {
        return invalid(format!("a topic's name has 1 to {TOPIC_BYTES} bytes, this one {}", name.len()));
    }
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if !plain || matches!(name, "." | "..") {
        return invalid(format!("the topic's name {name:?} is none that Kafka takes: letters, digits, `.`, `_` and `-` of ASCII"));
    }
    Ok(())
}

/// A group whose dead letters can have a topic.
pub(super) fn group(name: &str) -> Result<(), BrokerError> {
    let most = TOPIC_BYTES - ".dead".len();
    if (1..=most).contains(&name.len()) && !name.contains('\0') {
        return Ok(());
    }
    let text = format!("a group's name has 1 to {most} bytes, none of them zero; this one has {}", name.len());
    Err(BrokerError::new(NAME, ErrorKind::Invalid, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_takes() {
        for good in ["orders", "a.b-c_D9", &"x".repeat(249), "...", "group.dead"] {
            assert_eq!(topic(good), Ok(()), "{good}");
        }
        for bad in ["", &"x".repeat(250), ".", "..", "a b", "größe", "a/b", "a\0b", "a:b"] {
            assert_eq!(topic(bad).map_err(|error| error.kind()), Err(ErrorKind::Invalid), "{bad}");
        }
        assert_eq!(group("größe, and more"), Ok(()));
        for bad in ["", &"x".repeat(245), "a\0b"] {
            assert_eq!(group(bad).map_err(|error| error.kind()), Err(ErrorKind::Invalid), "{bad}");
        }
    }
}
