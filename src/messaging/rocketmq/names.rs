//! Topics and groups as RocketMQ calls them.
//!
//! A name has letters, digits, `%`, `_`, `|` and `-`, and no dot. So a group's dead letters, `<group>.dead` here, go where RocketMQ and its tools
//! have them: to `%DLQ%<group>`.

use super::codes::error;
use crate::messaging::{BrokerError, ErrorKind};

/// RocketMQ's bounds.
pub(super) const TOPIC_BYTES: usize = 127;
const GROUP_BYTES: usize = 120;
const DEAD: &str = ".dead";
const DEAD_LETTERS: &str = "%DLQ%";

/// The topic's name at the broker.
pub(super) fn topic(name: &str) -> Result<String, BrokerError> {
    let real = match name.strip_suffix(DEAD) {
        Some(group) if !group.is_empty() => format!("{DEAD_LETTERS}{group}"),
        _ => name.to_owned(),
    };
    check("topic", name, &real, TOPIC_BYTES)?;
    Ok(real)
}

pub(super) fn group(name: &str) -> Result<(), BrokerError> {
    check("group", name, name, GROUP_BYTES)
}

/// What is given back comes again through a topic of the group's own.
pub(super) fn retry_topic(group: &str, topic: &str) -> String {
    format!("%RETRY%{group}_{topic}")
}

fn check(what: &str, name: &str, real: &str, most: usize) -> Result<(), BrokerError> {
    if !(1..=most).contains(&real.len()) {
        return Err(error(ErrorKind::Invalid, format!("a {what}'s name has 1 to {most} bytes, this one {}", real.len())));
    }
    if let Some(bad) = real.chars().find(|c| !c.is_ascii_alphanumeric() && !"%_|-".contains(*c)) {
        let text = format!("{bad:?} cannot be in a {what}'s name, only letters, digits, %, _, | and -, and `.dead` at a topic's end");
        return Err(error(ErrorKind::Invalid, text).about(name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_go_where_rocketmq_has_them() {
        assert_eq!(topic("billing.dead").unwrap(), "%DLQ%billing");
        assert_eq!(topic("RMQ_SYS_TRACE_TOPIC").unwrap(), "RMQ_SYS_TRACE_TOPIC");
        for bad in ["", ".dead", "a.b", "größe", "a b", "a.dead.dead", &"x".repeat(128)] {
            assert_eq!(topic(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
        assert!(group("g.dead").is_err() && group(&"x".repeat(121)).is_err() && group("").is_err());
    }
}
