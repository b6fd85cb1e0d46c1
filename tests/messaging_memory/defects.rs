//! A broker in front of another that does one thing wrong.

use super::members::{BrokenMember, Current, receipts};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;
use winddown::async_trait;
use winddown::messaging::{
    Backlog, Broker, BrokerError, Class, ErrorKind, Interest, Limits, Message, MessageId, Route, SendReceipt, StartFrom, Subscription, TagFilter,
};

macro_rules! defects {
    ($($name:ident $clause:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Defect { None, $($name),+ }

        impl Defect {
            /// Each with the clause that has to find it.
            pub(crate) const ALL: &[(Defect, u32)] = &[$((Defect::$name, $clause)),+];
        }
    };
}

defects! {
    BodyAsText 1;
    ForgetsTag 1;
    NewIds 1;
    ForgetsOrder 1;
    TakesAnySize 2;
    RefusesTheLargest 2;
    TakesAnyName 3;
    WrongClass 3;
    MakesUnknownTopics 4;
    BatchBackwards 5;
    BatchAllOrNothing 5;
    DroppedSendsBreakTheConnection 6;
    DroppedSendsComeTwice 6;
    GroupsShare 7;
    SwallowsSends 7;
    MembersGetAll 8;
    DeliversTwice 9;
    MoreThanAskedFor 10;
    AnswersEmptyAtOnce 11;
    WaitsInAnyCase 12;
    DroppedPullsLose 13;
    AllTags 14;
    AlwaysLatest 15;
    AlwaysEarliest 16;
    NoDelay 17;
    LosesAcks 18;
    AckCountsWrong 18;
    AttemptsStay 19;
    NackIsAck 19;
    NoNackDelay 20;
    ReleaseLate 21;
    ReleaseCounts 21;
    NoVisibility 22;
    HalfTheVisibility 22;
    ExtendsNothing 23;
    ExtendsStale 23;
    StaleIsAnError 24;
    StaleSettles 24;
    DeadLettersWithoutReason 25;
    DeadLettersLost 25;
    DeadLettersStay 25;
    SettlesOnlyTheFirst 26;
    NoOrder 27;
    OrderLostOnRedelivery 28;
    LeavingKeepsHold 29;
    WorksAfterClose 30;
    SecondCloseFails 30;
    PullsOutliveClose 31;
    CommitsNothing 32;
    ForgetsWhenClosed 33;
    LosesOneInAThousand 34;
    LosesReleased 35;
    ForgetsTheHeld 36;
    CountsTheSettled 36;
}

/// What several clients of the same broken broker share is kept by group and topic.
pub(crate) struct Broken {
    inner: Arc<dyn Broker>,
    defect: Defect,
    count: AtomicU32,
    cut: Mutex<bool>,
    joined: Mutex<Vec<Interest>>,
    current: Arc<Current>,
}

impl Broken {
    pub(crate) fn new(inner: Arc<dyn Broker>, defect: Defect) -> Broken {
        Broken { inner, defect, count: AtomicU32::new(0), cut: Mutex::new(false), joined: Mutex::default(), current: Arc::default() }
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }
}

/// Marks a call that was dropped before its end.
struct Dropped<'a>(&'a Mutex<bool>, bool);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if !self.1 {
            *self.0.lock().unwrap() = true;
        }
    }
}

fn altered(message: &Message, defect: Defect) -> Message {
    match defect {
        Defect::BodyAsText => {
            let mut other = Message::new(message.topic_shared(), String::from_utf8_lossy(message.body()).into_owned()).with_id(message.id());
            if let Some(tag) = message.tag_shared() {
                other = other.with_tag(tag);
            }
            other
        }
        Defect::ForgetsTag => Message::new(message.topic_shared(), message.body().clone()).with_id(message.id()),
        Defect::NewIds => message.clone().with_id(MessageId::new()),
        Defect::ForgetsOrder => match message.key_shared() {
            Some(key) if message.is_ordered() => Message::new(message.topic_shared(), message.body().clone()).with_id(message.id()).with_key(key),
            _ => message.clone(),
        },
        Defect::NoDelay => message.clone().with_delay(Duration::ZERO),
        _ => message.clone(),
    }
}

#[async_trait]
impl Broker for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn limits(&self) -> Limits {
        let mut limits = self.inner.limits();
        match self.defect {
            Defect::TakesAnySize => limits.message_bytes /= 2,
            Defect::RefusesTheLargest => limits.message_bytes += 1,
            Defect::TakesAnyName => limits.topic_bytes /= 2,
            _ => {}
        }
        limits
    }

    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        match self.defect {
            Defect::SwallowsSends if number % 5 == 4 => return Ok(SendReceipt::default()),
            Defect::LosesOneInAThousand if number % 1000 == 999 => return Ok(SendReceipt::default()),
            Defect::DroppedSendsBreakTheConnection | Defect::DroppedSendsComeTwice => {
                let mut dropped = Dropped(&self.cut, false);
                sleep(Duration::from_micros(300)).await;
                dropped.1 = true;
                let was_cut = std::mem::take(&mut *self.cut.lock().unwrap());
                if was_cut && self.is(Defect::DroppedSendsBreakTheConnection) {
                    return Err(BrokerError::new("broken", ErrorKind::Disconnected, "out of step"));
                }
                if was_cut {
                    self.inner.send(message, route).await?;
                }
            }
            _ => {}
        }
        let sent = self.inner.send(&altered(message, self.defect), route).await;
        match sent {
            Err(error) if self.is(Defect::WrongClass) => Err(error.with_class(Class::RetryableSafe)),
            Err(error) if self.is(Defect::WorksAfterClose) && error.kind() == ErrorKind::Closed => Ok(SendReceipt::default()),
            sent => sent,
        }
    }

    async fn send_batch(&self, messages: &[Message], route: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        let mut answers = Vec::new();
        for message in messages {
            answers.push(self.send(message, route).await);
        }
        match self.defect {
            Defect::BatchBackwards => answers.reverse(),
            Defect::BatchAllOrNothing if answers.iter().any(Result::is_err) => {
                answers.fill_with(|| Err(BrokerError::new("broken", ErrorKind::Invalid, "one of them")));
            }
            _ => {}
        }
        answers
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        let mut interest = interest.clone();
        match self.defect {
            Defect::GroupsShare => interest.group = "all".into(),
            Defect::MembersGetAll => interest.group = MessageId::new().to_string().into(),
            Defect::AllTags => interest.tags = TagFilter::All,
            Defect::AlwaysLatest => interest.start = StartFrom::Latest,
            Defect::AlwaysEarliest => interest.start = StartFrom::Earliest,
            Defect::NoVisibility => interest.visibility = Duration::from_secs(1 << 30),
            Defect::HalfTheVisibility => interest.visibility /= 2,
            Defect::NoOrder => interest.ordered = false,
            _ => {}
        }
        let inner = self.inner.subscribe(&interest).await?;
        self.joined.lock().unwrap().push(interest.clone());
        Ok(Arc::new(BrokenMember {
            inner,
            broker: self.inner.clone(),
            defect: self.defect,
            group: interest.group,
            count: AtomicU32::new(0),
            closes: AtomicU32::new(0),
            current: self.current.clone(),
            again: Mutex::default(),
        }))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        let told = self.inner.backlog(group, topic).await?;
        Ok(match self.defect {
            Defect::ForgetsTheHeld => Backlog { held: Some(0), ..told },
            Defect::CountsTheSettled => Backlog { waiting: u64::from(self.count.load(Ordering::SeqCst)), ..told },
            _ => told,
        })
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let joined = std::mem::take(&mut *self.joined.lock().unwrap());
        match self.defect {
            Defect::PullsOutliveClose => return Ok(()),
            Defect::ForgetsWhenClosed => {
                for interest in joined {
                    let Ok(member) = self.inner.subscribe(&interest).await else { continue };
                    let taken = member.pull(1000, Duration::ZERO).await?;
                    member.ack(&receipts(&taken)).await?;
                }
            }
            _ => {}
        }
        self.inner.close().await
    }
}
