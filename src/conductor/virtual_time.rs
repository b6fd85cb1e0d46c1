//! The shell over tokio's paused clock: an async task, the same machine, the same actions.
//!
//! Facts and a timeout at the same virtual instant: the facts count first (T6). To know that there are no more of them, a timeout at T is
//! carried out only when the paused clock has moved past T, which tokio does only once every other task has nothing left to do.

use super::step::Conductor;
use crate::run::machine::Stage;
use crate::scope::Message;
use crate::span::Moment;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// tokio's timers count in milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// Runs until the report is published.
pub(crate) async fn conduct(conductor: &mut Conductor, inbox: &Receiver<Message>, bell: &Arc<Notify>) {
    let shared = conductor.inner.shared.clone();
    let early = inbox.try_iter().collect();
    conductor.begin(shared.clock.now(), early);
    while conductor.machine.stage != Stage::Done {
        let now = shared.clock.now();
        catch_up(conductor, now);
        for message in inbox.try_iter() {
            conductor.take(now, message);
        }
        conductor.settle(now);
        if conductor.machine.stage == Stage::Done {
            break;
        }
        match conductor.machine.next_timeout() {
            Some(at) => {
                let until = tokio::time::Instant::from_std(shared.clock.at(at.max(now)) + TICK);
                let (mut rung, mut slept) = (pin!(bell.notified()), pin!(tokio::time::sleep_until(until)));
                poll_fn(|cx| match rung.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => slept.as_mut().poll(cx),
                })
                .await;
            }
            None => bell.notified().await,
        }
    }
}

/// What was due before now happens first, each at its own time.
fn catch_up(conductor: &mut Conductor, now: Moment) {
    while let Some(at) = conductor.machine.next_timeout().filter(|at| *at < now) {
        conductor.machine.handle_timeout(at);
        conductor.settle(at);
    }
}
