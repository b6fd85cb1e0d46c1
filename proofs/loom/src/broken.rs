//! The broken copies, and that each is found out.

macro_rules! permits {
    ($($name:ident)*) => { $(
        mod $name {
            use crate::permits::error;
            pub(crate) mod admission {
                include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
            }
            crate::check_permits::permits_to_check!(admission);
        }
    )* };
}

macro_rules! ledgers {
    ($($name:ident)*) => { $(
        mod $name {
            pub(crate) mod ledger {
                include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
            }
            crate::check_ledger::ledger_to_check!(ledger);
        }
    )* };
}

permits! { leaks_on_cancel turn_is_not_passed_on return_serves_nobody joins_without_a_second_look newcomers_overtake }
ledgers! { counts_after_the_gate waits_after_the_look }

/// The check must fail: by an assertion, or because loom finds that everybody waits for ever. It is made in a process of its own, which that may end.
fn found(test: &str, how: &str, check: fn()) {
    const INSIDE: &str = "WINDDOWN_LOOM_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return check();
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &format!("broken::{test}")])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "the broken copy passed the check");
    assert!(said.contains(how), "it was not found by `{how}`:\n{said}");
}

macro_rules! finds {
    ($($test:ident: $check:expr, $how:literal;)*) => { $(
        #[test]
        fn $test() {
            found(stringify!($test), $how, $check);
        }
    )* };
}

use crate::check_ledger::closer_and_sender;
use crate::check_permits::{a_large_waiter_that_goes, a_waiter_that_goes, newcomers_are_refused, two_at_one};

finds! {
    a_permit_that_leaks_when_its_waiter_goes: a_waiter_that_goes::<leaks_on_cancel::admission::Permits>, "deadlock";
    a_turn_that_is_not_passed_on: a_large_waiter_that_goes::<turn_is_not_passed_on::admission::Permits>, "deadlock";
    a_return_that_serves_nobody: two_at_one::<return_serves_nobody::admission::Permits>, "deadlock";
    joining_the_line_without_a_second_look: two_at_one::<joins_without_a_second_look::admission::Permits>, "deadlock";
    a_newcomer_that_overtakes: newcomers_are_refused::<newcomers_overtake::admission::Permits>, "it overtook";
    a_message_counted_after_the_gate: closer_and_sender::<counts_after_the_gate::Checked>, "panicked at src/check_ledger.rs";
    a_waker_left_after_the_look: closer_and_sender::<waits_after_the_look::Checked>, "deadlock";
}
