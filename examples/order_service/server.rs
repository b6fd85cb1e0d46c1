//! The edge: the HTTP server as a component. Started last, it is the first to be stopped.

use crate::connections::Connections;
use crate::intake::Intake;
use crate::routes::routes;
use crate::store::Store;
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use tokio::time::sleep;
use winddown::messaging::Producer;
use winddown::{Lifecycle, Link, Phase, Resource, StartCx, StopCx, async_trait};

/// For so long at least after shutdown began, late requests still get an answer (503 and `Connection: close`) instead of a
/// closed door: load balancers need a moment to notice. Less where the budget is small.
const LINGER: Duration = Duration::from_millis(200);

pub(crate) struct HttpServer {
    listen: String,
    store: Resource<Store>,
    producer: Producer,
    /// Told the bound address once orders are accepted, beside the line on stdout.
    tell: Option<UnboundedSender<SocketAddr>>,
    running: Option<Running>,
}

struct Running {
    intake: Arc<Intake>,
    connections: Connections,
    door_shut: oneshot::Receiver<()>,
}

impl HttpServer {
    pub(crate) fn new(listen: String, store: Resource<Store>, producer: Producer, tell: Option<UnboundedSender<SocketAddr>>) -> HttpServer {
        HttpServer { listen, store, producer, tell, running: None }
    }
}

#[async_trait]
impl Lifecycle for HttpServer {
    fn name(&self) -> String {
        "http".into()
    }

    fn phase(&self) -> Phase {
        Phase::EDGE
    }

    fn needs(&self) -> Vec<Link> {
        vec![self.producer.link()]
    }

    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let listener = TcpListener::bind(&self.listen).await.with_context(|| format!("cannot listen on {}", self.listen))?;
        let address = listener.local_addr()?;
        let intake = Arc::new(Intake::new(cx.handle(), cx.lease(&self.store)?, self.producer.clone()));
        let connections = Connections::new();
        let (done, door_shut) = oneshot::channel();
        let router = routes(Arc::clone(&intake));
        cx.spawn("accept", connections.clone().accept(listener, router, cx.clone(), done));
        cx.spawn_job("announce", announce(cx.clone(), address, self.tell.clone()));
        self.running = Some(Running { intake, connections, door_shut });
        Ok(())
    }

    /// Readiness is down already, and new orders get 503 since the moment shutdown began. What is left is to close the door without
    /// leaving anybody in front of it; told to hurry, with an answer for everybody all the same.
    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        let Some(Running { intake, connections, door_shut }) = self.running.take() else { return Ok(()) };
        let budget = cx.remaining();
        let linger = LINGER.min(budget / 8);
        let close = async {
            tokio::join!(intake.answer_begun(cx, budget * 3 / 4), sleep(linger));
            connections.close(cx, door_shut, linger / 4).await;
        };
        if cx.until_cancelled(close).await.is_none() {
            intake.answer_now();
            connections.close_now(cx, cx.remaining() / 2).await;
        }
        intake.account(cx);
        Ok(())
    }
}

/// Says where, once everything runs: whoever reads it may send orders, and finds the service ready.
async fn announce(cx: StartCx, address: SocketAddr, tell: Option<UnboundedSender<SocketAddr>>) -> anyhow::Result<()> {
    if !cx.handle().wait_ready().await {
        return Ok(());
    }
    // Through the runtime's stdout, so that a full pipe holds no worker, and not past the stop; a closed one is nobody's loss.
    let line = format!("listening on http://{address}\n");
    let say = async {
        let mut stdout = tokio::io::stdout();
        let _ = stdout.write_all(line.as_bytes()).await;
        let _ = stdout.flush().await;
    };
    cx.until_stopping(say).await;
    if let Some(tell) = tell {
        let _ = tell.send(address);
    }
    Ok(())
}
