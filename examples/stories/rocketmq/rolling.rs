//! A rolling restart of two consumers under load, for real: 2,000 messages at 200 a second, and one after the other the members of the group are replaced.
//!
//! *Before* are push consumers of RocketMQ's Java client, each a process that gets a SIGTERM and shuts its consumer down in a hook. *After* are winddown's. Both
//! handle four messages at a time, 3 ms each. Counted are the messages that some member says it has handled, each once.

use crate::common::Run;
use crate::rocketmq::{JAVA, Java, Server};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};
use winddown::messaging::{Broker, Consumer, HandlerCx, Message};
use winddown::{App, Handle, Report, Signals, millis, secs};

const MESSAGES: usize = 2_000;
const PACE: Duration = millis(5);
const WORK: Duration = millis(3);
const AT_A_TIME: usize = 4;

/// How long nothing more may come until the rest is called lost: longer than any lease here and any rebalance of the Java client.
const PATIENCE: Duration = secs(45);

type Heard = Arc<Mutex<HashMap<String, u32>>>;

pub(crate) async fn play(url: &str) -> anyhow::Result<(Run, Run)> {
    let server = Server::at(url)?;
    let (topic, heard) = (server.topic("java").await?, Heard::default());
    let before = roll(&server, &topic, &heard, || JavaMember::begin(&server, &topic, &heard), async |member: JavaMember| member.end().await).await?;
    let (topic, heard) = (server.topic("winddown").await?, Heard::default());
    let begin = async || Member::begin(&server, &topic, &heard).await;
    let after = roll(&server, &topic, &heard, begin, async |member: Member| member.end().await).await?;
    Ok((before, after))
}

/// Two members; each is replaced once while messages come.
async fn roll<M, B: Future<Output = anyhow::Result<M>>, E: Future<Output = anyhow::Result<()>>>(
    server: &Server,
    topic: &str,
    heard: &Heard,
    begin: impl Fn() -> B,
    end: impl Fn(M) -> E,
) -> anyhow::Result<Run> {
    let (first, second) = (begin().await?, begin().await?);
    let client = server.client().await?;
    let load = async {
        let mut pace = interval(PACE);
        for number in 0..MESSAGES {
            pace.tick().await;
            client.send(&Message::new(topic, number.to_string()), None).await?;
        }
        anyhow::Ok(())
    };
    let replace = async {
        until_heard(heard, MESSAGES / 4).await;
        let third = begin().await?;
        end(first).await?;
        until_heard(heard, MESSAGES / 2).await;
        let fourth = begin().await?;
        end(second).await?;
        anyhow::Ok((third, fourth))
    };
    let (loaded, replaced) = tokio::join!(load, replace);
    loaded?;
    let (third, fourth) = replaced?;
    until_heard(heard, MESSAGES).await;
    end(third).await?;
    end(fourth).await?;
    client.close().await?;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let again: u32 = heard.values().map(|times| times - 1).sum();
    Ok(Run::new(MESSAGES as u64, heard.len() as u64).note("handled again", again))
}

/// Waits until so many were handled, or nothing comes any more.
async fn until_heard(heard: &Heard, count: usize) {
    let (mut last, mut since) = (0, Instant::now());
    while last < count && since.elapsed() < PATIENCE {
        let now = heard.lock().unwrap_or_else(PoisonError::into_inner).len();
        if now > last {
            (last, since) = (now, Instant::now());
        }
        sleep(millis(20)).await;
    }
}

fn hear(heard: &Heard, body: String) {
    *heard.lock().unwrap_or_else(PoisonError::into_inner).entry(body).or_default() += 1;
}

struct JavaMember {
    pid: u32,
    listener: JoinHandle<anyhow::Result<()>>,
}

impl JavaMember {
    async fn begin(server: &Server, topic: &str, heard: &Heard) -> anyhow::Result<JavaMember> {
        let arguments = [topic.to_owned(), format!("{topic}-group"), WORK.as_millis().to_string()];
        let program = server.begin_java(JAVA[1], "Consumes", &arguments)?;
        let heard = heard.clone();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let pid = program.pid();
        let listener = std::thread::spawn(move || listen(program, &heard, ready));
        is_ready.await?;
        Ok(JavaMember { pid, listener })
    }

    async fn end(self) -> anyhow::Result<()> {
        crate::rocketmq::terminate(self.pid)?;
        tokio::task::spawn_blocking(move || self.listener.join().map_err(|_| anyhow::anyhow!("the listener panicked"))?).await?
    }
}

fn listen(mut program: Java, heard: &Heard, ready: tokio::sync::oneshot::Sender<()>) -> anyhow::Result<()> {
    program.wait_for("ready")?;
    let _ = ready.send(());
    while let Some(line) = program.line()? {
        hear(heard, line);
    }
    program.ended()
}

struct Member {
    handle: Handle,
    run: tokio::task::JoinHandle<Arc<Report>>,
}

impl Member {
    async fn begin(server: &Server, topic: &str, heard: &Heard) -> anyhow::Result<Member> {
        let client = Arc::new(server.client().await?);
        let app = App::new("member").signals(Signals::Ignore).output(winddown::Output::Quiet);
        let (heard, closed) = (heard.clone(), client.clone());
        let consumer = Consumer::builder(client).group(format!("{topic}-group")).topic(topic).concurrency(AT_A_TIME).visibility(secs(20));
        app.add(consumer.handler(move |cx: HandlerCx| {
            let heard = heard.clone();
            async move {
                sleep(WORK).await;
                hear(&heard, String::from_utf8(cx.message().body().to_vec())?);
                Ok(())
            }
        }));
        let handle = app.handle();
        let run = tokio::spawn(async move {
            let report = app.run().await;
            let _ = closed.close().await;
            report
        });
        anyhow::ensure!(handle.wait_ready().await, "a member did not start");
        Ok(Member { handle, run })
    }

    async fn end(self) -> anyhow::Result<()> {
        self.handle.request_shutdown("it is replaced");
        let report = self.run.await?;
        anyhow::ensure!(report.exit_code() == 0, "{report}");
        Ok(())
    }
}
