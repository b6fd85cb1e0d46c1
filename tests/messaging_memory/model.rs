//! The broker in memory against a naive model: every message's state for every group, found by looking at all of them.

use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::{Broker, Delivery, Interest, MemoryBroker, Message, StartFrom, Subscription, TagFilter};
use winddown::millis;

#[derive(Clone, Debug)]
enum Op {
    Send { key: u8, ordered: bool, red: bool, delay: u64 },
    Join { group: usize, visibility: u64 },
    Leave(Index),
    Pull { member: Index, max: usize, wait: u64 },
    Ack(Index),
    Nack(Index, u64),
    Release(Index),
    Extend(Index, u64),
    Bury(Index),
    Advance(u64),
}

/// Plain, in the order of keys, only red ones, only what comes, and in order and red at once.
const GROUPS: usize = 5;

fn interest(group: usize, visibility: u64) -> Interest {
    let mut interest = Interest { visibility: millis(visibility), ..Interest::new(format!("g{group}"), "t") };
    interest.ordered = group == 1 || group == 4;
    interest.tags = if group == 2 || group == 4 { TagFilter::any(["red"]) } else { TagFilter::All };
    interest.start = if group == 3 { StartFrom::Latest } else { StartFrom::Earliest };
    interest
}

fn op() -> impl Strategy<Value = Op> {
    let delay = prop_oneof![3 => Just(0u64), 1 => 1..60u64];
    prop_oneof![
        6 => (0..3u8, any::<bool>(), any::<bool>(), delay.clone()).prop_map(|(key, ordered, red, delay)| Op::Send { key, ordered, red, delay }),
        2 => (0..GROUPS, 1..80u64).prop_map(|(group, visibility)| Op::Join { group, visibility }),
        1 => any::<Index>().prop_map(Op::Leave),
        6 => (any::<Index>(), 0..5usize, prop_oneof![2 => Just(0u64), 1 => 1..50u64]).prop_map(|(member, max, wait)| Op::Pull { member, max, wait }),
        5 => any::<Index>().prop_map(Op::Ack),
        2 => (any::<Index>(), delay).prop_map(|(which, delay)| Op::Nack(which, delay)),
        1 => any::<Index>().prop_map(Op::Release),
        1 => (any::<Index>(), 1..80u64).prop_map(|(which, by)| Op::Extend(which, by)),
        1 => any::<Index>().prop_map(Op::Bury),
        3 => (0..40u64).prop_map(Op::Advance),
    ]
}

#[derive(Default)]
struct Model {
    now: u64,
    messages: Vec<Sent>,
    groups: Vec<Option<Group>>,
    dead: [usize; GROUPS],
}

struct Sent {
    message: Message,
    due: u64,
    freed: bool,
}

#[derive(Default)]
struct Group {
    settled: BTreeSet<usize>,
    states: Vec<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    attempts: u32,
    not_before: u64,
    /// Until when, by which delivery of the run.
    lease: Option<(u64, usize)>,
}

impl Model {
    fn wants(group: usize, message: &Message) -> bool {
        interest(group, 1).tags.wants(message.tag())
    }

    fn leased(&self, group: usize, number: usize) -> Option<usize> {
        let (until, delivery) = self.groups[group].as_ref()?.states.get(number)?.lease?;
        (self.now < until).then_some(delivery)
    }

    fn settle(&mut self, group: usize, number: usize) {
        if let Some(group) = &mut self.groups[group] {
            group.settled.insert(number);
        }
        self.messages[number].freed = self.groups.iter().flatten().all(|group| group.settled.contains(&number));
    }

    /// Not settled by a group, in order.
    fn open(&self, group: usize) -> Vec<usize> {
        let Some(known) = &self.groups[group] else { return Vec::new() };
        (0..self.messages.len()).filter(|number| !known.settled.contains(number) && Model::wants(group, &self.messages[*number].message)).collect()
    }

    fn available(&self, group: usize) -> Vec<usize> {
        let Some(known) = &self.groups[group] else { return Vec::new() };
        let mut held = BTreeSet::new();
        let mut all = Vec::new();
        for number in self.open(group) {
            let message = &self.messages[number].message;
            let first_of_key = !(interest(group, 1).ordered && message.is_ordered()) || held.insert(message.key().unwrap().to_owned());
            let state = known.states.get(number).copied().unwrap_or_default();
            let waits = self.now < self.messages[number].due.max(state.not_before);
            if first_of_key && !waits && self.leased(group, number).is_none() {
                all.push(number);
            }
        }
        all
    }

    fn state(&mut self, group: usize, number: usize) -> &mut State {
        let states = &mut self.groups[group].as_mut().unwrap().states;
        if states.len() <= number {
            states.resize_with(number + 1, State::default);
        }
        &mut states[number]
    }
}

struct Out {
    delivery: Delivery,
    member: usize,
    group: usize,
    number: usize,
}

struct Member {
    subscription: Arc<dyn Subscription>,
    group: usize,
    visibility: u64,
    left: bool,
}

struct Run {
    broker: MemoryBroker,
    model: Model,
    members: Vec<Member>,
    out: Vec<Out>,
    began: Instant,
}

impl Run {
    fn new() -> Run {
        let model = Model { groups: (0..GROUPS).map(|_| None).collect(), ..Model::default() };
        Run { broker: MemoryBroker::new(), model, members: Vec::new(), out: Vec::new(), began: Instant::now() }
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Send { key, ordered, red, delay } => self.send(key, ordered, red, delay).await,
            Op::Join { group, visibility } => self.join(group, visibility).await,
            Op::Leave(which) if !self.members.is_empty() => self.leave(which.index(self.members.len())).await,
            Op::Pull { member, max, wait } if !self.members.is_empty() => self.pull(member.index(self.members.len()), max, wait).await,
            Op::Ack(which) => self.settle(which, 0).await,
            Op::Nack(which, delay) => self.settle(which, 1 + delay).await,
            Op::Release(which) => self.settle(which, 1000).await,
            Op::Bury(which) => self.settle(which, 2000).await,
            Op::Extend(which, by) => self.extend(which, by).await,
            Op::Advance(by) => {
                tokio::time::advance(millis(by)).await;
                self.model.now += by;
            }
            Op::Leave(_) | Op::Pull { .. } => {}
        }
        assert_eq!(self.began.elapsed(), millis(self.model.now));
        self.compare();
    }

    fn compare(&self) {
        let model = &self.model;
        for group in 0..GROUPS {
            let name = format!("g{group}");
            assert_eq!(self.broker.dead_letters(&name).len(), model.dead[group]);
            if model.groups[group].is_none() {
                continue;
            }
            let leased = model.open(group).iter().filter(|number| model.leased(group, **number).is_some()).count();
            assert_eq!(self.broker.in_flight("t", &name), leased, "in flight of {name}");
            // What is not wanted is settled when it is looked at, which is nobody's business.
            if interest(group, 1).tags == TagFilter::All {
                assert_eq!(self.broker.pending("t", &name), model.open(group).len(), "pending of {name}");
            }
        }
        let exact = model.groups[2].is_none() && model.groups[4].is_none() && model.groups[3].is_none();
        let stored = model.messages.iter().filter(|sent| !sent.freed).count();
        assert!(!exact || self.broker.depth("t") == stored, "{} are stored, where {stored} are right", self.broker.depth("t"));
    }

    async fn send(&mut self, key: u8, ordered: bool, red: bool, delay: u64) {
        let message = Message::new("t", self.model.messages.len().to_string()).with_tag(if red { "red" } else { "blue" }).with_delay(millis(delay));
        let message = if ordered { message.with_ordered_key(format!("k{key}")) } else { message.with_key(format!("k{key}")) };
        self.broker.send(&message, None).await.unwrap();
        self.model.messages.push(Sent { message, due: self.model.now + delay, freed: false });
    }

    async fn join(&mut self, group: usize, visibility: u64) {
        self.look_what_is_freed();
        let subscription = self.broker.subscribe(&interest(group, visibility)).await.unwrap();
        self.members.push(Member { subscription, group, visibility, left: false });
        if self.model.groups[group].is_none() {
            let late = group == 3;
            let settled = (0..self.model.messages.len()).filter(|number| late || self.model.messages[*number].freed).collect();
            self.model.groups[group] = Some(Group { settled, states: Vec::new() });
        }
    }

    /// What a group does not want may be freed already, or not yet. What any group wants and has not settled may not.
    fn look_what_is_freed(&mut self) {
        let stored: BTreeSet<_> = self.broker.messages("t").iter().map(Message::id).collect();
        for number in 0..self.model.messages.len() {
            let freed = !stored.contains(&self.model.messages[number].message.id());
            assert!(freed || !self.model.messages[number].freed, "{number} is stored, and every group has settled it");
            assert!(!freed || (0..GROUPS).all(|group| !self.model.open(group).contains(&number)), "{number} is gone, and a group waits for it");
            self.model.messages[number].freed = freed;
        }
    }

    async fn leave(&mut self, member: usize) {
        self.members[member].subscription.close().await.unwrap();
        self.members[member].left = true;
        for out in
            self.out.iter().enumerate().filter(|(_, out)| out.member == member).map(|(index, out)| (index, out.group, out.number)).collect::<Vec<_>>()
        {
            let (index, group, number) = out;
            if self.model.leased(group, number) == Some(index) {
                self.model.state(group, number).lease = None;
            }
        }
    }

    async fn pull(&mut self, member: usize, max: usize, wait: u64) {
        let Member { group, visibility, left, ref subscription } = self.members[member];
        let came = subscription.pull(max, millis(wait)).await;
        if left {
            assert!(came.is_err(), "who left may not pull");
            return;
        }
        let came = came.unwrap();
        let until = self.model.now + if max == 0 { 0 } else { wait };
        while self.model.available(group).is_empty() && self.model.now < until {
            self.model.now += 1;
        }
        let available = self.model.available(group);
        assert_eq!(came.len(), max.min(available.len()), "of {available:?}");
        for delivery in came {
            let number: usize = std::str::from_utf8(delivery.message().body()).unwrap().parse().unwrap();
            assert!(self.model.available(group).contains(&number), "{number} came, and only {available:?} may");
            assert_eq!(delivery.message(), &self.model.messages[number].message);
            let (now, index) = (self.model.now, self.out.len());
            let state = self.model.state(group, number);
            state.attempts += 1;
            state.lease = Some((now + visibility, index));
            assert_eq!(delivery.attempt(), state.attempts, "the attempt of {number}");
            self.out.push(Out { delivery, member, group, number });
        }
    }

    /// 0: handled; from 1: failed, with a delay one less; 1000: released; 2000: buried.
    async fn settle(&mut self, which: Index, how: u64) {
        if self.out.is_empty() {
            return;
        }
        let index = which.index(self.out.len());
        let Out { ref delivery, member, group, number } = self.out[index];
        let receipt = std::slice::from_ref(delivery.receipt());
        let subscription = &self.members[member].subscription;
        let answer = match how {
            0 => subscription.ack(receipt).await,
            1000 => subscription.release(receipt).await,
            2000 => subscription.dead_letter(delivery, "why").await,
            delay => subscription.nack(receipt, millis(delay - 1)).await,
        };
        if self.members[member].left {
            assert!(answer.is_err(), "who left may not settle");
            return;
        }
        let settled = answer.unwrap();
        let ours = self.model.leased(group, number) == Some(index);
        assert_eq!((settled.done, settled.stale), (usize::from(ours), usize::from(!ours)));
        if !ours {
            return;
        }
        let now = self.model.now;
        let state = self.model.state(group, number);
        state.lease = None;
        match how {
            0 => self.model.settle(group, number),
            1000 => state.attempts -= 1,
            2000 => {
                self.model.settle(group, number);
                self.model.dead[group] += 1;
            }
            delay => state.not_before = now + delay - 1,
        }
    }

    async fn extend(&mut self, which: Index, by: u64) {
        if self.out.is_empty() {
            return;
        }
        let index = which.index(self.out.len());
        let Out { ref delivery, member, group, number } = self.out[index];
        let extended = self.members[member].subscription.extend(delivery.receipt(), millis(by)).await;
        let ours = !self.members[member].left && self.model.leased(group, number) == Some(index);
        assert_eq!(extended.is_ok(), ours);
        if ours {
            let now = self.model.now;
            self.model.state(group, number).lease = Some((now + by, index));
        }
    }

    /// Whatever happened: every group gets the rest, and then nothing is left.
    async fn drain(&mut self) {
        for member in 0..self.members.len() {
            self.leave(member).await;
        }
        for group in 0..GROUPS {
            if self.model.groups[group].is_none() {
                continue;
            }
            let last = self.broker.subscribe(&interest(group, 3_600_000)).await.unwrap();
            let mut left: BTreeSet<usize> = self.model.open(group).into_iter().collect();
            while !left.is_empty() {
                let came = last.pull(100, Duration::from_secs(1)).await.unwrap();
                assert!(!came.is_empty(), "the group g{group} never gets {left:?}");
                for delivery in came {
                    let number: usize = std::str::from_utf8(delivery.message().body()).unwrap().parse().unwrap();
                    assert!(left.remove(&number), "{number} came once more");
                    assert_eq!(last.ack(std::slice::from_ref(delivery.receipt())).await.unwrap().done, 1);
                }
            }
            assert!(last.pull(100, Duration::from_secs(100)).await.unwrap().is_empty());
            assert_eq!((self.broker.pending("t", &format!("g{group}")), self.broker.in_flight("t", &format!("g{group}"))), (0, 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn m9_the_broker_in_memory_is_the_naive_model(ops in proptest::collection::vec(op(), 1..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new();
            for op in ops {
                run.step(op).await;
            }
            run.drain().await;
        });
    }
}
