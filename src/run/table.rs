//! The one table of states and happenings of a component. Whatever it does not name is an illegal pair: a defect of the driver.

/// The states of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    /// Not started, or waiting for its predecessors.
    Idle,
    /// `start` was called.
    Starting,
    /// It runs.
    Running,
    /// Its work failed; the scope is being cleared for a new start.
    Clearing,
    /// It waits for its next start.
    BackingOff,
    /// It was asked to stop.
    Stopping,
    /// Its start is taken back.
    Undoing,
    /// Terminal.
    Ended,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Happening {
    /// Its turn to start has come.
    Begin,
    /// `start` returned Ok.
    StartOk,
    /// `start` returned an error or panicked.
    StartErr,
    /// It said that it is ready.
    Ready,
    /// A lasting task returned Ok.
    Finished,
    /// A task returned an error or panicked.
    Failed,
    /// Its turn to stop has come.
    Ask,
    /// `stop` returned.
    StopReturned,
    /// Its scope is empty.
    Emptied,
    /// Its timer has come.
    Late,
    /// A shutdown began while it was not running.
    Interrupt,
    /// A second signal.
    Escalate,
    /// Its abort is held back.
    Held,
    /// What held it is over.
    Released,
    /// The tail of the deadline, or a third signal.
    Expire,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    Start,
    NoteReturned,
    NoteReady,
    NoteFinished,
    FailStart,
    Undo,
    Supervise,
    Ask,
    NoteStop,
    NoteFailure,
    NotePanic,
    RungUp,
    Hold,
    Release,
    BackOff,
    TakeOver,
    End,
    Abandon,
}

/// The verdict on a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Do(Move),
    /// It may come, and changes nothing; why.
    Ignore(&'static str),
    Illegal,
}

/// One match, whose last arm is the illegal pair.
pub(crate) fn judge(life: Life, happening: Happening) -> Verdict {
    use Happening as H;
    use Life as L;
    use Verdict::{Do, Ignore, Illegal};
    match (life, happening) {
        (L::Idle | L::Ended, H::Begin) => Do(Move::Start),
        (L::Idle, H::Interrupt | H::Expire) => Do(Move::End),

        (L::Starting, H::StartOk) => Do(Move::NoteReturned),
        (L::Starting, H::StartErr | H::Failed | H::Late) => Do(Move::FailStart),
        (L::Starting, H::Ready) => Do(Move::NoteReady),
        (L::Starting, H::Finished) => Do(Move::NoteFinished),
        (L::Starting, H::Interrupt) => Do(Move::Undo),

        (L::Running, H::Finished | H::Failed) => Do(Move::Supervise),
        (L::Running, H::Ask) => Do(Move::Ask),
        (L::Running, H::Ready) => Ignore("ready was said already"),
        (L::Running, H::Interrupt | H::Escalate) => Ignore("it will be asked in its turn"),

        (L::Clearing, H::Emptied) => Do(Move::BackOff),
        (L::Clearing, H::Interrupt) => Do(Move::TakeOver),

        (L::BackingOff, H::Ready | H::Released) => Ignore("its scope is clear"),
        (L::BackingOff, H::Late) => Do(Move::Start),
        (L::BackingOff, H::Interrupt | H::Ask | H::Expire) => Do(Move::End),

        (L::Stopping, H::StopReturned) => Do(Move::NoteStop),
        (L::Stopping, H::Failed) => Do(Move::NoteFailure),
        (L::Stopping, H::Finished) => Ignore("it was asked to end"),

        (L::Stopping | L::Undoing, H::Emptied) => Do(Move::End),
        (L::Stopping | L::Undoing | L::Clearing, H::Late | H::Escalate) => Do(Move::RungUp),
        (L::Stopping | L::Undoing | L::Clearing, H::Held) => Do(Move::Hold),
        (L::Stopping | L::Undoing | L::Clearing, H::Released) => Do(Move::Release),
        (L::Stopping | L::Undoing, H::Interrupt) => Ignore("it is on its way already"),
        (L::Stopping | L::Undoing | L::Clearing, H::Ready) => Ignore("too late to be ready"),
        // An error of a start that is taken back is as good as any end of it; a panic is never lost (R2).
        (L::Undoing, H::StartErr | H::Failed) => Do(Move::NotePanic),
        (L::Undoing | L::Clearing, H::StartOk | H::StartErr) => Ignore("its start was taken back"),
        (L::Undoing | L::Clearing, H::Finished | H::Failed) => Ignore("its scope is being cleared"),

        (L::Starting | L::Running | L::Clearing | L::Stopping | L::Undoing, H::Expire) => Do(Move::Abandon),

        (L::Ended, H::Ask | H::Late) => Illegal,
        (L::Ended, _) => Ignore("it is terminal"),

        (L::Idle | L::Starting | L::Running | L::Clearing | L::BackingOff | L::Stopping | L::Undoing, _) => Illegal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: [Life; 8] =
        [Life::Idle, Life::Starting, Life::Running, Life::Clearing, Life::BackingOff, Life::Stopping, Life::Undoing, Life::Ended];
    const HAPPENINGS: [Happening; 15] = [
        Happening::Begin,
        Happening::StartOk,
        Happening::StartErr,
        Happening::Ready,
        Happening::Finished,
        Happening::Failed,
        Happening::Ask,
        Happening::StopReturned,
        Happening::Emptied,
        Happening::Late,
        Happening::Interrupt,
        Happening::Escalate,
        Happening::Held,
        Happening::Released,
        Happening::Expire,
    ];

    /// A letter a pair, written by hand and apart from the code: a change of the table must be made twice.
    /// `x` illegal, `.` ignored, otherwise the first letters of the move.
    const EXPECTED: [(&str, [&str; 15]); 8] = [
        //            Begin StOk StEr  Ready Fini  Fail  Ask   StRet Empty Late  Inter Escal Held  Relea Expire
        ("Idle", ["St", "x", "x", "x", "x", "x", "x", "x", "x", "x", "End", "x", "x", "x", "End"]),
        ("Starting", ["x", "NoteRet", "Fail", "NoteRea", "NoteFin", "Fail", "x", "x", "x", "Fail", "Undo", "x", "x", "x", "Aband"]),
        ("Running", ["x", "x", "x", ".", "Superv", "Superv", "Ask", "x", "x", "x", ".", ".", "x", "x", "Aband"]),
        ("Clearing", ["x", ".", ".", ".", ".", ".", "x", "x", "BackOff", "Rung", "TakeOver", "Rung", "Hold", "Rele", "Aband"]),
        ("BackingOff", ["x", "x", "x", ".", "x", "x", "End", "x", "x", "St", "End", "x", "x", ".", "End"]),
        ("Stopping", ["x", "x", "x", ".", ".", "NoteFail", "x", "NoteSt", "End", "Rung", ".", "Rung", "Hold", "Rele", "Aband"]),
        ("Undoing", ["x", ".", "NotePa", ".", ".", "NotePa", "x", "x", "End", "Rung", ".", "Rung", "Hold", "Rele", "Aband"]),
        ("Ended", ["St", ".", ".", ".", ".", ".", "x", ".", ".", "x", ".", ".", ".", ".", "."]),
    ];

    #[test]
    fn every_pair_of_the_table_is_as_written_down() {
        for (life, (name, row)) in LIVES.into_iter().zip(EXPECTED) {
            assert_eq!(format!("{life:?}"), name);
            for (happening, expected) in HAPPENINGS.into_iter().zip(row) {
                let got = judge(life, happening);
                let fits = match got {
                    Verdict::Illegal => expected == "x",
                    Verdict::Ignore(why) => expected == "." && !why.is_empty(),
                    Verdict::Do(step) => format!("{step:?}").starts_with(expected),
                };
                assert!(fits, "{life:?} + {happening:?}: {got:?}, written down is {expected}");
            }
        }
    }
}
