// SPDX-License-Identifier: GPL-2.0

//! Stripes: the pieces of a device by which dirty data is counted.
//!
//! C: `bcache_device_init` in `super.c`, `offset_to_stripe` in `writeback.h`,
//! `bcache_dev_sectors_dirty_add` in `writeback.c`.
//!
//! All in 64 bits and for every stripe size; C masks with `stripe_size - 1` and multiplies in 32
//! bits, which is wrong for sizes that are no power of two and beyond 2 TiB.

use crate::{
    arith::div_ceil,
    num::u32_from_u64_sat, //
};
use core::{
    fmt,
    num::NonZeroU64, //
};

/// Smallest stripe, 4 MiB: an `io_opt` below it is rounded up to a multiple.
const MIN_SECTORS: u64 = 8192;

/// The stripe of a device that names no `io_opt`, 1 TiB.
const DEFAULT_SECTORS: u64 = 1 << 31;

/// Most stripes of a device (C: `INT_MAX`).
const MAX_STRIPES: u64 = 0x7fff_ffff;

/// A device without a size, or with too many stripes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadStripes(
    /// How many there would be.
    pub u64,
);

impl fmt::Display for BadStripes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "nr_stripes too large or invalid: {} (start sector beyond end of disk?)",
            self.0
        )
    }
}

/// How a device is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stripes {
    size: NonZeroU64,
    count: u32,
}

/// The part of a range that lies in one stripe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Number of the stripe.
    pub stripe: u32,
    /// Sectors of the range in it, never 0.
    pub sectors: u64,
}

impl Stripes {
    /// Divides a device of `capacity` sectors with this `io_opt` (0 for a flash-only volume).
    ///
    /// # Errors
    ///
    /// A capacity of 0, and one of more than `i32::MAX` stripes.
    pub fn derive(capacity: u64, io_opt_bytes: u32) -> Result<Self, BadStripes> {
        let io_opt = u64::from(io_opt_bytes / 512);
        let size = match io_opt {
            0 => DEFAULT_SECTORS,
            1..MIN_SECTORS => div_ceil(MIN_SECTORS, io_opt).saturating_mul(io_opt),
            _ => io_opt,
        };
        let size = NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN);
        let count = div_ceil(capacity, size.get());
        if count == 0 || count > MAX_STRIPES {
            return Err(BadStripes(count));
        }
        Ok(Self {
            size,
            count: u32_from_u64_sat(count),
        })
    }

    /// Sectors of a stripe, never 0.
    pub fn size(&self) -> u64 {
        self.size.get()
    }

    /// How many stripes there are, never 0.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The stripe of a sector, `None` behind the last one.
    pub fn stripe_of(&self, sector: u64) -> Option<u32> {
        let stripe = u32::try_from(sector / self.size).ok()?;
        (stripe < self.count).then_some(stripe)
    }

    /// The first sector of a stripe.
    pub fn start_of(&self, stripe: u32) -> u64 {
        // Both factors are below 2^32.
        u64::from(stripe).saturating_mul(self.size())
    }

    /// The pieces of a range in ascending order; what lies behind the last stripe is left out.
    pub fn pieces(&self, start: u64, sectors: u64) -> Pieces {
        Pieces {
            stripes: *self,
            at: start,
            left: sectors,
        }
    }

    /// The next run of stripes for which `full` is true, at or behind stripe `from`: first one, and the one behind.
    pub fn next_run(&self, from: u32, full: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
        let end = self.count;
        let first = (from..end).find(|&s| full(s))?;
        let behind = (first..end).find(|&s| !full(s)).unwrap_or(end);
        Some((first, behind))
    }

    /// Whether a stripe with so many dirty sectors is dirty all over.
    pub fn is_full(&self, dirty: i64) -> bool {
        u64::try_from(dirty).is_ok_and(|d| d == self.size())
    }
}

/// See [`Stripes::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces {
    stripes: Stripes,
    at: u64,
    left: u64,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.left == 0 {
            return None;
        }
        let stripe = self.stripes.stripe_of(self.at)?;
        let inside = self.at % self.stripes.size;
        let room = self.stripes.size().saturating_sub(inside);
        let sectors = room.min(self.left);
        self.at = self.at.saturating_add(sectors);
        self.left = self.left.saturating_sub(sectors);
        Some(Piece { stripe, sectors })
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_stripes))]
mod tests {
    use super::*;

    #[test]
    fn derivation() {
        let derive = |cap, opt| Stripes::derive(cap, opt).map(|s| (s.size(), s.count()));
        assert_eq!(derive(1, 0), Ok((1 << 31, 1)));
        assert_eq!(derive((1 << 31) + 1, 0), Ok((1 << 31, 2)));
        assert_eq!(derive(1 << 20, 511), Ok((1 << 31, 1)));
        // 64 KiB io_opt: exactly 4 MiB; 192 KiB: 22 times, 8448 sectors.
        assert_eq!(derive(1 << 20, 64 << 10), Ok((8192, 128)));
        assert_eq!(derive(1 << 20, 192 << 10), Ok((8448, 125)));
        assert_eq!(derive(1 << 20, 8 << 20), Ok((16384, 64)));
        assert_eq!(derive(0, 0), Err(BadStripes(0)));
        assert_eq!(derive(u64::MAX, 64 << 10), Err(BadStripes(1 << 51)));
        assert!(Stripes::derive(8192 * 0x7fff_ffff, 64 << 10).is_ok());
    }

    #[test]
    fn pieces_of_odd_stripes() {
        let s = Stripes::derive(1 << 20, 192 << 10).unwrap();
        let pieces = |at, sectors| s.pieces(at, sectors).map(|p| (p.stripe, p.sectors));
        assert!(pieces(8440, 8448 + 16).eq([(0, 8), (1, 8448), (2, 8)]));
        assert_eq!(s.pieces(5, 0).count(), 0);
        // The tail of a range behind the last stripe is dropped.
        let end = s.start_of(s.count());
        assert!(pieces(end - 1, 10).eq([(124, 1)]));
        assert_eq!(s.stripe_of(u64::MAX), None);
        assert_eq!(s.pieces(u64::MAX, u64::MAX).count(), 0);
        assert!(s.is_full(8448) && !s.is_full(-8448) && !s.is_full(8447));
        // Beyond 2 TiB.
        let big = Stripes::derive(1 << 36, 0).unwrap();
        assert_eq!(big.start_of(31), 31 << 31);
    }

    /// What the writeback thread looks for first on a RAID. C multiplies the number of a stripe and its size in 32 bits.
    #[test]
    fn full_stripes_behind_2_tib() {
        let s = Stripes::derive(8448 << 20, 192 << 10).unwrap();
        assert_eq!((s.size(), s.count()), (8448, 1 << 20));
        let last = (1 << 20) - 1;
        let full = |stripe: u32| stripe == 3 || stripe == 4 || stripe >= last - 1;
        let run = |from| {
            s.next_run(from, full)
                .map(|(first, behind)| (s.start_of(first), s.start_of(behind)))
        };
        assert_eq!(run(0), Some((25_344, 42_240)));
        assert_eq!(run(4), Some((33_792, 42_240)));
        assert_eq!(run(5), Some((8_858_353_152, 8_858_370_048)));
        assert_eq!(run(last), Some((8_858_361_600, 8_858_370_048)));
        assert_eq!(run(last + 1), None);
        // Where the next scan goes on.
        assert_eq!(s.stripe_of(8_858_361_599), Some(last - 1));
        assert_eq!(s.next_run(0, |_| false), None);
        assert_eq!(s.next_run(0, |_| true), Some((0, 1 << 20)));
    }
}
