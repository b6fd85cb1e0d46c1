//! O3 and O4 for what is reached through handles; and the steps that a component says it took.

use crate::kit::{event, run_for};
use winddown::{App, EventKind, Lifecycle, Link, Phase, Problem, StopCx, async_trait, secs};

struct Linked {
    name: &'static str,
    provides: Option<Link>,
    needs: Vec<Link>,
}

#[async_trait]
impl Lifecycle for Linked {
    fn name(&self) -> String {
        self.name.into()
    }
    fn provides(&self) -> Option<Link> {
        self.provides.clone()
    }
    fn needs(&self) -> Vec<Link> {
        self.needs.clone()
    }
    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        cx.step("emptied", 3);
        tokio::time::sleep(secs(1)).await;
        Ok(())
    }
}

fn provider(link: &Link) -> Linked {
    Linked { name: "provider", provides: Some(link.clone()), needs: vec![] }
}

fn user(link: &Link) -> Linked {
    Linked { name: "user", provides: None, needs: vec![link.clone()] }
}

#[tokio::test(start_paused = true)]
async fn o3_who_needs_a_link_stops_before_who_provides_it() {
    let (app, link) = (App::new("links"), Link::new("the thing"));
    app.add(user(&link));
    app.add(provider(&link));
    let report = run_for(&app, secs(1)).await;
    let (user, provider) = (report.component("user").unwrap().stop.unwrap(), report.component("provider").unwrap().stop.unwrap());
    assert_eq!(provider.began, user.ended, "one phase, so only the link can have ordered them");
}

#[test]
fn o4_a_link_that_nobody_provides_is_refused() {
    let (app, link) = (App::new("links"), Link::new("the thing"));
    app.add(user(&link));
    let problems = app.plan().unwrap_err().problems().to_vec();
    assert_eq!(problems, [Problem::NotProvided { component: "user".into(), link: "the thing".into() }]);
}

#[test]
fn o4_a_link_that_two_provide_is_refused() {
    let (app, link) = (App::new("links"), Link::new("the thing"));
    app.add(provider(&link));
    app.add(provider(&link)).named("again");
    let problems = app.plan().unwrap_err().problems().to_vec();
    assert_eq!(problems, [Problem::ProvidedTwice { link: "the thing".into(), first: "provider".into(), second: "again".into() }]);
}

#[test]
fn o4_a_link_against_the_phases_is_refused() {
    let (app, link) = (App::new("links"), Link::new("the thing"));
    app.add(user(&link)).phase(Phase::TRACE);
    app.add(provider(&link)).phase(Phase::EDGE);
    assert!(matches!(app.plan().unwrap_err().problems(), [Problem::AgainstPhases { .. }]));
}

#[tokio::test(start_paused = true)]
async fn p2_a_step_is_in_the_timeline_with_its_count() {
    let app = App::new("links");
    app.add(provider(&Link::new("the thing")));
    let report = run_for(&app, secs(1)).await;
    let step = event(&report, "provider", "step");
    assert!(matches!(step.kind(), EventKind::Step { step, count: 3 } if &**step == "emptied"));
    assert!(report.to_json().contains(r#""step": "emptied""#) || report.to_json().contains(r#""step":"emptied""#));
}
