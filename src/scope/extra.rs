//! What a scope seldom needs, made at first use: named tasks, progress, counters, tokens for others, sleeping threads.

use super::gate::{CANCELLED, STOPPING};
use crate::run::Input;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::Thread;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// Units of work that a component reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) drained: u64,
    pub(crate) handed_back: u64,
    pub(crate) lost: u64,
}

impl Counts {
    pub(crate) fn plus(self, other: Counts) -> Counts {
        Counts {
            drained: self.drained.saturating_add(other.drained),
            handed_back: self.handed_back.saturating_add(other.handed_back),
            lost: self.lost.saturating_add(other.lost),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Extra {
    tasks: Mutex<Tasks>,
    progress: Mutex<Option<String>>,
    pub(crate) drained: AtomicU64,
    pub(crate) handed_back: AtomicU64,
    pub(crate) lost: AtomicU64,
    stopping: OnceLock<CancellationToken>,
    cancelled: OnceLock<CancellationToken>,
    threads: Mutex<Vec<Thread>>,
    #[cfg(feature = "testkit")]
    threaded: AtomicBool,
    bound: AtomicU64,
    aborted: AtomicBool,
    /// Ends of tasks, kept back until the start has returned.
    held: Mutex<Option<Vec<Input>>>,
}

/// A place for one task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    pub(crate) place: u32,
    number: u64,
}

/// Live tasks by place; a place is used again once its task is gone.
#[derive(Debug, Default)]
struct Tasks {
    places: Vec<Option<Task>>,
    free: Vec<u32>,
    /// Tells a place's present task from an earlier one.
    next: u64,
}

#[derive(Debug)]
struct Task {
    number: u64,
    name: Cow<'static, str>,
    abort: Option<AbortHandle>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Extra {
    /// The root token of a flag.
    pub(crate) fn root(&self, flag: u8) -> &CancellationToken {
        let root = if flag == CANCELLED { &self.cancelled } else { &self.stopping };
        root.get_or_init(CancellationToken::new)
    }

    pub(crate) fn fire(&self, flag: u8) {
        let roots = [(STOPPING, &self.stopping), (CANCELLED, &self.cancelled)];
        // `cancelled` implies `stopping`.
        roots.into_iter().filter(|(f, _)| *f <= flag).filter_map(|(_, root)| root.get()).for_each(CancellationToken::cancel);
        lock(&self.threads).iter().for_each(Thread::unpark);
    }

    /// From now on ends of tasks are kept back until [`let_go`](Extra::let_go).
    pub(crate) fn hold_ends(&self) {
        *lock(&self.held) = Some(Vec::new());
    }

    /// Keeps an end back if that is wanted, or gives it back to be told.
    pub(crate) fn hold(&self, end: Input) -> Option<Input> {
        match &mut *lock(&self.held) {
            Some(held) => held.push(end),
            None => return Some(end),
        }
        None
    }

    pub(crate) fn let_go(&self) -> Vec<Input> {
        lock(&self.held).take().unwrap_or_default()
    }

    /// A place for a task's name, before it is spawned.
    pub(crate) fn reserve(&self, name: Cow<'static, str>) -> Reserved {
        let mut tasks = lock(&self.tasks);
        tasks.next += 1;
        let number = tasks.next;
        let task = Some(Task { number, name, abort: None });
        let place = match tasks.free.pop() {
            Some(place) => {
                tasks.places[place as usize] = task;
                place
            }
            None => {
                tasks.places.push(task);
                (tasks.places.len() - 1) as u32
            }
        };
        Reserved { place, number }
    }

    /// The task was spawned: how to abort it, unless it is over already.
    pub(crate) fn spawned(&self, reserved: Reserved, abort: AbortHandle) {
        let mut tasks = lock(&self.tasks);
        // It may be over, and its place another's, before this is said.
        if let Some(Some(task)) = tasks.places.get_mut(reserved.place as usize)
            && task.number == reserved.number
        {
            task.abort = Some(abort.clone());
        }
        drop(tasks);
        // An abort that came between the two did not see the handle.
        if self.aborted.load(Ordering::SeqCst) {
            abort.abort();
        }
    }

    /// The task is over: its name.
    pub(crate) fn gone(&self, place: u32) -> Option<Cow<'static, str>> {
        let mut tasks = lock(&self.tasks);
        let task = tasks.places.get_mut(place as usize)?.take();
        tasks.free.push(place);
        drop(tasks);
        task.map(|task| task.name)
    }

    pub(crate) fn abort_tasks(&self) {
        self.aborted.store(true, Ordering::SeqCst);
        let handles: Vec<AbortHandle> = lock(&self.tasks).places.iter().flatten().filter_map(|task| task.abort.clone()).collect();
        handles.iter().for_each(AbortHandle::abort);
    }

    /// The name of a live task, unless the list is being changed right now.
    pub(crate) fn name(&self, place: u32) -> Option<String> {
        let tasks = unless_busy(&self.tasks)?;
        tasks.places.get(place as usize)?.as_ref().map(|task| task.name.to_string())
    }

    pub(crate) fn set_progress(&self, text: String) {
        let previous = lock(&self.progress).replace(text);
        drop(previous);
    }
    pub(crate) fn progress(&self) -> Option<String> {
        unless_busy(&self.progress)?.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Counts { drained: read(&self.drained), handed_back: read(&self.handed_back), lost: read(&self.lost) }
    }

    /// This thread is to be woken when a token fires.
    pub(crate) fn add_thread(&self) {
        lock(&self.threads).push(std::thread::current());
    }

    /// One of its tasks is about to be a thread.
    #[cfg(feature = "testkit")]
    pub(crate) fn expect_thread(&self) {
        self.threaded.store(true, Ordering::Release);
    }
    #[cfg(feature = "testkit")]
    pub(crate) fn is_threaded(&self) -> bool {
        self.threaded.load(Ordering::Acquire)
    }

    pub(crate) fn raise_bound(&self, bound: Duration) {
        self.bound.fetch_max(crate::span::nanos(bound), Ordering::AcqRel);
    }
    pub(crate) fn reset_bound(&self) {
        self.bound.store(0, Ordering::Release);
    }
    pub(crate) fn bound(&self) -> Duration {
        Duration::from_nanos(self.bound.load(Ordering::Acquire))
    }
}

/// The conductor's look: it does not wait, not even for a lock that only our own few lines hold.
fn unless_busy<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
