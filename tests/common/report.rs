//! A report as its readers see it: JSON, with names for its parts.

use serde_json::Value;
use std::path::Path;

pub(crate) struct Report(pub(crate) Value);

impl Report {
    /// `None` where there is no file. What is there has to be whole: it is written in one step.
    pub(crate) fn read(path: &Path) -> Option<Report> {
        let text = std::fs::read_to_string(path).ok()?;
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", path.display()));
        Some(Report(value))
    }

    pub(crate) fn text<'a>(&'a self, key: &str) -> &'a str {
        self.0[key].as_str().unwrap_or_default()
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        self.0[key].as_f64().unwrap_or_else(|| panic!("`{key}` is no number in {:#}", self.0))
    }

    pub(crate) fn exit_code(&self) -> i64 {
        self.0["exit_code"].as_i64().unwrap_or_else(|| panic!("no exit_code in {:#}", self.0))
    }

    fn list(&self, key: &str) -> &[Value] {
        self.0[key].as_array().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn components(&self) -> &[Value] {
        self.list("components")
    }

    pub(crate) fn resources(&self) -> &[Value] {
        self.list("resources")
    }

    pub(crate) fn events(&self) -> &[Value] {
        self.list("events")
    }

    pub(crate) fn find_component(&self, name: &str) -> Option<&Value> {
        self.components().iter().find(|component| component["name"] == name)
    }

    pub(crate) fn component(&self, name: &str) -> &Value {
        self.find_component(name).unwrap_or_else(|| panic!("no component {name} in {:#}", self.0))
    }

    pub(crate) fn find_resource(&self, name: &str) -> Option<&Value> {
        self.resources().iter().find(|resource| resource["name"] == name)
    }

    pub(crate) fn outcome(&self, component: &str) -> &str {
        self.component(component)["outcome"].as_str().unwrap_or_default()
    }

    pub(crate) fn has_event(&self, kind: &str, subject: Option<&str>) -> bool {
        let same = |event: &&Value| event["kind"] == kind && subject.is_none_or(|subject| event["subject"] == subject);
        self.events().iter().any(|event| same(&event))
    }

    pub(crate) fn count_events(&self, kind: &str) -> usize {
        self.events().iter().filter(|event| event["kind"] == kind).count()
    }

    /// An instant by its path: `consumer.stop.began`, `consumer.start.ended`, `db.destroyed`, or the first event of a
    /// kind, `shutdown_began`.
    pub(crate) fn instant(&self, path: &str) -> Option<f64> {
        match path.split('.').collect::<Vec<_>>()[..] {
            [component, span, end] => self.find_component(component)?[span][format!("{end}_ms")].as_f64(),
            [resource, "destroyed"] => self.find_resource(resource)?["ended_ms"].as_f64(),
            [kind] => self.events().iter().find(|event| event["kind"] == kind)?["at_ms"].as_f64(),
            _ => None,
        }
    }
}
