// SPDX-License-Identifier: GPL-2.0

//! Whether the cache device is slow, and how much is then kept away from it.
//!
//! C: `bch_get_congested` in `request.c`, `bch_bbio_count_io_errors` in `io.c`, `fract_exp_two` in
//! `util.h`.
//!
//! A counter of a cache set runs from `-MAX` (very congested) to 0. Each slow request lowers it by
//! its milliseconds, each fast one and each 1024 microseconds without a slow one raise it. The
//! lower, the shorter the streams that still use the cache.

/// Range of the counter.
pub const MAX: i32 = 1024;

/// Bits of the mantissa of the limit.
const FRACTION_BITS: u32 = 6;

/// What the limit depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CongestedInput {
    /// `congested_read_threshold_us`, 0 = off.
    pub read_threshold_us: u32,
    /// `congested_write_threshold_us`, 0 = off.
    pub write_threshold_us: u32,
    /// When the last slow request ended, by [`clock_us`].
    pub last_us: u32,
    /// The counter.
    pub congested: i32,
}

/// What the end of a request does to the counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Adjust {
    /// To be added to the counter.
    pub delta: i32,
    /// The request was slow: remember its end as the last.
    pub stamp: bool,
}

/// The clock of this module: 1024 nanoseconds a tick (called microseconds), 32 bits.
pub fn clock_us(ns: u64) -> u32 {
    // The mask makes the conversion exact.
    u32::try_from((ns >> 10) & 0xffff_ffff).unwrap_or(0)
}

/// `1 << (x >> FRACTION_BITS)` with linear interpolation by the low bits of `x`.
fn fract_exp_two(x: u32) -> u32 {
    const ONE: u32 = 1 << FRACTION_BITS;
    let mantissa = ONE | (x & (ONE - 1));
    // x <= MAX gives at most 0x1fc00, far from the top.
    mantissa.checked_shl(x >> FRACTION_BITS).unwrap_or(u32::MAX) >> FRACTION_BITS
}

/// The length of a stream, in sectors, from which on it bypasses the cache; 0 if the cache is not
/// congested.
///
/// `now_us` gives the time by [`clock_us`], `random` any random number, by which the limit varies a little. Neither is
/// asked for while the cache is not congested: random numbers are dear.
pub fn limit(
    input: &CongestedInput,
    now_us: impl FnOnce() -> u32,
    random: impl FnOnce() -> u32,
) -> u32 {
    let off = input.read_threshold_us == 0 && input.write_threshold_us == 0;
    if off || input.congested >= 0 {
        return 0;
    }
    let recovered = now_us().wrapping_sub(input.last_us) / 1024;
    // Below 2^22, so that the sum of both cannot overflow for any counter that `account` makes.
    let recovered = i32::try_from(recovered).unwrap_or(i32::MAX);
    let level = input.congested.saturating_add(recovered);
    if level >= 0 {
        return 0;
    }
    let exponent = u32::try_from(level.saturating_add(MAX)).unwrap_or(0);
    let sectors = match exponent {
        0 => 0,
        x => fract_exp_two(x),
    };
    sectors.saturating_sub(random().count_ones()).max(1)
}

/// What a request that was submitted at `submit_us` and ends at `now_us` does to the counter.
///
/// `threshold_us` is the one of its direction; 0 = off. C compares as signed numbers, so that a
/// threshold above `i32::MAX` makes every request slow; here it makes none slow.
pub fn account(threshold_us: u32, now_us: u32, submit_us: u32, congested: i32) -> Adjust {
    let none = Adjust {
        delta: 0,
        stamp: false,
    };
    if threshold_us == 0 {
        return none;
    }
    // Clocks of two CPUs may differ a little: an end before the start took no time.
    let us = match now_us.wrapping_sub(submit_us) {
        us if us > 0x7fff_ffff => 0,
        us => us,
    };
    if us > threshold_us {
        let ms = i32::try_from(us / 1024).unwrap_or(MAX);
        let room = congested.saturating_add(MAX).max(0);
        Adjust {
            delta: ms.min(room).saturating_neg(),
            stamp: true,
        }
    } else if congested < 0 {
        Adjust { delta: 1, ..none }
    } else {
        none
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: CongestedInput = CongestedInput {
        read_threshold_us: 2000,
        write_threshold_us: 20000,
        last_us: 10,
        congested: -1,
    };

    /// The limit at a level of congestion, just after a slow request.
    fn at_level(congested: i32, random: u32) -> u32 {
        limit(&CongestedInput { congested, ..INPUT }, || 10, || random)
    }

    #[test]
    fn limits() {
        // 1023: exponent 15, mantissa 1.fc.
        assert_eq!(at_level(-1, 0), (127 << 15) >> 6);
        assert_eq!(at_level(-1, 7), ((127 << 15) >> 6) - 3);
        assert_eq!(at_level(-960, 0), 2);
        assert_eq!(at_level(-960, u32::MAX), 1);
        for most in [-1023, -1024, i32::MIN] {
            assert_eq!(at_level(most, 0), 1);
        }
        // One tick of recovery per 1024 us, across the wrap of the clock.
        let late = CongestedInput {
            congested: -5,
            last_us: 0u32.wrapping_sub(4 * 1024),
            ..INPUT
        };
        assert_eq!(limit(&late, || 0, || 0), (127 << 15) >> 6);
        assert_eq!(limit(&late, || 1024, || 0), 0);
    }

    #[test]
    fn asks_only_if_congested() {
        let asked = || -> u32 { panic!("not congested") };
        let free = CongestedInput {
            congested: 0,
            ..INPUT
        };
        assert_eq!(limit(&free, asked, asked), 0);
        let off = CongestedInput {
            read_threshold_us: 0,
            write_threshold_us: 0,
            ..INPUT
        };
        assert_eq!(limit(&off, asked, asked), 0);
    }

    #[test]
    fn accounts() {
        let adjust = |delta, stamp| Adjust { delta, stamp };
        assert_eq!(account(0, 1 << 20, 0, -5), adjust(0, false));
        assert_eq!(account(2000, 2000, 0, 0), adjust(0, false));
        assert_eq!(account(2000, 2000, 0, -7), adjust(1, false));
        assert_eq!(account(2000, 2049, 1, 0), adjust(-2, true));
        assert_eq!(account(2000, 1 << 30, 0, -1000), adjust(-24, true));
        assert_eq!(account(2000, 1 << 30, 0, -1024), adjust(0, true));
        // The end before the start.
        assert_eq!(account(2000, 5, 6, -1), adjust(1, false));
        assert_eq!(account(u32::MAX, 1 << 30, 0, 0), adjust(0, false));
        assert_eq!(clock_us(0xffff_0000_0000_0800), 2);
        assert_eq!(clock_us(1023), 0);
    }
}
