//! P4, P6: what is told on stderr while it waits and in the end.

use crate::common::PATIENCE;
use crate::common::child::Setup;

#[test]
fn p4_while_it_waits_it_says_for_whom_and_how_long_once_a_second() {
    let toml = "
        grace = '10s'
        stop_after = '50ms'
        [[component]]
        name = 'slow'
        stop = '2500ms'
        [[component]]
        name = 'quick'
        stop = '50ms'
    ";
    let end = Setup::of("waits", toml).spawn().end(PATIENCE);
    assert_eq!(end.code(), 0, "{}", end.stderr);
    let waiting: Vec<&str> = end.stderr.lines().filter(|line| line.contains("waiting on")).collect();
    // In 2.5 s: once or twice, three times on a machine that stumbles.
    assert!((1..=3).contains(&waiting.len()), "{waiting:#?}");
    for line in waiting {
        assert!(line.contains("slow") && line.contains(" left"), "{line}");
        assert!(!line.contains("quick"), "it was done long ago: {line}");
    }
}

#[test]
fn p4_a_quick_end_says_nothing_of_waiting() {
    let end = Setup::of("quick", "grace = '10s'\nstop_after = '10ms'\n[[component]]\nname = 'a'\nstop = '50ms'\n").spawn().end(PATIENCE);
    assert!(!end.stderr.contains("waiting"), "{}", end.stderr);
}

#[test]
fn p6_the_end_is_told_with_a_timeline_and_without_colours_in_a_pipe() {
    let toml = "grace = '5s'\nstop_after = '10ms'\n[[component]]\nname = 'alpha'\nstop = '50ms'\n[[component]]\nname = 'omega'\nstop = 'fail'\n";
    let end = Setup::of("told", toml).spawn().end(PATIENCE);
    assert_eq!(end.code(), 1);
    for word in ["alpha", "stopped", "omega", "failed", "as scripted", "exit code 1"] {
        assert!(end.stderr.contains(word), "{word} is missing:\n{}", end.stderr);
    }
    assert!(!end.stderr.contains('\u{1b}'), "there are colours:\n{}", end.stderr);
}
