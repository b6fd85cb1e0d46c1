//! What a consumer has done so far, in numbers.

/// What a consumer has done since it was made, through all its restarts, and what it is at. Numbers of messages.
///
/// What came is somewhere: `pulled` = `handled` + `failed` + `panicked` + `timed_out` + `exhausted` + `cancelled` + `handed_back` + `expired` +
/// `in_flight` + `prefetched`, except while the one or other is just between two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Deliveries that came.
    pub pulled: u64,
    /// Handlers that returned `Ok`.
    pub handled: u64,
    /// Handlers that returned an error.
    pub failed: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers that took longer than `handler_timeout`.
    pub timed_out: u64,
    /// Not handled, since they came more often than `max_attempts` allows: moved to the dead letters.
    pub exhausted: u64,
    /// Handlers that a stop cut short.
    pub cancelled: u64,
    /// Acknowledged, and the broker said so.
    pub acked: u64,
    /// Given back to come again later: failures, and handlers that were cut short.
    pub nacked: u64,
    /// Given back without having been begun, at a stop or a pause.
    pub handed_back: u64,
    /// Moved to the dead letters.
    pub dead_lettered: u64,
    /// Came again although they had been acknowledged here, as far as a window of some thousand messages remembers.
    pub duplicates: u64,
    /// Whose visibility had run out when they were settled or extended: they come, or came, again.
    pub stale: u64,
    /// Of these, those that had not been begun: dropped from the queue.
    pub expired: u64,
    /// About which the broker could not be told what became of them, in all tries: they come again when their visibility is over.
    pub unanswered: u64,
    /// Pulls and subscriptions that failed; each is tried again.
    pub pull_errors: u64,
    /// Failure hooks that panicked or took too long.
    pub hook_failures: u64,
    /// Now with a handler.
    pub in_flight: u64,
    /// Now fetched and not begun.
    pub prefetched: u64,
}
