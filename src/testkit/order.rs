//! Who came before whom, for a test's last line.

use crate::event::EventKind;
use crate::report::Report;
use crate::span::Show;

/// These components stopped in this order: each was over before the next was asked to stop. Others may lie in between.
///
/// # Panics
/// If it was otherwise, or one of them is not in the report or never began to stop; the text shows who stopped when.
///
/// ```
/// use winddown::{App, testkit};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let app = App::new("orders");
/// let producer = app.task("producer", |cx| async move { cx.stopping().await; Ok(()) }).id();
/// app.task("consumer", |cx| async move { cx.stopping().await; Ok(()) }).after(producer);
/// let report = testkit::World::new(&app).shutdown_when("ready").run().await;
/// testkit::assert_start_order(&report, &["producer", "consumer"]);
/// testkit::assert_stop_order(&report, &["consumer", "producer"]);
/// # });
/// ```
#[track_caller]
pub fn assert_stop_order(report: &Report, names: &[&str]) {
    check(report, names, "stop", &|kind| matches!(kind, EventKind::StopBegan { .. }), &|kind| matches!(kind, EventKind::ComponentEnded { .. }));
}

/// These components started in this order: each ran before the next one's start was called. Others may lie in between.
///
/// # Panics
/// If it was otherwise, or one of them is not in the report or never ran; the text shows who started when.
#[track_caller]
pub fn assert_start_order(report: &Report, names: &[&str]) {
    check(report, names, "start", &|kind| matches!(kind, EventKind::StartBegan), &|kind| matches!(kind, EventKind::StartEnded { error: None }));
}

type Is<'a> = &'a dyn Fn(&EventKind) -> bool;

/// Places in the timeline decide, not instants: much can happen at one.
struct Span<'a> {
    name: &'a str,
    began: Option<usize>,
    ended: Option<usize>,
}

#[track_caller]
fn check(report: &Report, names: &[&str], what: &str, began: Is<'_>, ended: Is<'_>) {
    let events = report.events();
    let span = |name| {
        let place = |is: Is<'_>, last: bool| {
            let mut places = events.iter().enumerate().filter(|(_, e)| e.subject() == Some(name) && is(e.kind())).map(|(at, _)| at);
            if last { places.last() } else { places.next() }
        };
        Span { name, began: place(began, false), ended: place(ended, true) }
    };
    let spans: Vec<Span<'_>> = names.iter().map(|name| span(name)).collect();
    let wrong = problem(report, &spans, what);
    let Some(wrong) = wrong else { return };
    let at = |place: Option<usize>| place.map_or("never".into(), |place| Show(events[place].at()).to_string());
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = spans.iter().map(|s| format!("  {:width$}  {what} began {:>9}  over {:>9}", s.name, at(s.began), at(s.ended))).collect();
    panic!("{wrong}\nwanted in this order:\n{}\n{report}", lines.join("\n"));
}

fn problem(report: &Report, spans: &[Span<'_>], what: &str) -> Option<String> {
    for span in spans {
        if report.component(span.name).is_none() {
            let names: Vec<&str> = report.components().iter().map(|c| &*c.name).collect();
            return Some(format!("no component is called `{}`; there are {}", span.name, names.join(", ")));
        }
        if span.began.is_none() || span.ended.is_none() {
            return Some(format!("`{}` did not {what}", span.name));
        }
    }
    let wrong = spans.windows(2).find(|pair| pair[0].ended > pair[1].began)?;
    Some(format!("`{}` was not over when the {what} of `{}` began", wrong[0].name, wrong[1].name))
}
