// SPDX-License-Identifier: GPL-2.0

//! Hits, misses and bypassed sectors over several windows of time. C: `stats.c`.
//!
//! Events are counted in a [`Collector`] and folded into four windows every 13.6 seconds (22 times
//! in 5 minutes). The windows of five minutes, an hour and a day lose one part in 32 every 1, 12 or
//! 288 times, which halves them in just that time.
//!
//! Numbers in the windows are stored shifted left by 16 against rounding. C shifts what it has
//! collected within 32 bits and so loses all but its low 16 bits; here everything has 64.

use crate::{
    num::i64_from_u64_sat,
    sync::Word, //
};

/// Bits behind the point.
const SHIFT: u32 = 16;
/// One part of this is lost at each rescaling.
const WEIGHT: u64 = 32;

/// Jiffies between two folds.
pub fn tick_jiffies(hz: u32) -> u64 {
    // The product of a 32-bit number and 300 fits.
    u64::from(hz).saturating_mul(300) / 22
}

/// Counts of events, as they are collected or in a window.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Reads served by the cache.
    pub hits: u64,
    /// Reads that were not, or not all.
    pub misses: u64,
    /// Bypassing reads that would have been hits.
    pub bypass_hits: u64,
    /// Bypassing reads that would have been misses.
    pub bypass_misses: u64,
    /// Misses whose data came too late to be cached.
    pub collisions: u64,
    /// Sectors that went around the cache.
    pub bypassed: u64,
}

impl Counts {
    /// Applies `f` to each count and its partner in `other`.
    fn zip(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            hits: f(self.hits, other.hits),
            misses: f(self.misses, other.misses),
            bypass_hits: f(self.bypass_hits, other.bypass_hits),
            bypass_misses: f(self.bypass_misses, other.bypass_misses),
            collisions: f(self.collisions, other.collisions),
            bypassed: f(self.bypassed, other.bypassed),
        }
    }
}

/// Events since the last fold. Lock-free, any context.
pub struct Collector<W> {
    hits: W,
    misses: W,
    bypass_hits: W,
    bypass_misses: W,
    collisions: W,
    bypassed: W,
}

impl<W: Word> Collector<W> {
    /// Nothing collected; `zero` makes a word that holds 0.
    pub fn new(zero: impl Fn() -> W) -> Self {
        Self {
            hits: zero(),
            misses: zero(),
            bypass_hits: zero(),
            bypass_misses: zero(),
            collisions: zero(),
            bypassed: zero(),
        }
    }

    /// A read was or would have been served by the cache, or not (C: `bch_mark_cache_accounting`).
    pub fn mark(&self, hit: bool, bypass: bool) {
        let word = match (hit, bypass) {
            (true, false) => &self.hits,
            (false, false) => &self.misses,
            (true, true) => &self.bypass_hits,
            (false, true) => &self.bypass_misses,
        };
        word.fetch_add(1);
    }

    /// A miss could not be cached because the range was written meanwhile (C:
    /// `bch_mark_cache_miss_collision`).
    pub fn collision(&self) {
        self.collisions.fetch_add(1);
    }

    /// A request went around the cache (C: `bch_mark_sectors_bypassed`).
    pub fn bypassed(&self, sectors: u64) {
        self.bypassed.fetch_add(sectors);
    }

    /// Takes what was collected.
    pub fn take(&self) -> Counts {
        Counts {
            hits: self.hits.swap(0),
            misses: self.misses.swap(0),
            bypass_hits: self.bypass_hits.swap(0),
            bypass_misses: self.bypass_misses.swap(0),
            collisions: self.collisions.swap(0),
            bypassed: self.bypassed.swap(0),
        }
    }
}

/// A window of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// Since registration or `clear_stats`.
    Total,
    /// `stats_five_minute`.
    FiveMinute,
    /// `stats_hour`.
    Hour,
    /// `stats_day`.
    Day,
}

impl Period {
    /// All windows.
    pub const ALL: [Self; 4] = [Self::Total, Self::FiveMinute, Self::Hour, Self::Day];

    /// Folds between two rescalings; `None` = never.
    const fn rescale_at(self) -> Option<u32> {
        match self {
            Self::Total => None,
            Self::FiveMinute => Some(1),
            Self::Hour => Some(12),
            Self::Day => Some(288),
        }
    }
}

/// One window.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Window {
    /// Shifted left by [`SHIFT`].
    scaled: Counts,
    /// Folds since the last rescaling.
    folds: u32,
}

impl Window {
    /// Adds what was collected, then lets the window decay if it is time.
    fn fold(&mut self, new: &Counts, rescale_at: Option<u32>) {
        self.scaled = self
            .scaled
            .zip(new, |a, b| a.saturating_add(b.saturating_mul(1 << SHIFT)));
        let Some(at) = rescale_at else {
            return;
        };
        self.folds = self.folds.saturating_add(1);
        if self.folds >= at {
            self.folds = 0;
            // floor(v * 31 / 32) without the product.
            let decay = |v: u64| v.saturating_sub(v.div_ceil(WEIGHT));
            self.scaled = self.scaled.zip(&Counts::default(), |a, _| decay(a));
        }
    }

    /// The counts as the files show them.
    pub fn counts(&self) -> Counts {
        self.scaled.zip(&Counts::default(), |a, _| a >> SHIFT)
    }

    /// `cache_hit_ratio`: hits per hundred reads, 0 if there were none.
    pub fn hit_ratio(&self) -> u64 {
        let c = self.counts();
        // Below 2^48 each.
        let reads = c.hits.saturating_add(c.misses);
        c.hits.saturating_mul(100).checked_div(reads).unwrap_or(0)
    }

    /// `bypassed`, in bytes, for [`crate::text::HPrint`].
    pub fn bypassed_bytes(&self) -> i64 {
        i64_from_u64_sat(self.counts().bypassed.saturating_mul(512))
    }
}

/// All windows of a device or a cache set; the caller locks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Accounting {
    total: Window,
    five_minute: Window,
    hour: Window,
    day: Window,
}

impl Accounting {
    /// Folds in what was collected; to be called every [`tick_jiffies`].
    pub fn tick(&mut self, new: &Counts) {
        for period in Period::ALL {
            let window = match period {
                Period::Total => &mut self.total,
                Period::FiveMinute => &mut self.five_minute,
                Period::Hour => &mut self.hour,
                Period::Day => &mut self.day,
            };
            window.fold(new, period.rescale_at());
        }
    }

    /// `clear_stats`: zeroes the totals only.
    pub fn clear_total(&mut self) {
        self.total = Window::default();
    }

    /// One window.
    pub const fn window(&self, period: Period) -> &Window {
        match period {
            Period::Total => &self.total,
            Period::FiveMinute => &self.five_minute,
            Period::Hour => &self.hour,
            Period::Day => &self.day,
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_stats))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn collects_and_folds() {
        let collector = Collector::new(|| AtomicU64::new(0));
        collector.mark(true, false);
        collector.mark(true, false);
        collector.mark(false, false);
        collector.mark(true, true);
        collector.mark(false, true);
        collector.collision();
        // C shows 0.0k for 96 MiB.
        collector.bypassed(96 << 11);
        let counts = collector.take();
        assert_eq!(collector.take(), Counts::default());

        let mut acc = Accounting::default();
        acc.tick(&counts);
        let total = acc.window(Period::Total);
        assert_eq!(total.counts(), counts);
        assert_eq!(total.hit_ratio(), 66);
        assert_eq!(total.bypassed_bytes(), 96 << 20);
        // Five minutes decay at once: 2 * 31 / 32.
        assert_eq!(acc.window(Period::FiveMinute).counts().hits, 1);
        assert_eq!(acc.window(Period::Hour).counts().hits, 2);
        acc.clear_total();
        assert_eq!(acc.window(Period::Total), &Window::default());
        assert_eq!(acc.window(Period::Total).hit_ratio(), 0);
        assert_eq!(acc.window(Period::Day).counts().hits, 2);
    }

    #[test]
    fn half_lives() {
        let mut acc = Accounting::default();
        let start = Counts {
            hits: 1_000_000,
            ..Counts::default()
        };
        acc.tick(&start);
        let none = Counts::default();
        let hits = |acc: &Accounting, p| acc.window(p).counts().hits;
        for _ in 0..21 {
            acc.tick(&none);
        }
        assert!((490_000..510_000).contains(&hits(&acc, Period::FiveMinute)));
        for _ in 22..22 * 12 {
            acc.tick(&none);
        }
        assert!((490_000..510_000).contains(&hits(&acc, Period::Hour)));
        for _ in 22 * 12..22 * 288 {
            acc.tick(&none);
        }
        assert!((490_000..510_000).contains(&hits(&acc, Period::Day)));
        assert_eq!(hits(&acc, Period::Total), 1_000_000);
        assert_eq!(hits(&acc, Period::FiveMinute), 0);
    }

    #[test]
    fn saturates() {
        let mut acc = Accounting::default();
        let huge = Counts {
            hits: u64::MAX,
            misses: u64::MAX,
            bypassed: u64::MAX,
            ..Counts::default()
        };
        acc.tick(&huge);
        acc.tick(&huge);
        assert_eq!(acc.window(Period::Total).counts().hits, u64::MAX >> 16);
        assert_eq!(acc.window(Period::Total).hit_ratio(), 50);
        assert_eq!(tick_jiffies(250), 3409);
    }
}
