//! Many components and many tasks.

use crate::{app, bounded, workers};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use tokio::sync::Notify;
use winddown::{Lifecycle, Outcome, StartCx, StopCx, Verdict, async_trait};

const PHASES: i32 = 10;
const COMPONENTS: usize = 1000;

#[derive(Default)]
struct Counts {
    started: AtomicUsize,
    stopped: AtomicUsize,
    running_by_phase: [AtomicI32; PHASES as usize],
    out_of_order: AtomicUsize,
}

struct One {
    phase: usize,
    counts: Arc<Counts>,
}

impl One {
    /// Everything of the lower phases runs, nothing of the higher ones does.
    fn look(&self) {
        let per_phase = COMPONENTS as i32 / PHASES;
        for (phase, running) in self.counts.running_by_phase.iter().enumerate() {
            let running = running.load(Ordering::SeqCst);
            let wrong = (phase < self.phase && running != per_phase) || (phase > self.phase && running != 0);
            self.counts.out_of_order.fetch_add(usize::from(wrong), Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl Lifecycle for One {
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        self.look();
        let task = cx.clone();
        cx.spawn("background", async move {
            task.stopping().await;
            Ok(())
        });
        tokio::task::yield_now().await;
        self.counts.running_by_phase[self.phase].fetch_add(1, Ordering::SeqCst);
        self.counts.started.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        self.look();
        tokio::task::yield_now().await;
        self.counts.running_by_phase[self.phase].fetch_sub(1, Ordering::SeqCst);
        self.counts.stopped.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn o1_a_thousand_components_start_and_stop_in_order() {
    let app = app("crowd");
    let counts = Arc::new(Counts::default());
    for n in 0..COMPONENTS {
        let phase = n % PHASES as usize;
        app.add(One { phase, counts: counts.clone() }).named(format!("c{n}")).phase(phase as i32);
    }
    let (handle, seen) = (app.handle(), counts.clone());
    let report = bounded(move || {
        workers(4).block_on(async move {
            let asks = async {
                assert!(handle.wait_ready().await);
                assert_eq!(seen.started.load(Ordering::SeqCst), COMPONENTS, "ready means that all of them run");
                handle.request_shutdown("enough");
            };
            tokio::join!(app.run(), asks).0
        })
    });
    assert_eq!((report.verdict(), report.components().len()), (Verdict::Clean, COMPONENTS));
    assert!(report.components().iter().all(|c| c.outcome == Outcome::Stopped));
    assert_eq!((counts.started.load(Ordering::SeqCst), counts.stopped.load(Ordering::SeqCst)), (COMPONENTS, COMPONENTS));
    assert_eq!(counts.out_of_order.load(Ordering::SeqCst), 0);
}

/// Lives as long as the future that has it.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_flood_of_jobs_runs_and_is_waited_for() {
    const JOBS: usize = 100_000;
    const WAITING: usize = 2_000;
    let app = app("flood");
    let (done, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, living) = (done.clone(), alive.clone());
    let all_done = Arc::new(Notify::new());
    let says = all_done.clone();
    app.task("gate", move |cx| async move {
        // Some wait for the end; all the others come and go meanwhile.
        for _ in 0..WAITING {
            living.fetch_add(1, Ordering::SeqCst);
            let (alive, stopping) = (Alive(living.clone()), cx.stopping());
            cx.spawn_job("waiting", async move {
                stopping.await;
                tokio::task::yield_now().await;
                drop(alive);
                Ok(())
            });
        }
        for n in 0..JOBS {
            let (counter, says) = (counter.clone(), says.clone());
            cx.spawn_job(format!("job {n}"), async move {
                if counter.fetch_add(1, Ordering::SeqCst) + 1 == JOBS {
                    says.notify_one();
                }
                Ok(())
            });
            if n % 1000 == 0 {
                tokio::task::yield_now().await;
            }
        }
        cx.stopping().await;
        Ok(())
    });
    let handle = app.handle();
    let report = bounded(move || {
        workers(4).block_on(async move {
            let asks = async {
                all_done.notified().await;
                handle.request_shutdown("enough");
            };
            tokio::join!(app.run(), asks).0
        })
    });
    assert_eq!(done.load(Ordering::SeqCst), JOBS);
    assert_eq!(alive.load(Ordering::SeqCst), 0, "no job outlives its component");
    assert_eq!(report.component("gate").map(|c| c.outcome), Some(Outcome::Stopped), "{}", report.verdict());
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Clean, 0));
}

#[test]
fn r1_one_bad_job_in_a_flood_is_named() {
    let app = app("flood");
    app.task("gate", |cx| async move {
        for n in 0..5_000 {
            cx.spawn_job(format!("job {n}"), async move { if n == 4_321 { anyhow::bail!("a bad one") } else { Ok(()) } });
        }
        cx.stopping().await;
        Ok(())
    });
    let report = bounded(move || workers(4).block_on(app.run()));
    let gate = report.component("gate").expect("it is in the report");
    assert_eq!((gate.outcome, report.exit_code()), (Outcome::Failed, 1));
    assert_eq!(gate.error.as_deref(), Some("a bad one"));
    let named = report.events().iter().any(|event| matches!(event.kind(), winddown::EventKind::TaskEnded { task, .. } if &**task == "job 4321"));
    assert!(named, "the timeline says which job it was");
}
