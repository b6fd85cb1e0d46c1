//! The task that takes messages from one broker for one subscription, over a connection of its own.
//!
//! A poll that waits at the broker cannot be called off there, but a broker does not answer one whose connection has ended: so the connection is
//! the poll's alone, and leaving the group ends it, hears what is still said, and gives that back.

use super::client::Client;
use super::links::Link;
use super::member::Member;
use super::pop::{self, Catch};
use super::wire::Answer;
use crate::messaging::random::Random;
use crate::messaging::{Backoff, BrokerError};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// No poll waits longer at the broker: what it takes after its pull has gone is given back.
const LONGEST: Duration = Duration::from_secs(5);
/// In order, a broker does not tell who polls for all queues that one of them is free again.
const LONGEST_IN_ORDER: Duration = Duration::from_millis(250);
/// Between rounds that fail.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

pub(super) struct Poller {
    pub(super) client: Arc<Client>,
    pub(super) member: Arc<Member>,
    pub(super) broker: Arc<str>,
    link: Option<(Arc<str>, Arc<Link>)>,
    /// This broker wants to be told the time.
    tell_time: bool,
}

impl Poller {
    pub(super) fn new(client: Arc<Client>, member: Arc<Member>, broker: Arc<str>) -> Poller {
        Poller { client, member, broker, link: None, tell_time: false }
    }

    /// Until the member leaves.
    pub(super) async fn run(mut self) {
        let (client, member) = (self.client.clone(), self.member.clone());
        let longest = if member.interest.ordered { LONGEST_IN_ORDER } else { LONGEST };
        let mut failed = 0;
        let give_back = |caught: Vec<pop::Caught>| {
            let handles = caught.into_iter().map(|caught| caught.handle).collect();
            let (client, member) = (client.clone(), member.clone());
            member.clone().tasks.spawn(async move { member.give_back(&client, handles).await });
        };
        while let Some(round) = member.desk.round(&self.broker, longest, give_back).await {
            let began = Instant::now();
            let caught = self.look(round.want, round.poll).await;
            // A broker that is being stopped answers polls at once, with nothing.
            let hasty = caught.as_ref().is_ok_and(Catch::is_empty) && began.elapsed() < round.poll / 4;
            failed = if caught.is_ok() && !hasty { 0 } else { failed + 1 };
            if let Err(error) = &caught {
                client.doubt(&member.topic, error);
            }
            member.desk.bring(&self.broker, round, caught);
            if failed > 0 {
                tokio::select! {
                    () = sleep(BACKOFF.pause(failed, &mut Random::unique())) => {}
                    () = member.leaving.cancelled() => {}
                }
            }
        }
        // With the link goes the poll's connection.
    }

    async fn look(&mut self, want: usize, poll: Duration) -> Result<Catch, BrokerError> {
        let (client, member) = (self.client.clone(), self.member.clone());
        let address = client.address(&member.topic, &self.broker).await?;
        let link = match &self.link {
            Some((known, link)) if *known == address => link.clone(),
            _ => {
                let link = client.link(&address);
                self.link = Some((address, link.clone()));
                link
            }
        };
        let connection = link.get().await?;
        let born = if self.tell_time { SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() } else { 0 };
        let command = pop::command(&member.interest, &member.topic, want, poll, born);
        let mut asked = std::pin::pin!(client.ask_on(&connection, command, poll + client.timeout()));
        let answer: Answer = tokio::select! {
            biased;
            answer = &mut asked => answer?,
            () = member.leaving.cancelled() => {
                connection.finish();
                asked.await?
            }
        };
        if pop::is_clock_refused(&answer) {
            self.tell_time = true;
        }
        let mut catch = pop::read(&answer, &member.interest, &member.topic, &self.broker)?;
        let unwanted = std::mem::take(&mut catch.unwanted);
        catch.passed_over = unwanted.len();
        if !unwanted.is_empty() {
            let (client, member) = (client.clone(), member.clone());
            member.clone().tasks.spawn(async move { member.pass_over(&client, unwanted).await });
        }
        Ok(catch)
    }
}
