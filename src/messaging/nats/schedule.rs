//! Delays: a message waits in its stream under a subject of its own until the server sends it on.

use super::names;
use async_nats::HeaderMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a topic's delayed messages wait under; no topic begins like this. One more part of the subject tells them apart.
pub(super) fn stem(topic: &str) -> String {
    format!("$WINDDOWN.delay.{}", names::escaped(topic))
}

/// Tells the server to send it on to the topic after the delay, by the clock of this machine.
pub(super) fn set(headers: &mut HeaderMap, topic: &str, delay: Duration) {
    // Not before it is due: a part of a millisecond is a whole one.
    let due = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(delay).saturating_add(Duration::from_nanos(999_999));
    headers.insert("Nats-Schedule", format!("@at {}", rfc3339(due.as_millis())).as_str());
    headers.insert("Nats-Schedule-Target", topic);
}

/// A moment as RFC 3339 writes it, in UTC.
fn rfc3339(millis: u128) -> String {
    // The format ends with the year 9999.
    let millis = millis.min(253_402_300_799_999);
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Counted from the first of March of the year 0 in eras of 400 years, leap days are at the end of years.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u128::from(month <= 2);
    let (hour, minute, second, milli) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_server_reads_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u128::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }

    #[test]
    fn a_delay_of_any_length_is_one() {
        let mut headers = HeaderMap::new();
        set(&mut headers, "orders", Duration::MAX);
        assert_eq!(headers.get_last("Nats-Schedule").map(|value| value.as_str()), Some("@at 9999-12-31T23:59:59.999Z"));
        assert_eq!(headers.get_last("Nats-Schedule-Target").map(|value| value.as_str()), Some("orders"));
        assert_eq!(stem("orders.eu"), "$WINDDOWN.delay.orders=2Eeu");
    }
}
