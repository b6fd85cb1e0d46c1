//! One kill: of which kind, and when.

use crate::clients::Clients;
use crate::dice::Dice;
use crate::service::{AWAY, Service};
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// What came of it.
#[derive(PartialEq, Eq)]
pub(crate) enum Struck {
    Killed,
    /// It had left before, since its broker was away.
    TurnedAway,
}

/// How long a service may take until it listens, before it is killed all the same.
const SOON: Duration = Duration::from_secs(5);

/// From the start of the process, or from when it can be asked to leave, or from when it listens.
pub(crate) struct Kill {
    kind: Kind,
    after: Duration,
    listening: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Term,
    Kill,
    /// SIGTERM, and SIGKILL in the midst of the stop.
    TermThenKill(Duration),
}

impl Kill {
    /// Half of them SIGTERM and half SIGKILL, the latter sometimes during a stop; a fifth of all during the start. `slow`: its start may take a second,
    /// so the others count from when it listens.
    pub(crate) fn number(n: u32, slow: bool, dice: &Dice) -> Kill {
        let millis = |below| Duration::from_millis(dice.next() % below);
        let early = dice.chance(0.2);
        let after = if early { millis(if slow { 500 } else { 100 }) } else { millis(1200) };
        let kind = match n % 2 {
            0 => Kind::Term,
            _ if dice.chance(0.25) => Kind::TermThenKill(millis(500)),
            _ => Kind::Kill,
        };
        Kill { kind, after, listening: slow && !early }
    }

    /// Sends the clients to the service, and kills it when it is time.
    pub(crate) fn carry_out(&self, mut service: Service, clients: &Clients) -> anyhow::Result<Struck> {
        if !matches!(self.kind, Kind::Kill) {
            service.until_it_handles_sigterm();
        }
        let mut when = Instant::now() + self.after;
        if let Some(address) = service.address_within(if self.listening { SOON } else { self.after }) {
            clients.send_to(Some(address));
            if self.listening {
                when = Instant::now() + self.after;
            }
        }
        thread::sleep(when.saturating_duration_since(Instant::now()));
        if service.turned_away()? {
            return Ok(Struck::TurnedAway);
        }
        match self.kind {
            Kind::Kill => service.kill()?,
            Kind::Term => {
                service.signal("TERM")?;
                if service.leave()? == AWAY {
                    return Ok(Struck::TurnedAway);
                }
            }
            Kind::TermThenKill(pause) => {
                service.signal("TERM")?;
                thread::sleep(pause);
                service.kill()?;
            }
        }
        clients.send_to(None);
        Ok(Struck::Killed)
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = if self.listening { "it listened" } else { "its start" };
        match self.kind {
            Kind::Term => write!(f, "SIGTERM {:?} after {from}", self.after),
            Kind::Kill => write!(f, "SIGKILL {:?} after {from}", self.after),
            Kind::TermThenKill(pause) => write!(f, "SIGTERM {:?} after {from}, SIGKILL {pause:?} later", self.after),
        }
    }
}
