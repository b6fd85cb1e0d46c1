//! The verdict and the exit code: pure functions (P3).

use super::Raw;
use crate::outcome::{Outcome, ResourceOutcome, Verdict};
use crate::reason::ReasonKind;
use crate::run::machine::Cut;

pub(super) fn judge(raw: &Raw) -> (Verdict, u8) {
    let verdict = verdict(raw);
    let usual = match (verdict, raw.cut) {
        (Verdict::Clean, _) => 0,
        (Verdict::Failed, _) => 1,
        (Verdict::Refused, _) => 2,
        (Verdict::Immediate, Some(Cut::Signal(signal))) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        (Verdict::Forced | Verdict::Immediate, _) => 124,
    };
    let profile = raw.trigger.as_ref().and_then(|t| raw.plan.settings.profile(t.kind).exit_code);
    match (verdict, profile) {
        (Verdict::Clean | Verdict::Failed, Some(code)) => (verdict, code),
        _ => (verdict, usual),
    }
}

/// The worst wins.
fn verdict(raw: &Raw) -> Verdict {
    if matches!(raw.cut, Some(Cut::Signal(_))) {
        return Verdict::Immediate;
    }
    let worst = raw.comps.iter().map(|c| c.outcome).max().unwrap_or(Outcome::NotStarted);
    let late = raw.resources.iter().any(|r| matches!(r.outcome, ResourceOutcome::Late | ResourceOutcome::Leaked));
    if raw.cut.is_some() || raw.set_up_abandoned || worst >= Outcome::Cancelled || late {
        return Verdict::Forced;
    }
    if !raw.problems.is_empty() {
        return Verdict::Refused;
    }
    let trigger = raw.trigger.as_ref().map(|t| t.kind);
    let by_failure = matches!(trigger, Some(ReasonKind::SetupFailed | ReasonKind::StartFailed | ReasonKind::ComponentFailed));
    if by_failure || worst >= Outcome::Failed || raw.resources.iter().any(|r| r.outcome == ResourceOutcome::Failed) {
        return Verdict::Failed;
    }
    Verdict::Clean
}
