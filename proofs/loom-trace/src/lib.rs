//! The trace dispatcher's gate under loom, which runs every order in which its threads can reach its lock.
//!
//! Proven of `src/messaging/trace/gate.rs`, as it is: what was let in is taken out before the end is seen (B2); nobody sleeps through what it
//! waits for (B3), since loom reports threads that all wait; a batch is accounted for once (B4). Each model also finds the broken variant of
//! the source that it is there for; `build.rs` makes these.
#![cfg_attr(not(test), allow(dead_code))]

#[path = "../../../src/messaging/trace/gate.rs"]
#[allow(dead_code, unreachable_pub)]
mod gate;

mod sync;

#[cfg(test)]
#[allow(dead_code, unreachable_pub)]
mod broken {
    pub mod looks_too_early {
        include!(concat!(env!("OUT_DIR"), "/looks_too_early.rs"));
    }
    pub mod sleeps_too_late {
        include!(concat!(env!("OUT_DIR"), "/sleeps_too_late.rs"));
    }
    pub mod lands_in_silence {
        include!(concat!(env!("OUT_DIR"), "/lands_in_silence.rs"));
    }
    pub mod lands_twice {
        include!(concat!(env!("OUT_DIR"), "/lands_twice.rs"));
    }
}

#[cfg(test)]
mod models;

/// Every order of the threads' steps in which no more than three times a thread is stopped while it could go on: all orders at all take hours.
#[cfg(test)]
fn all(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[cfg(test)]
mod proofs {
    use super::broken::{lands_in_silence, lands_twice, looks_too_early, sleeps_too_late};
    use super::gate;
    use crate::models::{flush, many_flights, wake_when_full, write_off};

    flush!(flushed, gate);
    wake_when_full!(woken, gate);
    many_flights!(room, gate);
    write_off!(written_off, gate);

    flush!(flushed_too_early, looks_too_early);
    wake_when_full!(woken_too_late, sleeps_too_late);
    many_flights!(room_in_silence, lands_in_silence);
    write_off!(written_off_twice, lands_twice);

    #[test]
    fn b2_what_was_let_in_is_flushed() {
        flushed();
    }

    #[test]
    fn b3_the_owner_hears_of_the_first_and_of_a_full_batch() {
        woken();
    }

    #[test]
    fn b3_the_owner_hears_of_room() {
        room();
    }

    #[test]
    fn b4_a_batch_that_lands_while_it_is_written_off_counts_once() {
        written_off();
    }

    #[test]
    fn found_looks_too_early() {
        found("looks_too_early", flushed_too_early, &["deadlock", "over too early"]);
    }

    #[test]
    fn found_sleeps_too_late() {
        found("sleeps_too_late", woken_too_late, &["deadlock"]);
    }

    #[test]
    fn found_lands_in_silence() {
        found("lands_in_silence", room_in_silence, &["deadlock"]);
    }

    #[test]
    fn found_lands_twice() {
        found("lands_twice", written_off_twice, &["assertion"]);
    }

    /// Runs a model in a process of its own, which has to die saying one of these: loom ends the process when threads wait for each other.
    fn found(name: &str, model: fn(), words: &[&str]) {
        const CHILD: &str = "LOOM_TRACE_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return model();
        }
        let this = std::env::current_exe().expect("the test knows itself");
        let test = format!("proofs::found_{name}");
        let child = std::process::Command::new(this).args(["--exact", &test, "--nocapture"]).env(CHILD, "1").output().expect("it runs");
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(!child.status.success(), "the broken variant passes");
        assert!(words.iter().any(|word| said.contains(word)), "died of something else:\n{said}");
    }
}
