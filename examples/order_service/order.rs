//! What an order is, and what is wrong with one that is none.

use serde::Serialize;
use serde_json::Value;
use winddown::messaging::Message;

/// The topic that accepted orders are sent to.
pub(crate) const TOPIC: &str = "orders";

/// One order. The id is the client's: sending the same order again is harmless, which is what makes a retry after 503 safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) item: String,
    /// At least 1.
    pub(crate) quantity: i64,
}

/// Why a body is not an order: which field, and what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) field: &'static str,
    pub(crate) error: String,
}

impl Order {
    /// Reads a JSON object. Members that an order does not have are passed over.
    pub(crate) fn parse(body: &[u8]) -> Result<Order, Invalid> {
        let value: Value = serde_json::from_slice(body).map_err(|e| invalid("body", format!("the body is not JSON: {e}")))?;
        if !value.is_object() {
            return Err(invalid("body", format!("the body must be a JSON object, not {}", kind(&value))));
        }
        let id = text(&value, "id")?;
        if id.is_empty() {
            return Err(invalid("id", "`id` must not be empty, or nobody could ask for the order"));
        }
        Ok(Order { id, item: text(&value, "item")?, quantity: quantity(&value)? })
    }

    /// The order on its way: its id is the message's key, its JSON the body.
    pub(crate) fn to_message(&self) -> Message {
        let body = serde_json::json!({ "id": self.id, "item": self.item, "quantity": self.quantity });
        Message::new(TOPIC, body.to_string()).with_tag("accepted").with_key(self.id.as_str())
    }
}

fn text(order: &Value, field: &'static str) -> Result<String, Invalid> {
    match member(order, field)? {
        Value::String(text) => Ok(text.clone()),
        other => Err(invalid(field, format!("`{field}` must be a string, not {}", kind(other)))),
    }
}

fn quantity(order: &Value) -> Result<i64, Invalid> {
    let value = member(order, "quantity")?;
    match value.as_i64() {
        Some(quantity) if quantity >= 1 => Ok(quantity),
        _ if value.is_number() => Err(invalid("quantity", format!("`quantity` must be an integer from 1 to {}, not {value}", i64::MAX))),
        _ => Err(invalid("quantity", format!("`quantity` must be an integer of at least 1, not {}", kind(value)))),
    }
}

fn member<'a>(order: &'a Value, field: &'static str) -> Result<&'a Value, Invalid> {
    order.get(field).ok_or_else(|| invalid(field, format!("`{field}` is missing")))
}

fn invalid(field: &'static str, error: impl Into<String>) -> Invalid {
    Invalid { field, error: error.into() }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
