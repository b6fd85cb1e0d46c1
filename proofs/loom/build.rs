//! Makes the broken copies: each is the real file with one place changed. A place that is no longer found fails the build.

use std::path::Path;

const ADMISSION: &str = "../../src/messaging/permits/admission.rs";
const LEDGER: &str = "../../src/messaging/producer/ledger.rs";

/// Name of the copy, file, what is there, what is put in its place.
const BROKEN: &[(&str, &str, &str, &str)] = &[
    // A waiter that was let in and is dropped before it knows keeps its permit for ever.
    ("leaks_on_cancel", ADMISSION, "Some(Ok(())) => state.put_back(self.bytes, wakers),", "Some(Ok(())) => {}"),
    // The one that did not fit leaves, and nobody looks whether the next fits.
    ("turn_is_not_passed_on", ADMISSION, "_ => state.admit(wakers),", "_ => {}"),
    // What comes back is not handed on.
    ("return_serves_nobody", ADMISSION, "self.used.bytes -= bytes;\n        self.admit(wakers);", "self.used.bytes -= bytes;"),
    // Between finding no room and joining the line the room may come back.
    (
        "joins_without_a_second_look",
        ADMISSION,
        "match state.try_take(bytes) {",
        "match Err(TryAcquireError::Full) as Result<(), TryAcquireError> {",
    ),
    // Two waiters for both budgets, each with one of them.
    ("newcomers_overtake", ADMISSION, "if !self.waiting.is_empty() || !self.fits(bytes) {", "if !self.fits(bytes) {"),
    // The gate is looked at, and only later the message is counted.
    (
        "counts_after_the_gate",
        LEDGER,
        "books.stats.accepted += 1;",
        "drop(books);\n        let mut books = lock(&self.0);\n        books.stats.accepted += 1;",
    ),
    // The waker is left after the look, not with it.
    (
        "waits_after_the_look",
        LEDGER,
        "// One waker too many is harmless, and gone at the next idle moment; those who wait are one or two.",
        "drop(books);\n        let mut books = lock(&self.0.0);",
    ),
];

fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    for (name, file, sound, broken) in BROKEN {
        println!("cargo:rerun-if-changed={file}");
        let source = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(source.matches(sound).count(), 1, "{file} has not exactly one `{sound}` to break for {name}");
        // A file that is included may not begin with its own documentation.
        let copy = source.replace(sound, broken).lines().filter(|line| !line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        std::fs::write(Path::new(&out).join(format!("{name}.rs")), copy).unwrap();
    }
}
