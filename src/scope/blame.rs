//! Who is being polled where: one word a thread, two relaxed stores a poll, ids and no pointers.
//!
//! Invariants:
//! - B1. A thread's word is written by that thread alone; samplers only read.
//! - B2. Every entry and exit changes the word (a counter in it), so a word that two samples find unchanged and not empty means that the
//!   same poll, or drop, has been going on all the time between them. The counter has 16 bits: a false "unchanged" needs exactly a
//!   multiple of 65,536 steps between two samples, and a verdict of "blocked" needs several samples in a row.
//! - B3. An exit puts back who was there before, so that nested polls are told apart.
//! - B4. Relaxed is enough: a sample may be late, nothing is synchronised by it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

/// What a thread is in: which app, whose code, which task of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) app: u8,
    pub(crate) subject: u32,
    pub(crate) task: u16,
}

/// A subject that is no component: a runtime thread in code that no scope covers.
pub(crate) const OUTSIDE: u32 = (1 << 24) - 2;

impl Place {
    fn bits(self) -> u64 {
        u64::from(self.app) << 56 | u64::from(self.subject) << 32 | u64::from(self.task) << 16
    }

    pub(crate) fn of(word: u64) -> Option<Place> {
        let place = Place { app: (word >> 56) as u8, subject: (word >> 32) as u32 & 0xff_ffff, task: (word >> 16) as u16 };
        (word >> 16 != 0).then_some(place)
    }
}

/// One thread's word. Slots are never freed, only used again by later threads.
#[derive(Debug)]
pub(crate) struct Slot {
    word: AtomicU64,
    used: AtomicBool,
    thread: Mutex<String>,
}

impl Slot {
    pub(crate) fn word(&self) -> u64 {
        self.word.load(Ordering::Relaxed)
    }
    pub(crate) fn thread(&self) -> String {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn step(&self, place: u64) -> u64 {
        let before = self.word.load(Ordering::Relaxed);
        let counter = (before as u16).wrapping_add(1);
        self.word.store(place | u64::from(counter), Ordering::Relaxed);
        before & !0xffff
    }
}

static SLOTS: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// All threads that ever polled for winddown; `None` if one is being added right now.
pub(crate) fn slots() -> Option<Vec<&'static Slot>> {
    match SLOTS.try_lock() {
        Ok(slots) => Some(slots.clone()),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner().clone()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// How many slots there are: cheap to compare.
pub(crate) fn slot_count() -> Option<usize> {
    SLOTS.try_lock().ok().map(|slots| slots.len())
}

struct Local(&'static Slot);

impl Local {
    fn register() -> Local {
        let name = std::thread::current().name().unwrap_or("unnamed thread").to_owned();
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.iter().find(|slot| !slot.used.swap(true, Ordering::AcqRel)) {
            *slot.thread.lock().unwrap_or_else(PoisonError::into_inner) = name;
            return Local(slot);
        }
        let slot = Box::leak(Box::new(Slot { word: AtomicU64::new(0), used: AtomicBool::new(true), thread: Mutex::new(name) }));
        slots.push(slot);
        Local(slot)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.0.step(0);
        self.0.used.store(false, Ordering::Release);
    }
}

thread_local! {
    static LOCAL: Local = Local::register();
}

/// Marks this thread as being in a place until the guard is dropped.
pub(crate) fn enter(place: Place) -> Guard {
    // A thread that is being torn down has no word any more, and nobody to block.
    let slot = LOCAL.try_with(|local| local.0).ok();
    Guard(slot.map(|slot| (slot, slot.step(place.bits()))))
}

/// Where this thread is, for the panic hook.
pub(crate) fn here() -> Option<Place> {
    LOCAL.try_with(|local| Place::of(local.0.word())).ok().flatten()
}

/// A runtime thread woke up or went to sleep, outside any scope.
pub(crate) fn outside(busy: bool) {
    let _ = LOCAL.try_with(|local| {
        let place = Place { app: 0, subject: OUTSIDE, task: 1 };
        local.0.step(if busy { place.bits() } else { 0 });
    });
}

/// Puts back who was there before.
#[must_use]
pub(crate) struct Guard(Option<(&'static Slot, u64)>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((slot, before)) = self.0 {
            slot.step(before);
        }
    }
}

/// Numbers for apps that live at the same time; the lowest free one, so that 8 bits last. 0 means "not blamed".
pub(crate) struct AppNumber(pub(crate) u8);

static APPS: Mutex<[bool; 256]> = Mutex::new([false; 256]);

impl AppNumber {
    pub(crate) fn take() -> AppNumber {
        let mut apps = APPS.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (1..256).find(|&n| !apps[n]).unwrap_or(0);
        apps[free] = true;
        AppNumber(free as u8)
    }
}

impl Drop for AppNumber {
    fn drop(&mut self) {
        APPS.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(self.0)] = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t9_nested_places_are_put_back_and_every_step_changes_the_word() {
        let slot = LOCAL.with(|local| local.0);
        let (outer, inner) = (Place { app: 3, subject: 7, task: 1 }, Place { app: 3, subject: 9, task: 20 });
        let mut words = vec![slot.word()];
        let a = enter(outer);
        words.push(slot.word());
        let b = enter(inner);
        words.push(slot.word());
        assert_eq!(here(), Some(inner));
        drop(b);
        words.push(slot.word());
        assert_eq!(here(), Some(outer));
        drop(a);
        words.push(slot.word());
        assert_eq!(here(), None);
        let mut unique = words.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), words.len());
    }

    #[test]
    fn a_slot_is_used_again_by_a_later_thread() {
        let slot = || std::thread::spawn(|| LOCAL.with(|local| std::ptr::from_ref(local.0) as usize)).join().unwrap();
        let before = slots().map_or(0, |s| s.len());
        (0..50).for_each(|_| {
            slot();
        });
        let after = slots().map_or(0, |s| s.len());
        // Other tests run beside this one; fifty threads in a row must not cost fifty slots.
        assert!(after < before + 40, "{before} {after}");
    }
}
