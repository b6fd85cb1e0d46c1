//! A worker: takes a message, has it handled, says what became of it, and takes the next.

use super::contained::{Contained, caught};
use super::dispatch::{Done, Turn};
use super::handler::HandlerCx;
use super::held::Held;
use super::hook::{self, Failure};
use super::run::{Run, Seat};
use super::settle::{self, Limit};
use super::traced::Traced;
use super::verdict::{Failing, FailureKind, Next, judge};
use crate::messaging::trace::ContextCode;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tokio::time::{Instant, Sleep, sleep_until};

/// Until the consumer stops.
pub(super) async fn work(seat: Arc<Seat>) -> anyhow::Result<()> {
    seat.run.desk.lock().arrived();
    let mut done = None;
    while let Some(held) = next(&seat, done.take()).await {
        done = Some(unless_cut(&seat, &held).await);
        // A handler that never waits must not keep the thread from everybody else.
        tokio::task::consume_budget().await;
    }
    Ok(())
}

/// Hands in what was done and waits for the next message; `None` when there will be none.
async fn next(seat: &Seat, mut done: Option<Done>) -> Option<Arc<Held>> {
    let run = &seat.run;
    let (turn, rings) = run.desk.lock().next(seat.index, done.take(), false);
    run.ring(rings);
    match turn {
        Turn::Work(held) => return Some(held),
        Turn::Closed => return None,
        Turn::Nothing => {}
    }
    loop {
        let mut bell = pin!(run.desk.workers.notified());
        // In line before the look, so that no ring is missed (D5).
        bell.as_mut().enable();
        let (turn, rings) = run.desk.lock().next(seat.index, None, true);
        run.ring(rings);
        match turn {
            Turn::Work(held) => return Some(held),
            Turn::Closed => return None,
            Turn::Nothing => bell.await,
        }
        run.desk.lock().arrived();
    }
}

/// Attends to a message, unless a stop cuts it short.
async fn unless_cut(seat: &Arc<Seat>, held: &Arc<Held>) -> Done {
    let mut settled = false;
    let ended = {
        let mut work = pin!(attend(seat, held, &mut settled));
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if seat.is_cut(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    };
    ended.unwrap_or_else(|| Done::Cut((!settled).then(|| held.clone())))
}

async fn attend(seat: &Arc<Seat>, held: &Arc<Held>, settled: &mut bool) -> Done {
    let run = &seat.run;
    let (attempt, most) = (held.attempt(), run.settings.rules.max_attempts);
    let failing = if attempt > most {
        Failing::new(FailureKind::Exhausted, &format!("delivered {attempt} times, {most} are allowed"))
    } else {
        let mut traced = Traced::begin(&run.settings, held);
        match call(seat, held).await {
            Ok(()) => {
                traced.iter_mut().for_each(|traced| traced.code = ContextCode::Success);
                held.finish();
                return Done::Handled(held.clone());
            }
            Err(failing) => {
                traced.iter_mut().for_each(|traced| traced.failed(failing.kind));
                failing
            }
        }
    };
    if held.is_fired() && failing.kind != FailureKind::TimedOut {
        // It was told to end, and did: no failure of its own.
        if run.cancelling.load(Ordering::SeqCst) {
            return Done::Cut(Some(held.clone()));
        }
        // No longer ours, and told so: it comes again by itself.
        run.desk.lock().failed(failing.kind);
        settle_at_desk(seat, held, true).await;
        return Done::Failed;
    }
    fail(seat, held, failing, settled).await;
    Done::Failed
}

/// Has it handled.
async fn call(seat: &Arc<Seat>, held: &Arc<Held>) -> Result<(), Failing> {
    let settings = &seat.run.settings;
    let span = span(&seat.run, held);
    let cx = HandlerCx::new(held.clone(), seat.clone());
    let limit = settings.handler_timeout.and_then(|limit| Instant::now().checked_add(limit));
    limit.into_iter().for_each(|at| held.set_deadline(at));
    let panicked = |text: String| Failing::new(FailureKind::Panic, &text);
    let mut handling = Contained::new(|| span.in_scope(|| settings.handler.handle(&cx))).map_err(panicked)?;
    // Made when the handler waits for the first time: most never do.
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let ended = poll_fn(|task| {
        if let Poll::Ready(ended) = span.in_scope(|| Pin::new(&mut handling).poll(task)) {
            return Poll::Ready(Some(ended));
        }
        let Some(limit) = limit else { return Poll::Pending };
        timer.get_or_insert_with(|| Box::pin(sleep_until(limit))).as_mut().poll(task).map(|()| None)
    })
    .await;
    match ended {
        Some(Ok(Ok(()))) => Ok(()),
        // The error's text and its drop are the user's code.
        Some(Ok(Err(error))) => Err(caught(move || Failing::of(&error)).unwrap_or_else(panicked)),
        Some(Err(panic)) => Err(panicked(panic)),
        None => {
            held.fire();
            let took = settings.handler_timeout.unwrap_or_default();
            Err(Failing::new(FailureKind::TimedOut, &format!("it took longer than {took:?}")))
        }
    }
}

fn span(run: &Run, held: &Held) -> tracing::Span {
    let message = held.delivery().message();
    tracing::info_span!(
        "winddown.handle",
        topic = message.topic(),
        group = &*run.settings.interest.group,
        tag = message.tag(),
        key = message.key(),
        message_id = %message.id(),
        attempt = held.attempt(),
    )
}

/// Gives it back, or moves it to the dead letters; then tells who wants to know.
async fn fail(seat: &Arc<Seat>, held: &Arc<Held>, failing: Failing, settled: &mut bool) {
    let run = &seat.run;
    held.fail();
    run.desk.lock().failed(failing.kind);
    let attempt = held.attempt();
    let verdict = run.with_random(|random| judge(&failing, attempt, &run.settings.rules, random));
    let comes_again = match verdict.next {
        Next::Retry(delay) => {
            settle::nack(run, std::slice::from_ref(held), delay, Limit::tries()).await;
            true
        }
        Next::DeadLetter => {
            let moved = settle::dead_letter(run, held, &failing.reason(attempt)).await;
            if !moved {
                // Not lost: it comes again, is not handled, and is moved then.
                settle::nack(run, std::slice::from_ref(held), run.settings.rules.backoff.max, Limit::tries()).await;
            }
            !moved
        }
    };
    *settled = true;
    settle_at_desk(seat, held, comes_again).await;
    if verdict.notify && !run.settings.hooks.is_empty() {
        let failure = Failure {
            group: run.settings.interest.group.clone(),
            topic: held.delivery().message().topic_shared(),
            delivery: held.delivery().clone(),
            kind: failing.kind,
            error: failing.text,
            attempt,
            next: verdict.next,
        };
        hook::tell(run, &failure).await;
    }
}

async fn settle_at_desk(seat: &Arc<Seat>, held: &Arc<Held>, comes_again: bool) {
    let (back, rings) = seat.run.desk.lock().settled(seat.index, held, comes_again);
    seat.run.ring(rings);
    if !back.is_empty() {
        settle::hand_back(&seat.run, back, Limit::tries()).await;
    }
}
