//! What tells one message from all others, through retries, outbox and redelivery.

use super::random::Random;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A message's identity: 16 bytes, given when the message is made and kept for good, so that duplicates can be told.
///
/// New ids begin with the time in milliseconds and so sort by age, roughly. Shown as 32 upper-case hexadecimal digits.
///
/// ```
/// use winddown::messaging::MessageId;
///
/// let id = MessageId::new();
/// assert_eq!(id.to_string().parse(), Ok(id));
/// assert_eq!(MessageId::of(b"orders/0/17"), MessageId::of(b"orders/0/17"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u128);

impl MessageId {
    /// A new one: 48 bits of time, 48 that differ between processes, 32 that count.
    #[allow(clippy::new_without_default)] // No two are equal, so none is a default.
    pub fn new() -> MessageId {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| Random::unique().next());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let low = (*PROCESS << 32) | u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let high = (time << 16) | (*PROCESS >> 48);
        MessageId((u128::from(high) << 64) | u128::from(low))
    }

    /// The id of a message that came without one, from what names it at its broker (topic, partition, offset): the same text gives the same id.
    pub fn of(text: &[u8]) -> MessageId {
        // FNV-1a in 128 bits: short and stable across versions, which a standard hasher does not promise.
        let hash = text.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
        MessageId(hash)
    }

    /// From its number.
    pub const fn from_u128(number: u128) -> MessageId {
        MessageId(number)
    }

    /// As a number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId;

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message id is 32 hexadecimal digits")
    }
}

impl std::error::Error for InvalidId {}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<MessageId, InvalidId> {
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if plain { u128::from_str_radix(text, 16).map(MessageId).map_err(|_| InvalidId) } else { Err(InvalidId) }
    }
}
