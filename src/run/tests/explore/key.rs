//! What makes two states the same (E2).

use super::node::Node;
use std::fmt::{self, Write};
use std::hash::Hasher;

/// Hashes what is written into it, twice over with different beginnings, without making a text of it.
struct Digest(std::hash::DefaultHasher, std::hash::DefaultHasher);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        self.1.write(text.as_bytes());
        Ok(())
    }
}

impl Node<'_> {
    pub(super) fn key(&self) -> u128 {
        let mut digest = Digest(Default::default(), Default::default());
        digest.1.write_u8(1);
        let written = self.machine.write_key(&mut digest).and_then(|()| self.write_rest(&mut digest));
        debug_assert!(written.is_ok());
        u128::from(digest.0.finish()) << 64 | u128::from(digest.1.finish())
    }

    fn write_rest(&self, to: &mut Digest) -> fmt::Result {
        let m = &self.model;
        write!(to, "{:?}{:?}{:?}", self.now, self.scopes, (self.signals, self.requested, self.ticks, self.singles, self.freeing))?;
        write!(to, "{:?}{:?}{:?}", m.all, m.down, (m.hurried, m.lifted_at, m.at_tail, m.cut, m.disturbed))?;
        let mut tickets: Vec<_> = m.tickets.iter().collect();
        tickets.sort_unstable();
        write!(to, "{tickets:?}{:?}{:?}{}", m.freed, m.freeing, m.finished)
    }
}
