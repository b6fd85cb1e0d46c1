//! How topics and groups are called at the server.
//!
//! A topic is a subject. The stream that keeps it has the same name where a stream can have it; a group is a durable consumer of that stream.

use super::super::{BrokerError, ErrorKind};
use super::fault::NAME;
use std::fmt::Write;

/// The server keeps a folder for each stream and consumer.
const LONGEST: usize = 255;

/// A topic's name that can be one.
pub(super) fn topic(name: &str, most: usize) -> Result<(), BrokerError> {
    named("topic", name, most)?;
    if escaped(name).len() > LONGEST {
        return Err(invalid(format!("the stream of the topic `{name}` would have a name of more than {LONGEST} bytes: choose a shorter one")));
    }
    Ok(())
}

/// A group's name that can be one; its dead letters need a topic too.
pub(super) fn group(name: &str, most: usize) -> Result<(), BrokerError> {
    named("group", name, most.saturating_sub(".dead".len()))
}

fn named(what: &str, name: &str, most: usize) -> Result<(), BrokerError> {
    if !(1..=most).contains(&name.len()) {
        return Err(invalid(format!("a {what}'s name has 1 to {most} bytes, this one {}", name.len())));
    }
    let fault = if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "no spaces and no control characters"
    } else if name.contains(['*', '>']) {
        "no wildcards"
    } else if name.split('.').any(str::is_empty) {
        "something before, between and after its dots"
    } else if name.starts_with('$') {
        "no `$` at its beginning, which is the server's own"
    } else {
        return Ok(());
    };
    Err(invalid(format!("the {what} `{name}` is a subject of NATS, which has {fault}")))
}

fn invalid(text: String) -> BrokerError {
    BrokerError::new(NAME, ErrorKind::Invalid, text)
}

/// The name that the adapter gives to a topic's stream, or to a group's consumer: no two names become one.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 6);
    for c in name.chars() {
        // What a name of a stream cannot have, and the sign that stands for it.
        if matches!(c, '.' | '/' | '\\' | '=') {
            let _ = write!(text, "={:02X}", c as u32);
        } else {
            text.push(c);
        }
    }
    text
}

/// The consumer of a group. In a stream that keeps several topics, each has its own.
pub(super) fn consumer(group: &str, topic: &str, stream: &str) -> Result<String, BrokerError> {
    let own = escaped(topic) == stream;
    let name = if own { escaped(group) } else { format!("{}=={}", escaped(group), escaped(topic)) };
    if name.len() > LONGEST {
        return Err(invalid(format!("the consumer of the group `{group}` would have a name of {} bytes, {LONGEST} are allowed", name.len())));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_subjects_are_refused_with_a_reason() {
        for (name, part) in [
            ("", "1 to 127"),
            ("two words", "spaces"),
            ("line\nbreak", "control"),
            ("orders.*", "wildcards"),
            ("orders.>", "wildcards"),
            (".orders", "dots"),
            ("a..b", "dots"),
            ("$JS.API", "server's own"),
        ] {
            let error = topic(name, 127).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.text().contains(part), "{name:?}: {error}");
        }
        for good in ["orders", "orders.dead", "größe", "a/b", "-", "a=b", "RMQ_SYS"] {
            topic(good, 127).unwrap();
            group(good, 127).unwrap();
        }
        assert!(topic(&"/".repeat(127), 127).is_err());
        assert!(group(&"x".repeat(123), 127).is_err());
    }

    #[test]
    fn no_two_names_become_one() {
        let names = ["a.b", "a=2Eb", "a=3D2Eb", "a/b", "a\\b", "a_b", "a-b", "ab"];
        let mut all: Vec<_> = names.iter().map(|name| escaped(name)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), names.len());
        assert_eq!(escaped("orders"), "orders");
        assert_eq!(escaped("orders.dead"), "orders=2Edead");
    }

    #[test]
    fn a_group_has_a_consumer_for_each_topic_of_a_shared_stream() {
        assert_eq!(consumer("billing", "orders.eu", "orders=2Eeu").unwrap(), "billing");
        assert_eq!(consumer("billing", "orders.eu", "ORDERS").unwrap(), "billing==orders=2Eeu");
    }
}
