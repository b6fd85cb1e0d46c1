//! Frames: a length, the header's length with its format, the header as JSON, the body.

use super::codes::NAME;
use crate::messaging::{BrokerError, ErrorKind};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use tokio::io::{AsyncRead, AsyncReadExt};

/// No answer is larger: 32 messages of the largest size that brokers are set up for fit.
const LARGEST: usize = 256 << 20;
/// What this client says it is: new enough to be told politely that a broker goes away.
const VERSION: u32 = 477;
/// In `flag`: this frame answers one of ours.
const ANSWER: u64 = 1;

/// A request before it is signed and numbered. Every field travels as text.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) code: i32,
    pub(super) fields: BTreeMap<&'static str, String>,
    pub(super) body: Bytes,
}

impl Command {
    pub(super) fn new(code: i32) -> Command {
        Command { code, fields: BTreeMap::new(), body: Bytes::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Command {
        self.fields.insert(name, value.to_string());
        self
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Command {
        self.body = body.into();
        self
    }

    /// The frame in two parts, so that a large body is not copied.
    pub(super) fn frame(self, opaque: i32) -> [Bytes; 2] {
        let fields: Map<String, Value> = self.fields.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
        let header = serde_json::json!({
            "code": self.code, "language": "OTHER", "version": VERSION, "opaque": opaque, "flag": 0, "extFields": fields, "serializeTypeCurrentRPC": "JSON",
        });
        let header = header.to_string();
        let mut head = Vec::with_capacity(8 + header.len());
        head.extend_from_slice(&((4 + header.len() + self.body.len()) as u32).to_be_bytes());
        // The highest byte tells the header's format: 0 is JSON.
        head.extend_from_slice(&(header.len() as u32).to_be_bytes());
        head.extend_from_slice(header.as_bytes());
        [head.into(), self.body]
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) remark: String,
    pub(super) fields: HashMap<String, String>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// A number that has to be there.
    pub(super) fn number(&self, name: &str) -> Result<i64, BrokerError> {
        let text = self.text(name);
        text.parse().map_err(|_| strange(format!("an answer has no number `{name}`, but {text:?}")))
    }
}

/// An answer that is not as the protocol says.
pub(super) fn strange(text: impl Into<String>) -> BrokerError {
    BrokerError::new(NAME, ErrorKind::Other, text)
}

/// A frame from the other side: an answer, or a request of the broker's own.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) opaque: i32,
    pub(super) is_answer: bool,
    pub(super) answer: Answer,
}

/// Reads one frame. Memory is taken as bytes come, not as the length promises.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Result<Incoming, String> {
    let total = from.read_u32().await.map_err(|error| error.to_string())? as usize;
    if !(4..=LARGEST).contains(&total) {
        return Err(format!("a frame of {total} bytes: is this a RocketMQ server?"));
    }
    let mut frame = Vec::with_capacity(total.min(64 << 10));
    let read = from.take(total as u64).read_to_end(&mut frame).await.map_err(|error| error.to_string())?;
    if read < total {
        return Err("the connection ended in the middle of a frame".to_owned());
    }
    parse(frame.into())
}

fn parse(frame: Bytes) -> Result<Incoming, String> {
    let (Some(&format), Some(length)) = (frame.first(), frame.get(1..4)) else { return Err("a frame without a header".to_owned()) };
    let length = length.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    if format != 0 {
        return Err(format!("a header in format {format}, and JSON was asked for"));
    }
    let Some(header) = frame.get(4..4 + length) else { return Err("a header that is longer than its frame".to_owned()) };
    let header: Value = serde_json::from_slice(header).map_err(|error| format!("a header that cannot be read: {error}"))?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = header["extFields"].as_object().map(|fields| fields.iter().map(|(name, value)| (name.clone(), text(value))).collect());
    let answer = Answer {
        code: number(&header["code"]),
        remark: header["remark"].as_str().unwrap_or_default().to_owned(),
        fields: fields.unwrap_or_default(),
        body: frame.slice(4 + length..),
    };
    Ok(Incoming { opaque: number(&header["opaque"]), is_answer: header["flag"].as_u64().unwrap_or(0) & ANSWER != 0, answer })
}

fn number(value: &Value) -> i32 {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(parts: [Bytes; 2]) -> Vec<u8> {
        parts.concat()
    }

    #[tokio::test]
    async fn a_frame_is_read_as_it_was_written() {
        let frame = joined(Command::new(105).with("topic", "orders").with("n", 7).body("body").frame(42));
        assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
        let came = read(&mut &frame[..]).await.unwrap();
        assert_eq!((came.opaque, came.is_answer, came.answer.code), (42, false, 105));
        assert_eq!((came.answer.text("topic"), came.answer.number("n").unwrap()), ("orders", 7));
        assert_eq!(came.answer.body.as_ref(), b"body");
        assert!(came.answer.number("topic").is_err() && came.answer.number("none").is_err());
    }

    #[tokio::test]
    async fn what_is_no_frame_is_said_and_never_a_panic() {
        let mut torn = joined(Command::new(1).body("body").frame(1));
        torn.truncate(torn.len() - 1);
        let long_header = [&12u32.to_be_bytes()[..], &[0, 0, 1, 0], b"{}      "].concat();
        let not_json = [&8u32.to_be_bytes()[..], &[0, 0, 0, 4], b"nope"].concat();
        let other_format = [&8u32.to_be_bytes()[..], &[1, 0, 0, 4], b"nope"].concat();
        let cases: [&[u8]; 8] = [b"", b"HTTP/1.1 400", &[0, 0, 0, 0], &[0, 0, 0, 4, 0], &torn, &long_header, &not_json, &other_format];
        for case in cases {
            assert!(read(&mut &case[..]).await.is_err(), "{case:?}");
        }
    }
}
