//! The way to a server: TCP, and whatever the user puts around it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection in both directions, such as a `TcpStream` or a TLS stream around one.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

type Wrapping = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// What a TCP connection is wrapped in.
#[derive(Clone, Default)]
pub(super) struct Transport(Option<Arc<dyn Fn(TcpStream, String) -> Wrapping + Send + Sync>>);

impl Transport {
    pub(super) fn new<F, R, S>(wrap: F) -> Transport
    where
        F: Fn(TcpStream, String) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream,
    {
        Transport(Some(Arc::new(move |stream, address| {
            let wrapped = wrap(stream, address);
            Box::pin(async move { Ok(Box::new(wrapped.await?) as Box<dyn Stream>) })
        })))
    }

    /// Connects, wrapping included, within this time.
    pub(super) async fn connect(&self, address: &str, within: Duration) -> Result<Box<dyn Stream>, String> {
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            match &self.0 {
                None => Ok(Box::new(stream) as Box<dyn Stream>),
                Some(wrap) => wrap(stream, address.to_owned()).await,
            }
        };
        match timeout(within, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no connection within {} ms", within.as_millis())),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "wrapped" } else { "tcp" })
    }
}
