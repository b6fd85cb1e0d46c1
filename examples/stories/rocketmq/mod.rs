//! The same story on a real RocketMQ, beside its own Java client: what the stories share for that.
//!
//! The server is one that `scripts/live/up rocketmq` started: the stories make it busy and let it stand still, by the scripts beside.
#![allow(dead_code, reason = "each story uses its own part of it")]

use crate::common::Run;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::{Broker, Interest, MessageId, RocketMqBroker};
use winddown::secs;

/// The Java clients beside which it is shown: the last of the line in which the dispatcher was mended, and the newest.
pub(crate) const JAVA: [&str; 2] = ["5.3.2", "5.5.0"];

/// The port of the name server that a set of servers has without an offset.
const NAME_SERVER: i32 = 9876;

/// A real server under the story's control.
pub(crate) struct Server {
    url: String,
    offset: String,
}

impl Server {
    /// The server at this address, which must be one of this machine that the scripts started.
    pub(crate) fn at(url: &str) -> anyhow::Result<Server> {
        let port: i32 =
            url.rsplit(':').next().and_then(|port| port.parse().ok()).context("--broker-url is a name server's, such as 127.0.0.1:9876")?;
        Ok(Server { url: url.to_owned(), offset: (port - NAME_SERVER).to_string() })
    }

    pub(crate) async fn client(&self) -> anyhow::Result<RocketMqBroker> {
        RocketMqBroker::connect(&self.url).await.context("is it running? `scripts/live/up rocketmq` starts it")
    }

    /// A topic that nobody used before.
    pub(crate) async fn topic(&self, label: &str) -> anyhow::Result<String> {
        let topic = format!("story-{label}-{}", MessageId::new().to_string()[4..].to_lowercase());
        self.make(&topic).await?;
        Ok(topic)
    }

    pub(crate) async fn make(&self, topic: &str) -> anyhow::Result<()> {
        let client = self.client().await?;
        client.create_topic(topic, 4).await?;
        Ok(client.close().await?)
    }

    /// From now on, every send is answered SYSTEM_BUSY; or no longer.
    pub(crate) async fn busy(&self, on: bool) -> anyhow::Result<()> {
        self.script("busy", &[if on { "on" } else { "off" }]).await
    }

    /// It stands still, or goes on.
    pub(crate) async fn paused(&self, on: bool) -> anyhow::Result<()> {
        self.script("signal", &[if on { "STOP" } else { "CONT" }, "rocketmq"]).await
    }

    async fn script(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new(script(name));
        let output = command.args(arguments).env("LIVE_OFFSET", &self.offset).stdin(Stdio::null()).output().await?;
        ensure!(output.status.success(), "scripts/live/{name} failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The messages of a topic that can be received, each counted once by its body.
    pub(crate) async fn bodies(&self, topic: &str, expected: usize) -> anyhow::Result<HashSet<Vec<u8>>> {
        let client = self.client().await?;
        let member = client.subscribe(&Interest { visibility: secs(60), ..Interest::new(format!("{topic}-count"), topic) }).await?;
        let (mut bodies, mut last) = (HashSet::new(), Instant::now());
        // Some seconds without anything more mean that it was all.
        while bodies.len() < expected && last.elapsed() < secs(8) {
            let came = member.pull(32, secs(1)).await?;
            let receipts: Vec<_> = came.iter().map(|delivery| delivery.receipt().clone()).collect();
            for delivery in came {
                if bodies.insert(delivery.message().body().to_vec()) {
                    last = Instant::now();
                }
            }
            member.ack(&receipts).await?;
        }
        member.close().await?;
        client.close().await?;
        Ok(bodies)
    }

    /// Runs one of the Java programs to its end; what it says last, as JSON.
    pub(crate) async fn java(&self, version: &str, program: &str, arguments: &[String]) -> anyhow::Result<Value> {
        let mut java = self.begin_java(version, program, arguments)?;
        tokio::task::spawn_blocking(move || java.last_line()).await?
    }

    /// Starts one of them, to be spoken with.
    pub(crate) fn begin_java(&self, version: &str, program: &str, arguments: &[String]) -> anyhow::Result<Java> {
        let mut command = Command::new(script("java-client"));
        command.args([version, program, &self.url]).args(arguments).env("LIVE_OFFSET", &self.offset);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().context("cannot run the Java client")?;
        let (stdin, stdout) = (child.stdin.take().context("no pipe")?, child.stdout.take().context("no pipe")?);
        Ok(Java { child, stdin: Some(stdin), stdout: BufReader::new(stdout) })
    }
}

/// A Java program that runs. Killed when dropped.
pub(crate) struct Java {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Java {
    /// The next line that it says; nothing when it has ended.
    pub(crate) fn line(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }

    /// Waits until it says this word.
    pub(crate) fn wait_for(&mut self, word: &str) -> anyhow::Result<()> {
        while let Some(line) = self.line()? {
            if line == word {
                return Ok(());
            }
        }
        anyhow::bail!("the Java program ended before it said {word:?}")
    }

    /// Waits until it says this word, beside other tasks.
    pub(crate) async fn said(mut self, word: &'static str) -> anyhow::Result<Java> {
        tokio::task::spawn_blocking(move || self.wait_for(word).map(|()| self)).await?
    }

    /// Sends it a line, and waits until it says this word.
    pub(crate) async fn said_after_a_line(mut self, word: &'static str) -> anyhow::Result<Java> {
        self.go_on()?;
        self.said(word).await
    }

    /// Sends it a line, and waits for the last that it says.
    pub(crate) async fn said_last_after_a_line(mut self) -> anyhow::Result<Value> {
        self.go_on()?;
        tokio::task::spawn_blocking(move || self.last_line()).await?
    }

    fn go_on(&mut self) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("its pipe is closed")?;
        Ok(writeln!(stdin).and_then(|()| stdin.flush())?)
    }

    /// The script has become the program.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It has said everything: waits until it is gone.
    pub(crate) fn ended(&mut self) -> anyhow::Result<()> {
        Ok(self.child.wait().map(drop)?)
    }

    pub(crate) fn last_line(&mut self) -> anyhow::Result<Value> {
        let mut last = None;
        while let Some(line) = self.line()? {
            last = Some(line);
        }
        let status = self.child.wait()?;
        let last = last.with_context(|| format!("the Java program said nothing, and ended with {status}"))?;
        serde_json::from_str(&last).with_context(|| format!("no JSON: {last:?}"))
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SIGTERM.
pub(crate) fn terminate(pid: u32) -> anyhow::Result<()> {
    let sent = Command::new("kill").args(["-s", "TERM", &pid.to_string()]).status()?;
    ensure!(sent.success(), "cannot send SIGTERM");
    Ok(())
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/live").join(name)
}

/// A figure of a program's line of JSON.
pub(crate) fn figure(said: &Value, name: &str) -> anyhow::Result<u64> {
    said[name].as_u64().with_context(|| format!("there is no {name} in {said}"))
}

/// What a Java program says that it gave and that arrived.
pub(crate) fn run_of(said: &Value) -> anyhow::Result<Run> {
    Ok(Run::new(figure(said, "expected")?, figure(said, "ok")?))
}

/// A while in which the server is in trouble: part of the story, nothing that is waited for.
pub(crate) async fn trouble(span: Duration) {
    tokio::time::sleep(span).await;
}
