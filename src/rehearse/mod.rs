//! What would happen if: the real machine, in virtual time of its own, over every single failure (P5).

mod simulate;
mod table;

use crate::outcome::Verdict;
use crate::plan::Plan;
use crate::span::Show;
use std::sync::Arc;
use std::time::Duration;

/// How a component misbehaves in a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never ends by itself; it obeys its `cancelled` token.
    Hangs,
    /// It never ends by itself and ignores the token; it can be dropped.
    IgnoresCancel,
    /// It blocks its thread: it cannot even be dropped.
    Blocks,
    /// It returns an error.
    Fails,
    /// It panics.
    Panics,
}

/// Where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In its start.
    Start,
    /// While it runs. Not rehearsed, since what comes of it is its policy's; the test kit's `World` can play it.
    Run,
    /// In its stop.
    Stop,
}

/// One failure, and what came of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Case {
    /// Who misbehaves, where and how; `None` for the run in which nobody does.
    pub fault: Option<(Arc<str>, Where, Fault)>,
    /// From the begin of the shutdown to the moment when the process would leave.
    pub leaves_after: Duration,
    /// With this exit code.
    pub exit_code: u8,
    /// The run in one word.
    pub verdict: Verdict,
    /// Who had to be cancelled, aborted or abandoned.
    pub cut_short: Vec<Arc<str>>,
    /// Who of them had done nothing wrong: time that was theirs went elsewhere, or their typical stop does not fit.
    pub starved: Vec<Arc<str>>,
}

/// Every single failure of a plan; from [`Plan::rehearse`]. `Display` prints a table.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    app: String,
    grace: Duration,
    cases: Vec<Case>,
}

impl Plan {
    /// Runs the real machine over every single failure, in no time: each component hanging, ignoring its cancel, blocking its thread,
    /// failing and panicking, in its start and in its stop, the others behaving as their
    /// [`typical_start`](crate::Added::typical_start) and [`typical_stop`](crate::Added::typical_stop) say (0 by default).
    ///
    /// The cost grows with the square of the number of components: a few hundred are fine.
    ///
    /// ```
    /// use winddown::{App, millis, secs};
    /// let app = App::new("orders").grace(secs(10));
    /// app.task("consumer", |cx| async move { cx.stopping().await; Ok(()) }).phase(100).typical_stop(millis(300));
    /// app.task("producer", |cx| async move { cx.stopping().await; Ok(()) }).phase(-100).typical_stop(millis(300));
    /// app.plan().unwrap().rehearse().assert_fits();
    /// ```
    pub fn rehearse(&self) -> Rehearsal {
        let plan = Arc::new(self.clone());
        let faults = [Fault::Hangs, Fault::IgnoresCancel, Fault::Blocks, Fault::Fails, Fault::Panics];
        let mut cases = vec![simulate::case(&plan, None)];
        for id in 0..self.components.len() as u32 {
            for place in [Where::Start, Where::Stop] {
                if place == Where::Start && self.components[id as usize].on_demand {
                    continue;
                }
                cases.extend(faults.iter().map(|&fault| simulate::case(&plan, Some((id, place, fault)))));
            }
        }
        Rehearsal { app: self.app.clone(), grace: self.settings.grace, cases }
    }
}

impl Rehearsal {
    /// Every case; the first is the one in which nobody misbehaves.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// In every case the process leaves within the grace period, and nobody is starved.
    pub fn fits(&self) -> bool {
        self.cases.iter().all(|case| self.fits_case(case))
    }

    fn fits_case(&self, case: &Case) -> bool {
        case.leaves_after <= self.grace && case.starved.is_empty()
    }

    /// For a unit test of your own plan.
    ///
    /// # Panics
    /// If it does not [fit](Rehearsal::fits); the message has every case that does not.
    pub fn assert_fits(&self) {
        let bad: Vec<String> = self.cases.iter().filter(|case| !self.fits_case(case)).map(Case::to_string).collect();
        assert!(bad.is_empty(), "the plan of {} does not fit into {}:\n  {}", self.app, Show(self.grace), bad.join("\n  "));
    }
}
