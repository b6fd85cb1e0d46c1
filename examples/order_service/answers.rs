//! The answers: JSON, whatever the status.

use crate::body::{LIMIT, Unread};
use crate::order::{Invalid, Order};
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Seconds after which a client may try again: another instance is there by then, or the queue has moved on.
const COME_BACK: &str = "1";

pub(crate) fn accepted(id: &str) -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "id": id, "status": "accepted" }))).into_response()
}

pub(crate) fn found(order: &Order) -> Response {
    Json(order).into_response()
}

pub(crate) fn healthy(in_flight: usize) -> Response {
    Json(json!({ "status": "ok", "in_flight": in_flight })).into_response()
}

/// Not durably taken: the client still owns the order, and may send it again as it is.
pub(crate) fn unavailable(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, COME_BACK)], Json(json!({ "error": why }))).into_response()
}

pub(crate) fn invalid(invalid: &Invalid) -> Response {
    field(StatusCode::BAD_REQUEST, invalid.field, &invalid.error)
}

/// Sending it again would never help, so this is not a 503; the order is well-formed, so it is not a 400 either.
pub(crate) fn id_taken() -> Response {
    field(StatusCode::CONFLICT, "id", "a different order has this `id`")
}

pub(crate) fn unread(why: &Unread) -> Response {
    match why {
        Unread::TooLarge => error(StatusCode::PAYLOAD_TOO_LARGE, &format!("an order has at most {LIMIT} bytes")),
        Unread::TooSlow => error(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Unread::Broken => field(StatusCode::BAD_REQUEST, "body", "the body broke off"),
    }
}

pub(crate) fn not_found(what: &str) -> Response {
    error(StatusCode::NOT_FOUND, what)
}

fn error(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

fn field(status: StatusCode, field: &str, text: &str) -> Response {
    (status, Json(json!({ "error": text, "field": field }))).into_response()
}
