//! The report as JSON, and how it gets into a file.

use super::{ComponentReport, Interval, Report, ResourceReport};
use crate::event::ms;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::io::Write;
use std::path::Path;

/// The name of the report's JSON schema.
pub const SCHEMA: &str = "winddown.report/1";

pub(super) fn render(report: &Report) -> String {
    // Only maps with string keys and finite numbers are written, so there is nothing that could fail.
    serde_json::to_string(report).unwrap_or_default()
}

/// A temporary file beside the target, then a rename.
pub(super) fn write(path: &Path, report: &Report) -> std::io::Result<()> {
    // A link stays a link, and what is no file (a terminal, a pipe, /dev/null) cannot be replaced: it is written to.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(path).and_then(|file| pour(file, report));
    }
    let mut name = path.file_name().map(|n| n.to_os_string()).unwrap_or_else(|| "report.json".into());
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = std::fs::File::create(&temporary).and_then(|file| pour(file, report)).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Never as a whole in memory: a hundred thousand components make 70 MB.
fn pour(file: std::fs::File, report: &Report) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::with_capacity(1 << 16, file);
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The timeline, an event at a time.
struct Events<'a>(&'a super::Raw);

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.0.timeline.len()).map(|index| self.0.timeline.event(&self.0.plan, index)))
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("Report", 13)?;
        s.serialize_field("schema", SCHEMA)?;
        s.serialize_field("app", self.app())?;
        s.serialize_field("exit_code", &self.exit_code)?;
        s.serialize_field("verdict", &self.verdict)?;
        s.serialize_field("trigger", &self.raw.trigger)?;
        s.serialize_field("grace_ms", &ms(self.raw.grace))?;
        s.serialize_field("shutdown_ms", &self.shutdown_took().map(ms))?;
        s.serialize_field("problems", &self.raw.problems)?;
        s.serialize_field("critical_holds", &self.raw.critical_holds)?;
        s.serialize_field("blocked_at_end", &self.raw.blocked_at_end)?;
        s.serialize_field("dropped_events", &self.raw.dropped_events)?;
        s.serialize_field("components", self.components())?;
        s.serialize_field("resources", self.resources())?;
        s.serialize_field("events", &Events(&self.raw))?;
        s.end()
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("Interval", 2)?;
        s.serialize_field("began_ms", &ms(self.began))?;
        s.serialize_field("ended_ms", &ms(self.ended))?;
        s.end()
    }
}

impl Serialize for super::BlockedWorker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("BlockedWorker", 2)?;
        s.serialize_field("task", &self.task)?;
        s.serialize_field("since_ms", &ms(self.since))?;
        s.end()
    }
}

impl Serialize for ComponentReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("ComponentReport", 12)?;
        s.serialize_field("name", &*self.name)?;
        s.serialize_field("phase", &self.phase)?;
        s.serialize_field("outcome", &self.outcome)?;
        s.serialize_field("rung", &self.rung)?;
        s.serialize_field("start", &self.start)?;
        s.serialize_field("stop", &self.stop)?;
        s.serialize_field("error", &self.error.as_deref())?;
        s.serialize_field("restarts", &self.restarts)?;
        s.serialize_field("drained", &self.drained)?;
        s.serialize_field("handed_back", &self.handed_back)?;
        s.serialize_field("lost", &self.lost)?;
        s.serialize_field("blocked_worker", &self.blocked_worker)?;
        s.end()
    }
}

impl Serialize for ResourceReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("ResourceReport", 5)?;
        s.serialize_field("name", &*self.name)?;
        s.serialize_field("outcome", &self.outcome)?;
        s.serialize_field("ended_ms", &self.ended.map(ms))?;
        s.serialize_field("error", &self.error.as_deref())?;
        s.serialize_field("held_by", &(!self.held_by.is_empty()).then(|| self.held_by.join(", ")))?;
        s.end()
    }
}
