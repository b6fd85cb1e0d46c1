//! Coarse order: a ladder of integers with named rungs and room between them.

use std::fmt;

/// Where in the order a component stands: start goes from the lowest phase up, stop from the highest down.
///
/// Any integer is a phase. The named ones are spaced so that there is always room between two of them. A component that says
/// nothing is in [`Phase::WORKERS`] (0).
///
/// ```
/// use winddown::Phase;
/// assert!(Phase::TELEMETRY < Phase::CONNECTIONS && Phase::CONNECTIONS < Phase::TRACE && Phase::TRACE < Phase::CLIENTS);
/// assert!(Phase::CLIENTS < Phase::WORKERS && Phase::WORKERS < Phase::INTAKE && Phase::INTAKE < Phase::EDGE);
/// assert_eq!(Phase::default(), Phase::WORKERS);
/// assert_eq!(Phase::new(20).to_string(), "20");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Phase(i32);

impl Phase {
    /// −300: logs and metrics; first up, last down, so that everything else can still be seen.
    pub const TELEMETRY: Phase = Phase(-300);
    /// −200: pools and connections that the rest sends through.
    pub const CONNECTIONS: Phase = Phase(-200);
    /// −150: trace dispatchers; after all that feeds them has stopped, before what they send through does.
    pub const TRACE: Phase = Phase(-150);
    /// −100: producers and other clients that workers call.
    pub const CLIENTS: Phase = Phase(-100);
    /// 0: the work itself; the default.
    pub const WORKERS: Phase = Phase(0);
    /// 100: consumers and other sources of work.
    pub const INTAKE: Phase = Phase(100);
    /// 200: what faces the outside, such as an HTTP server; last up, first down.
    pub const EDGE: Phase = Phase(200);

    /// A phase of your own.
    pub const fn new(value: i32) -> Phase {
        Phase(value)
    }

    /// Its number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl From<i32> for Phase {
    fn from(value: i32) -> Phase {
        Phase(value)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o5_the_named_rungs_are_in_order_with_room_between_them() {
        let ladder = [Phase::TELEMETRY, Phase::CONNECTIONS, Phase::TRACE, Phase::CLIENTS, Phase::WORKERS, Phase::INTAKE, Phase::EDGE];
        assert!(ladder.windows(2).all(|pair| pair[1].get() - pair[0].get() >= 50));
        assert_eq!(ladder.map(Phase::get), [-300, -200, -150, -100, 0, 100, 200]);
    }
}
