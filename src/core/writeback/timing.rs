// SPDX-License-Identifier: GPL-2.0

//! How long the writeback thread waits after a scan, and after a pass with errors.
//!
//! C: `writeback_delay` in `bch_writeback_thread` (`writeback.c`). C multiplies seconds with `HZ` in 32 bits, so that
//! large delays wrap, and tries keys that cannot be written again at once.

/// First wait after a pass with errors, in milliseconds; it doubles with each such pass.
const BACKOFF_MS: u32 = 250;
/// Longest wait after a pass with errors.
const BACKOFF_MAX_MS: u32 = 30_000;

/// Jiffies (of `hz` a second) that are left of a wait of some seconds of which `elapsed` jiffies are over.
pub fn left(seconds: u32, hz: u32, elapsed: u64) -> u64 {
    // A product of two 32-bit numbers.
    let whole = u64::from(seconds).saturating_mul(u64::from(hz));
    whole.saturating_sub(elapsed)
}

/// The waits between passes with errors.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Backoff {
    /// Passes with errors since the last one without.
    failures: u32,
}

impl Backoff {
    /// A pass went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// A pass had errors: milliseconds to wait before the next one.
    pub fn next_ms(&mut self) -> u32 {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        BACKOFF_MS.saturating_mul(factor).min(BACKOFF_MAX_MS)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_timing))]
mod tests {
    use super::*;

    #[test]
    fn delays_do_not_wrap() {
        assert_eq!(left(30, 250, 0), 7500);
        assert_eq!(left(30, 250, 7499), 1);
        assert_eq!(left(30, 250, u64::MAX), 0);
        // (2^32 - 1) / HZ and one more: C wraps to nearly nothing.
        assert_eq!(left(17_179_870, 250, 0), 4_294_967_500);
        assert_eq!(left(u32::MAX, 1000, 0), 4_294_967_295_000);
        assert_eq!(left(u32::MAX, u32::MAX, 0), 0xffff_fffe_0000_0001);
    }

    #[test]
    fn errors_are_tried_ever_more_slowly() {
        let mut backoff = Backoff::default();
        let waits: [u32; 9] = core::array::from_fn(|_| backoff.next_ms());
        assert_eq!(
            waits,
            [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]
        );
        for _ in 0..100 {
            assert_eq!(backoff.next_ms(), BACKOFF_MAX_MS);
        }
        backoff.reset();
        assert_eq!(backoff.next_ms(), 250);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.next_ms(), BACKOFF_MAX_MS);
    }
}
