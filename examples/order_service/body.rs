//! Reads a request's body, up to a limit in size and time.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::time::Duration;

/// The largest body taken: an order is small.
pub(crate) const LIMIT: usize = 64 * 1024;

/// What is read and thrown away of a body that is too large. Closing a connection on bytes nobody read resets it, and the
/// client, still busy sending, would never see the 413.
const DISCARDED: usize = 16 * 1024 * 1024;

/// How long all of a body may take to arrive.
const WITHIN: Duration = Duration::from_secs(10);

/// Why there is no body.
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    Broken,
}

pub(crate) async fn read(request: Request) -> Result<Vec<u8>, Unread> {
    tokio::time::timeout(WITHIN, collect(request)).await.unwrap_or(Err(Unread::TooSlow))
}

async fn collect(request: Request) -> Result<Vec<u8>, Unread> {
    let asks_first = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    if body.size_hint().lower() > LIMIT as u64 {
        if !asks_first {
            // Who waits for `100 Continue` has sent nothing yet, and is answered without being asked for it.
            discard(body).await;
        }
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if bytes.len() + data.len() > LIMIT {
            discard(body).await;
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, |data| data.len());
        if discarded > DISCARDED {
            return;
        }
    }
}
