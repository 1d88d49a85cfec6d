// SPDX-License-Identifier: GPL-2.0

//! Whether a device may hold writes of ours in its volatile cache.
//!
//! C: none. C sends every flush on to the backing device, also where all data went to the cache.

use crate::sync::Word;

/// Counts the writes that have ended, and remembers how many of them a flush covers. Any context.
///
/// A flush covers the writes that had ended when it began, once it has ended itself. Until then others that begin must not
/// rely on it: they send one of their own.
pub struct Unflushed<W> {
    written: W,
    flushed: W,
}

/// A flush under way: the writes that it covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flush(u64);

impl<W: Word> Unflushed<W> {
    /// Nothing is known of what was written before. Both words must hold 0.
    pub fn new(written: W, flushed: W) -> Self {
        written.fetch_add(1);
        Self { written, flushed }
    }

    /// A write to the device has ended, well or not; before who wrote hears of it.
    pub fn wrote(&self) {
        self.written.fetch_add(1);
    }

    /// The flush to be sent; `None` if there is nothing to be flushed.
    pub fn begin(&self) -> Option<Flush> {
        let written = self.written.load();
        (self.flushed.load() < written).then_some(Flush(written))
    }

    /// A flush has ended well.
    pub fn done(&self, flush: Flush) {
        crate::sync::update(&self.flushed, |f| (f < flush.0).then_some(flush.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn covers_what_had_ended() {
        let u = Unflushed::new(AtomicU64::new(0), AtomicU64::new(0));
        let first = u.begin().unwrap();
        // It has not ended: the next one cannot rely on it.
        let second = u.begin().unwrap();
        u.wrote();
        u.done(first);
        let third = u.begin().unwrap();
        u.done(third);
        assert_eq!(u.begin(), None);
        // A late end of an old one changes nothing.
        u.done(second);
        assert_eq!(u.begin(), None);
        u.wrote();
        assert!(u.begin().is_some());
    }
}
