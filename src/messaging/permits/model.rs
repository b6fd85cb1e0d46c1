//! The permits as they are described, in the plainest words: what the property test compares with.

/// A thing that asked and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Waiting,
    In,
    TooLarge,
    Closed,
    Gone,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) count: usize,
    pub(super) bytes: usize,
    pub(super) closed: bool,
    /// Everybody who ever asked, in order.
    pub(super) all: Vec<(usize, Place)>,
}

impl Model {
    pub(super) fn used(&self) -> (usize, usize) {
        let inside = self.all.iter().filter(|(_, place)| *place == Place::In);
        (inside.clone().count(), inside.map(|(bytes, _)| bytes).sum())
    }

    fn fits(&self, bytes: usize) -> bool {
        let (count, used) = self.used();
        count < self.count && used + bytes <= self.bytes
    }

    pub(super) fn waiting(&self) -> usize {
        self.all.iter().filter(|(_, place)| *place == Place::Waiting).count()
    }

    /// Everybody in order: the first who waits and does not fit ends the round.
    fn serve(&mut self) {
        for i in 0..self.all.len() {
            if self.all[i].1 == Place::Waiting {
                if !self.fits(self.all[i].0) {
                    return;
                }
                self.all[i].1 = Place::In;
            }
        }
    }

    pub(super) fn ask(&mut self, bytes: usize, patient: bool) -> Place {
        let place = if self.closed {
            Place::Closed
        } else if bytes > self.bytes {
            Place::TooLarge
        } else if self.waiting() == 0 && self.fits(bytes) {
            Place::In
        } else if patient {
            Place::Waiting
        } else {
            Place::Gone
        };
        self.all.push((bytes, place));
        place
    }

    pub(super) fn leave(&mut self, who: usize) {
        self.all[who].1 = Place::Gone;
        self.serve();
    }

    pub(super) fn resize(&mut self, count: usize, bytes: usize) {
        (self.count, self.bytes) = (count, bytes);
        self.all.iter_mut().filter(|(b, place)| *place == Place::Waiting && *b > bytes).for_each(|(_, place)| *place = Place::TooLarge);
        self.serve();
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.all.iter_mut().filter(|(_, place)| *place == Place::Waiting).for_each(|(_, place)| *place = Place::Closed);
    }
}
