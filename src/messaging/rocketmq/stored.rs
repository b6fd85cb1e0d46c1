//! Messages as a broker stores and delivers them: one after the other, each with its length.

use super::properties::Said;
use super::wire::strange;
use crate::messaging::BrokerError;
use bytes::{Buf, Bytes};

/// The magic number of messages whose topic's length has two bytes.
const LONG_TOPIC: u32 = 0xdaa3_20ab;
/// In `sysFlag`: these hosts have 16 bytes of address, not four.
const BORN_V6: i32 = 1 << 4;
const STORED_V6: i32 = 1 << 5;

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) topic: String,
    pub(super) queue: u32,
    pub(super) offset: i64,
    pub(super) flags: i32,
    /// So often it was given back, or not settled in time.
    pub(super) times: u32,
    pub(super) body: Bytes,
    pub(super) said: Said,
}

/// All messages of an answer.
pub(super) fn decode(mut body: Bytes) -> Result<Vec<Stored>, BrokerError> {
    let mut all = Vec::new();
    while body.has_remaining() {
        let size = body.clone().try_get_u32().map_err(|_| short())? as usize;
        if size < 4 || size > body.len() {
            return Err(short());
        }
        all.push(one(body.split_to(size)).ok_or_else(short)?);
    }
    Ok(all)
}

fn short() -> BrokerError {
    strange("a stored message that ends too early")
}

fn one(mut from: Bytes) -> Option<Stored> {
    let _size = from.try_get_u32().ok()?;
    let magic = from.try_get_u32().ok()?;
    let _checksum = from.try_get_u32().ok()?;
    let queue = from.try_get_u32().ok()?;
    let _flag = from.try_get_u32().ok()?;
    let offset = from.try_get_i64().ok()?;
    let _position = from.try_get_i64().ok()?;
    let flags = from.try_get_i32().ok()?;
    let _born = from.try_get_i64().ok()?;
    take(&mut from, if flags & BORN_V6 == 0 { 8 } else { 20 })?;
    let _stored = from.try_get_i64().ok()?;
    take(&mut from, if flags & STORED_V6 == 0 { 8 } else { 20 })?;
    let times = from.try_get_u32().ok()?;
    let _transaction = from.try_get_i64().ok()?;
    let length = from.try_get_u32().ok()? as usize;
    let body = take(&mut from, length)?;
    let length = if magic == LONG_TOPIC { usize::from(from.try_get_u16().ok()?) } else { usize::from(from.try_get_u8().ok()?) };
    let topic = String::from_utf8_lossy(&take(&mut from, length)?).into_owned();
    let length = usize::from(from.try_get_u16().ok()?);
    let said = Said::decode(&String::from_utf8_lossy(&take(&mut from, length)?));
    Some(Stored { topic, queue, offset, flags, times, body, said })
}

fn take(from: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= from.len()).then(|| from.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    fn written(long_topic: bool, v6: bool, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32(0);
        out.put_u32(if long_topic { LONG_TOPIC } else { 0xdaa3_20a7 });
        out.put_u32(0);
        out.put_u32(3);
        out.put_u32(0);
        out.put_i64(17);
        out.put_i64(4096);
        out.put_i32(if v6 { BORN_V6 | STORED_V6 } else { 0 });
        out.put_i64(1);
        out.put_bytes(0, if v6 { 20 } else { 8 });
        out.put_i64(2);
        out.put_bytes(0, if v6 { 20 } else { 8 });
        out.put_u32(2);
        out.put_i64(0);
        out.put_u32(body.len() as u32);
        out.put_slice(body);
        if long_topic {
            out.put_u16(6);
        } else {
            out.put_u8(6);
        }
        out.put_slice(b"orders");
        let properties = "TAGS\u{1}t\u{2}tenant\u{1}blue\u{2}";
        out.put_u16(properties.len() as u16);
        out.put_slice(properties.as_bytes());
        let size = out.len() as u32;
        out[..4].copy_from_slice(&size.to_be_bytes());
        out
    }

    #[test]
    fn stored_messages_are_read_one_after_the_other() {
        let both = [written(false, false, b"one"), written(true, true, b"")].concat();
        let all = decode(both.into()).unwrap();
        assert_eq!(all.len(), 2);
        for stored in &all {
            assert_eq!((stored.topic.as_str(), stored.queue, stored.offset, stored.times), ("orders", 3, 17, 2));
            assert_eq!((stored.said.tag.as_deref(), stored.said.properties.get("tenant").map(String::as_str)), (Some("t"), Some("blue")));
        }
        assert_eq!((all[0].body.as_ref(), all[1].body.as_ref()), (&b"one"[..], &b""[..]));
    }

    #[test]
    fn every_cut_is_an_error_and_never_a_panic() {
        let whole = written(false, false, b"one");
        for end in 1..whole.len() {
            assert!(decode(Bytes::copy_from_slice(&whole[..end])).is_err(), "{end}");
            let mut shorter = whole[..end].to_vec();
            if end >= 4 {
                shorter[..4].copy_from_slice(&(end as u32).to_be_bytes());
                assert!(decode(shorter.into()).is_err(), "{end}");
            }
        }
    }
}
