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

/// From the start of the process, or from when it can be asked to leave.
pub(crate) struct Kill {
    kind: Kind,
    after: Duration,
}

#[derive(Clone, Copy)]
enum Kind {
    Term,
    Kill,
    /// SIGTERM, and SIGKILL in the midst of the stop.
    TermThenKill(Duration),
}

impl Kill {
    /// Half of them SIGTERM and half SIGKILL, the latter sometimes during a stop; a fifth of all during the start.
    pub(crate) fn number(n: u32, dice: &Dice) -> Kill {
        let millis = |below| Duration::from_millis(dice.next() % below);
        let after = if dice.chance(0.2) { millis(100) } else { millis(1200) };
        let kind = match n % 2 {
            0 => Kind::Term,
            _ if dice.chance(0.25) => Kind::TermThenKill(millis(500)),
            _ => Kind::Kill,
        };
        Kill { kind, after }
    }

    /// Sends the clients to the service, and kills it when it is time.
    pub(crate) fn carry_out(&self, mut service: Service, clients: &Clients) -> anyhow::Result<Struck> {
        if !matches!(self.kind, Kind::Kill) {
            service.until_it_handles_sigterm();
        }
        let when = Instant::now() + self.after;
        if let Some(address) = service.address_within(self.after) {
            clients.send_to(Some(address));
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
        match self.kind {
            Kind::Term => write!(f, "SIGTERM after {:?}", self.after),
            Kind::Kill => write!(f, "SIGKILL after {:?}", self.after),
            Kind::TermThenKill(pause) => write!(f, "SIGTERM after {:?}, SIGKILL {pause:?} later", self.after),
        }
    }
}
