//! The stop (M6), in one place: six steps, each with an instant by which it is over.
//!
//! ```text
//!  asked                                             deadline − margin                deadline
//!    │ pull_stopped │ handed_back │ drained … … … … … … … │ cancelled │ committed │ left_group │
//!      handlers run on … … … … … … … … … … … … … … … … …  │ token, drop, nack
//! ```
//!
//! Invariants:
//! - S1. The steps come in this order, each once, with its count.
//! - S2. No step waits beyond its instant, whatever the broker does. The instants are fixed when the stop begins, and once more if it is cut short.
//! - S3. What is neither acknowledged nor given back comes again: `lost` is 0, whatever fails.

use super::run::Run;
use super::settle::{self, Limit, insist};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Kept back for cancelling, giving back and committing; a fifth of the budget at most.
const MARGIN: Duration = Duration::from_millis(500);

/// By when each step is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instants {
    handed_back: Instant,
    drained: Instant,
    /// Handlers that were told to end are dropped.
    dropped: Instant,
    given_back: Instant,
    flushed: Instant,
    committed: Instant,
    left: Instant,
}

impl Instants {
    fn new(now: Instant, budget: Duration) -> Instants {
        let margin = MARGIN.min(budget / 5);
        let before_end = |tenths: u32| now + budget - margin * tenths / 10;
        Instants {
            handed_back: before_end(10),
            drained: before_end(10),
            // Most of the margin: ending by itself is what a handler should do.
            dropped: before_end(6),
            given_back: before_end(4),
            flushed: before_end(3),
            committed: before_end(2),
            // The last tenth is for the tasks to end.
            left: before_end(1),
        }
    }

    /// The handlers have had their time, or get none: all there is is margin.
    fn cut_short(now: Instant, budget: Duration) -> Instants {
        let at = |tenths: u32| now + budget * tenths / 10;
        Instants { handed_back: at(2), drained: now, dropped: at(4), given_back: at(6), flushed: at(7), committed: at(8), left: at(9) }
    }
}

/// Stops the consumer. Whoever comes second returns at once.
pub(super) async fn depart(run: &Arc<Run>) {
    if run.departing.swap(true, Ordering::SeqCst) {
        return;
    }
    let cx = &run.cx;
    let mut course = Course::new(run);
    let (in_hand, acked_before) = close(run);
    course.wait(|by| by.handed_back, |_| run.pull_over.cancelled()).await;
    let fetched = run.desk.lock().take_fetched();
    cx.step("pull_stopped", fetched.len() as u64);

    // Others may have at once what was not begun.
    let handing = |limit| settle::hand_back(run, fetched.clone(), limit);
    let (handed_back, unanswered) = course.tell(|by| by.handed_back, handing).await;
    cx.handed_back(handed_back);
    step(run, "handed_back", handed_back, unanswered);

    course.wait(|by| by.drained, |_| idle(run)).await;
    let still = run.desk.lock().in_hand().len() as u64;
    let drained = in_hand.saturating_sub(still);
    cx.drained(drained);
    cx.step("drained", drained);

    let (given_back, unanswered) = cancel(run, &mut course).await;
    cx.handed_back(given_back);
    step(run, "cancelled", still, unanswered);

    let committed = commit(run, &mut course).await;
    let (acked, unsettled) = run.desk.lock().give_up();
    let acked = acked - acked_before;
    let (done, unanswered) = if committed { (acked, unsettled) } else { (0, acked + unsettled) };
    step(run, "committed", done, unanswered);

    // Nothing more is told but the leaving.
    run.over.cancel();
    let left = leave(run, &mut course).await;
    cx.step(if left { "left_group" } else { "leave_unanswered" }, 0);
}

/// The instants, and what may change them: a second signal, at any time.
struct Course<'a> {
    run: &'a Arc<Run>,
    by: Instants,
    hurried: bool,
}

impl Course<'_> {
    fn new(run: &Arc<Run>) -> Course<'_> {
        let by = Instants::new(Instant::now(), run.cx.remaining());
        let mut course = Course { run, by, hurried: false };
        if run.cx.cancelled().is_set() {
            course.hurry();
        }
        run.set_drain_until(course.by.drained);
        course
    }

    fn hurry(&mut self) {
        self.hurried = true;
        self.by = Instants::cut_short(Instant::now(), self.run.cx.remaining());
        self.run.set_drain_until(self.by.drained);
        // Here and not in its turn: they may use the time that giving back takes.
        tell_to_end(self.run);
    }

    /// Something that ends by the instant that is picked; begun anew, with what is left, when a second signal comes meanwhile.
    async fn until<T, Fut: Future<Output = T>>(&mut self, pick: impl Fn(&Instants) -> Instant, mut begin: impl FnMut(Instant) -> Fut) -> T {
        if !self.hurried {
            if let Some(ended) = self.run.cx.until_cancelled(begin(pick(&self.by))).await {
                return ended;
            }
            self.hurry();
        }
        begin(pick(&self.by)).await
    }

    /// Waits for something. True if it came about.
    async fn wait<Fut: Future<Output = ()>>(&mut self, pick: impl Fn(&Instants) -> Instant, mut begin: impl FnMut(Instant) -> Fut) -> bool {
        self.until(pick, |at| timeout_at(at, begin(at))).await.is_ok()
    }

    /// Tells the broker something.
    async fn tell<T, Fut: Future<Output = T>>(&mut self, pick: impl Fn(&Instants) -> Instant, mut begin: impl FnMut(Limit) -> Fut) -> T {
        self.until(pick, |at| begin(Limit::until(at))).await
    }
}

/// A step, and what of it the broker did not answer to: nothing, usually.
fn step(run: &Run, step: &'static str, done: u64, unanswered: u64) {
    run.cx.step(step, done);
    if unanswered > 0 {
        run.cx.step(format!("{step}_unanswered"), unanswered);
    }
}

/// Nothing new is begun from here on. So many are in hand; so many were acknowledged before.
fn close(run: &Run) -> (u64, u64) {
    let mut desk = run.desk.lock();
    let (in_hand, acked) = (desk.close(), desk.stats.acked);
    drop(desk);
    // What a pull that is dropped now has taken goes back by its own contract.
    run.desk.puller.notify_one();
    run.desk.workers.notify_waiters();
    run.cx.progress(format!("{in_hand} in flight"));
    (in_hand, acked)
}

/// Returns when no worker has anything.
async fn idle(run: &Run) {
    while run.desk.lock().occupied() > 0 {
        run.desk.stop.notified().await;
    }
}

fn tell_to_end(run: &Run) {
    // First, so that whoever ends because of it is known to.
    run.cancelling.store(true, Ordering::SeqCst);
    let in_hand = run.desk.lock().in_hand();
    in_hand.iter().for_each(|held| held.fire());
}

/// Tells handlers to end, drops those that do not, and gives their messages back: so many; and so many in vain.
async fn cancel(run: &Arc<Run>, course: &mut Course<'_>) -> (u64, u64) {
    if run.desk.lock().occupied() > 0 {
        tell_to_end(run);
        if !course.wait(|by| by.dropped, |_| idle(run)).await {
            run.cut();
            // One that blocks its thread cannot be dropped, and is not waited for.
            course.wait(|by| by.dropped + (by.given_back - by.dropped) / 2, |_| idle(run)).await;
        }
    }
    let mut back = run.desk.lock().take_cut();
    // Of one that blocks, the message goes back all the same: nobody knows whether it will ever end.
    back.extend(run.desk.lock().in_hand());
    if back.is_empty() {
        return (0, 0);
    }
    let before = run.desk.lock().stats.nacked;
    let told = course.tell(|by| by.given_back, |limit| settle::nack(run, &back, Duration::ZERO, limit)).await;
    let given_back = run.desk.lock().stats.nacked - before;
    (given_back, if told { 0 } else { (back.len() as u64).saturating_sub(given_back) })
}

/// Everything that was handled is acknowledged, and then the broker is asked to make that last.
async fn commit(run: &Run, course: &mut Course<'_>) -> bool {
    let Some(subscription) = run.subscription() else { return true };
    let flushed = || async {
        while run.desk.lock().unsettled() > 0 {
            run.desk.stop.notified().await;
        }
    };
    course.wait(|by| by.flushed, |_| flushed()).await;
    course.tell(|by| by.committed, |limit| insist(run, limit, || subscription.commit())).await.is_ok()
}

async fn leave(run: &Arc<Run>, course: &mut Course<'_>) -> bool {
    let Some(subscription) = run.subscription() else { return true };
    course.tell(|by| by.left, |limit| insist(run, limit, || subscription.close())).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m6_the_margin_is_half_a_second_and_a_fifth_of_the_budget_at_most() {
        let now = Instant::now();
        let ms = |at: Instant| (at - now).as_millis();
        let instants = |budget| Instants::new(now, Duration::from_millis(budget));
        assert_eq!([ms(instants(10_000).drained), ms(instants(10_000).left)], [9_500, 9_950]);
        assert_eq!([ms(instants(2_500).drained), ms(instants(2_500).left)], [2_000, 2_450]);
        assert_eq!([ms(instants(250).drained), ms(instants(250).left)], [200, 245]);
        assert_eq!(ms(instants(0).left), 0);
    }

    #[test]
    fn s2_the_instants_are_in_order_and_inside_the_budget() {
        let now = Instant::now();
        for budget in [0, 1, 10, 250, 5_000, 3_600_000] {
            let budget = Duration::from_millis(budget);
            for by in [Instants::new(now, budget), Instants::cut_short(now, budget)] {
                let mut row = [by.dropped, by.given_back, by.flushed, by.committed, by.left, now + budget];
                assert!(by.drained <= by.dropped && by.handed_back <= by.dropped && row.is_sorted());
                row.reverse();
                assert!(budget < Duration::from_millis(10) || row.windows(2).all(|pair| pair[0] > pair[1]), "{by:?}");
            }
        }
    }
}
