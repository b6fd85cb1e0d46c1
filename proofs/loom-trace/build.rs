//! Makes broken variants of the gate, each by changing one place of its source: what a proof is worth shows in what it finds.

use std::path::Path;

const GATE: &str = "../../src/messaging/trace/gate.rs";

/// Name, the place, what stands there instead.
const BROKEN: &[(&str, &str, &str)] = &[
    (
        // B2: the stage is looked at, and the record let in later, when the owner has seen an empty buffer behind a closed gate.
        "looks_too_early",
        "let mut state = lock(&self.state);\n        if state.stage != Stage::Open {",
        "let open = lock(&self.state).stage == Stage::Open;\n        let mut state = lock(&self.state);\n        if !open {",
    ),
    (
        // B3: the owner goes to sleep after it has let go of what it saw.
        "sleeps_too_late",
        "state.wish = wish;",
        "drop(state);\n        let mut state = lock(&self.state);\n        state.wish = wish;",
    ),
    (
        // B3: an export that ends tells nobody that there is room again.
        "lands_in_silence",
        "let owner = if state.wish == Wish::Nothing { state.owner.take() } else { None };",
        "let owner = None;",
    ),
    (
        // B4: what was written off can land once more.
        "lands_twice",
        "state.flights.clear();",
        "",
    ),
];

fn main() {
    println!("cargo::rerun-if-changed={GATE}");
    println!("cargo::rerun-if-changed=build.rs");
    let source = std::fs::read_to_string(GATE).expect("the gate's source is there");
    // An included file cannot have documentation of its own.
    let source: String = source.lines().filter(|line| !line.starts_with("//!")).map(|line| format!("{line}\n")).collect();
    let out = std::env::var("OUT_DIR").expect("cargo says where");
    for (name, place, instead) in BROKEN {
        assert_eq!(source.matches(place).count(), 1, "{name}: the place to break is there once:\n{place}");
        std::fs::write(Path::new(&out).join(format!("{name}.rs")), source.replace(place, instead)).expect("can be written");
    }
}
