//! What the server writes into the subject by which a delivery is settled.

/// Where a delivery comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Track<'a> {
    stream: &'a str,
    /// The how-manieth delivery of the message to the consumer.
    pub(super) attempt: u32,
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// When it was stored, in nanoseconds.
    stored: &'a str,
}

impl<'a> Track<'a> {
    /// `$JS.ACK.<stream>.<consumer>.<attempt>.<sequence>.<its number for the consumer>.<stored>.<pending>`, and in newer servers with domain and
    /// account behind `ACK` and more at the end.
    pub(super) fn of(reply: &'a str) -> Option<Track<'a>> {
        let parts: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let parts = match parts.len() {
            7 => &parts[..],
            9.. => &parts[2..],
            _ => return None,
        };
        let attempt = parts[2].parse::<u64>().ok()?;
        Some(Track { stream: parts[0], attempt: u32::try_from(attempt).unwrap_or(u32::MAX), sequence: parts[3].parse().ok()?, stored: parts[5] })
    }

    /// The message's name at the server, which no redelivery changes.
    pub(super) fn name(&self) -> String {
        format!("nats/{}/{}/{}", self.stream, self.sequence, self.stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let wanted = Track { stream: "orders", attempt: 2, sequence: 17, stored: "1700000000000000000" };
        for reply in [
            "$JS.ACK.orders.g.2.17.40.1700000000000000000.3",
            "$JS.ACK._.hash.orders.g.2.17.40.1700000000000000000.3",
            "$JS.ACK.hub.hash.orders.g.2.17.40.1700000000000000000.3.token.more",
        ] {
            assert_eq!(Track::of(reply), Some(wanted), "{reply}");
        }
        assert_eq!(wanted.name(), "nats/orders/17/1700000000000000000");
    }

    #[test]
    fn what_is_none_is_none() {
        for reply in ["", "_INBOX.x", "$JS.ACK.orders", "$JS.ACK.a.b.c.d.e.f.g", "$JS.ACK.a.b.1.2.3.4.5.6"] {
            assert_eq!(Track::of(reply), None, "{reply}");
        }
    }
}
