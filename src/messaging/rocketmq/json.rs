//! The servers' JSON, in which numbers may be names of fields.

use super::wire::strange;
use crate::messaging::BrokerError;
use serde_json::Value;

/// Reads what a server wrote. `what` is named in the error.
pub(super) fn parse(text: &[u8], what: &str) -> Result<Value, BrokerError> {
    serde_json::from_slice(text)
        .or_else(|_| serde_json::from_slice(&quoted(text)))
        .map_err(|error| strange(format!("{what} that cannot be read: {error}")))
}

/// The same with quotes around numbers that stand where a name should.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    let (mut in_string, mut escaped, mut name_may_come) = (false, false, false);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !in_string && name_may_come && digits > 0 && text.get(at + digits) == Some(&b':') {
            out.push(b'"');
            out.extend_from_slice(&text[at..at + digits]);
            out.push(b'"');
            at += digits;
            name_may_come = false;
            continue;
        }
        out.push(byte);
        at += 1;
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            in_string = byte == b'"';
            name_may_come = matches!(byte, b'{' | b',') || name_may_come && byte.is_ascii_whitespace();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_names() {
        let read = |text: &str| parse(text.as_bytes(), "it").unwrap();
        assert_eq!(read(r#"{"a":{0:"x:1",12:[1,2]}, 3:4}"#), read(r#"{"a":{"0":"x:1","12":[1,2]},"3":4}"#));
        assert_eq!(read(r#"{0:"a\",1:b{2:"}"#), read(r#"{"0":"a\",1:b{2:"}"#));
        assert!(parse(b"{0", "it").unwrap_err().text().starts_with("it that cannot be read"));
        assert!(parse(b"{0:\"", "it").is_err() && parse(b"", "it").is_err());
    }
}
