//! The TCP side: accepting, serving connections, and closing both without cutting anybody off.

use crate::gauge::Gauge;
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use winddown::{StartCx, StopCx};

/// Connections at once; more wait in the system's backlog. It keeps well below the usual limit of 1024 open files.
const LIMIT: usize = 512;

/// How long a connection may be idle, or take to send a request's head.
const IDLE: Duration = Duration::from_secs(30);

/// How long a client may take, when all is to be closed, to send a request or to read an answer.
const DAWDLE: Duration = Duration::from_secs(1);

/// After a failed accept (no file descriptor left, as a rule) it helps to let some connections end first.
const BREATHER: Duration = Duration::from_millis(50);

/// All connections, and what they are told; all clones are the same.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Gauge,
    /// Accept no more.
    shut: CancellationToken,
    /// Close when idle, after the answer otherwise.
    finish: CancellationToken,
    /// Close now, whatever is still being sent.
    cut: CancellationToken,
}

impl Connections {
    pub(crate) fn new() -> Connections {
        let token = CancellationToken::new;
        Connections { open: Gauge::new(), shut: token(), finish: token(), cut: token() }
    }

    /// Accepts until `shut`, then what the system had accepted already, and closes the listener; `done` hears of it.
    pub(crate) async fn accept(self, listener: TcpListener, router: Router, cx: StartCx, done: oneshot::Sender<()>) -> anyhow::Result<()> {
        let slots = Arc::new(Semaphore::new(LIMIT));
        let serve = |stream: TcpStream, slot| {
            let (connections, router) = (self.clone(), router.clone());
            let entered = self.open.enter();
            cx.spawn_job("connection", async move {
                connections.serve(stream, router).await;
                drop((entered, slot));
                Ok(())
            });
        };
        let next = async || (Arc::clone(&slots).acquire_owned().await.ok(), listener.accept().await);
        while let Some((slot, accepted)) = self.shut.run_until_cancelled(next()).await {
            match accepted {
                Ok((stream, _)) => serve(stream, slot),
                Err(_) => drop(self.shut.run_until_cancelled(sleep(BREATHER)).await),
            }
        }
        // Straight from the system, since the runtime may not have noticed all of them yet. Closing the listener on them would
        // reset connections that their clients believe to be open.
        let listener = listener.into_std()?;
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            serve(TcpStream::from_std(stream)?, None);
        }
        drop(listener);
        let _ = done.send(());
        Ok(())
    }

    /// Closes the connections and the door, in this order: so a client whose idle connection is closed under its hands finds the
    /// door open and can come again for its answer, which `moment` is for. Returns when nothing is open.
    pub(crate) async fn close(&self, cx: &StopCx, door_shut: oneshot::Receiver<()>, moment: Duration) {
        self.finish.cancel();
        sleep(moment).await;
        self.shut.cancel();
        let _ = door_shut.await;
        self.close_now(cx, DAWDLE.min(cx.remaining() / 2)).await;
    }

    /// Closes all at once, those with a request after its answer, but within `patience`. What is open then is a client that does
    /// not finish its request or does not read its answer; being rid of it is no failure.
    pub(crate) async fn close_now(&self, cx: &StopCx, patience: Duration) {
        self.shut.cancel();
        self.finish.cancel();
        if timeout(patience, self.all_closed(cx)).await.is_err() {
            self.cut.cancel();
            self.all_closed(cx).await;
        }
    }

    async fn all_closed(&self, cx: &StopCx) {
        self.open.none(|count| cx.progress(format!("{count} connections open"))).await;
    }

    async fn serve(&self, stream: TcpStream, router: Router) {
        let _ = stream.set_nodelay(true);
        let (used, service) = (AtomicBool::new(false), TowerToHyperService::new(router));
        let service = service_fn(|request| {
            used.store(true, Ordering::Relaxed);
            service.call(request)
        });
        let mut http = http1::Builder::new();
        // Half-closed: a client may say that it has no more to send and still be given its answer.
        http.timer(TokioTimer::new()).header_read_timeout(IDLE).half_close(true);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let in_time = sleep(DAWDLE);
        tokio::select! {
            // Errors are the client's affair: it left, or spoke no HTTP.
            _ = connection.as_mut() => return,
            () = self.finish.cancelled() => {}
            () = self.cut.cancelled() => return,
        }
        // A client that just came has a request and expects an answer; one that had an answer before knows that connections end.
        if !used.load(Ordering::Relaxed) {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = in_time => {}
                () = self.cut.cancelled() => return,
            }
        }
        connection.as_mut().graceful_shutdown();
        let _ = self.cut.run_until_cancelled(connection).await;
    }
}
