//! An HTTP client with keep-alive connections, as the service's callers would use one.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;

/// What came of one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(StatusCode),
    /// 503, with the time after which to try again.
    ComeBack,
    /// It was sent, and the connection ended without a word.
    None,
    /// It could not even be sent.
    Unreachable,
}

pub(crate) struct Client {
    address: SocketAddr,
    idle: Mutex<Vec<Sender>>,
}

type Sender = SendRequest<Full<Bytes>>;

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, idle: Mutex::new(Vec::new()) }
    }

    /// Posts an order over an idle connection, or a new one.
    ///
    /// An idle connection may be closed by the service just as the order goes out. As the same order again is harmless, it is then
    /// sent again over another connection, at last over a new one: what that says is the answer.
    pub(crate) async fn post(&self, order: String) -> Answer {
        while let Some(idle) = self.reuse() {
            if let Some(answer) = self.post_over(idle, &order).await {
                return answer;
            }
        }
        match self.connect().await {
            Some(new) => self.post_over(new, &order).await.unwrap_or(Answer::None),
            None => Answer::Unreachable,
        }
    }

    async fn post_over(&self, mut connection: Sender, order: &str) -> Option<Answer> {
        let request = Request::post("/orders")
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(order.as_bytes())));
        let response = connection.send_request(request.ok()?).await.ok()?;
        let answer = match (response.status(), response.headers().contains_key(RETRY_AFTER)) {
            (StatusCode::SERVICE_UNAVAILABLE, true) => Answer::ComeBack,
            (status, _) => Answer::Status(status),
        };
        let last = response.headers().get(CONNECTION).is_some_and(|value| value == "close");
        let whole = response.into_body().collect().await.is_ok();
        if whole && !last && connection.ready().await.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Some(answer)
    }

    fn reuse(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Option<Sender> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection); // ends with its sender, or when the service closes it
        Some(sender)
    }
}
