//! How a signal was disposed of before winddown came. The one place with `unsafe`.
#![allow(unsafe_code)]

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    Default,
    Ignored,
    /// Somebody else's handler.
    Handled,
}

/// Asks the operating system; changes nothing.
pub(super) fn of(signal: i32) -> Disposition {
    // SAFETY: `sigaction` is plain data for which all zeroes is a valid value (integers, a null or absent function, an empty set).
    let mut present: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only queries; `present` is valid for writing one `sigaction`, and lives until the call returns.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut present) };
    match present.sa_sigaction {
        _ if result != 0 => Disposition::Default,
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handled,
    }
}
