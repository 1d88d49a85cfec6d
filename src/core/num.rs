// SPDX-License-Identifier: GPL-2.0

//! Lossless and clearly lossy integer conversions, and small number types.
//!
//! The only place of the crate where `as` may stand between integers.
//!
//! C reference: none; replaces the implicit conversions of `drivers/md/bcache/`.

/// log2 of the bytes of one sector.
pub const SECTOR_SHIFT: u32 = 9;

/// Sectors of one page of the kernels that the format constants are fixed for (4 KiB).
pub const PAGE_SECTORS: u32 = 8;

/// Bytes of that page.
pub const PAGE_BYTES: usize = 4096;

const _: () = assert!(usize::BITS >= 32 && usize::BITS <= 64);

/// Widens a `u32`; lossless, since all supported targets have at least 32-bit addresses.
#[inline]
pub const fn usize_from_u32(v: u32) -> usize {
    v as usize
}

/// Widens a `usize`; lossless, since no supported target has wider addresses.
#[inline]
pub const fn u64_from_usize(v: usize) -> u64 {
    v as u64
}

/// Converts to `u32`; what does not fit becomes `u32::MAX`.
#[inline]
pub const fn u32_from_usize_sat(v: usize) -> u32 {
    if v > u32::MAX as usize {
        u32::MAX
    } else {
        v as u32
    }
}

/// Converts to `u32`; what does not fit becomes `u32::MAX`.
#[inline]
pub const fn u32_from_u64_sat(v: u64) -> u32 {
    if v > u32::MAX as u64 {
        u32::MAX
    } else {
        v as u32
    }
}

/// Converts to `u16`; what does not fit becomes `u16::MAX`.
#[inline]
pub const fn u16_from_u32_sat(v: u32) -> u16 {
    if v > u16::MAX as u32 {
        u16::MAX
    } else {
        v as u16
    }
}

/// Converts to `usize`; what does not fit becomes `usize::MAX`.
#[inline]
pub const fn usize_from_u64_sat(v: u64) -> usize {
    if v > usize::MAX as u64 {
        usize::MAX
    } else {
        v as usize
    }
}

/// Converts to `i64`; what does not fit becomes `i64::MAX`.
#[inline]
pub const fn i64_from_u64_sat(v: u64) -> i64 {
    if v > i64::MAX as u64 {
        i64::MAX
    } else {
        v as i64
    }
}

/// The lowest 8 bits.
#[inline]
pub const fn low_u8(v: u64) -> u8 {
    (v & 0xff) as u8
}

/// The lowest 16 bits.
#[inline]
pub const fn low_u16(v: u64) -> u16 {
    (v & 0xffff) as u16
}

/// The lowest 32 bits.
#[inline]
pub const fn low_u32(v: u64) -> u32 {
    (v & 0xffff_ffff) as u32
}

/// The lowest 8 bits as an index into a table of 256 entries.
#[inline]
#[cfg(not(CONFIG_RUST))]
pub const fn low_index(v: u64) -> usize {
    (v & 0xff) as usize
}

/// Widens a `u32` where `From` is not `const`.
#[inline]
pub const fn u64_from_u32(v: u32) -> u64 {
    v as u64
}

/// Widens a `u16` where `From` is not `const`.
#[inline]
pub const fn u64_from_u16(v: u16) -> u64 {
    v as u64
}

/// Widens a `u8` where `From` is not `const`.
#[inline]
pub const fn u64_from_u8(v: u8) -> u64 {
    v as u64
}

/// Rounds `v` up to a multiple of `unit`; `None` if that does not fit or `unit` is zero.
#[inline]
pub fn round_up(v: usize, unit: usize) -> Option<usize> {
    v.checked_next_multiple_of(unit)
}

/// Number of a bucket of a cache device, counted from the start of the device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct BucketNr(pub u32);

impl BucketNr {
    /// The number as an index into a table with one entry per bucket.
    #[inline]
    pub const fn index(self) -> usize {
        usize_from_u32(self.0)
    }
}

impl core::fmt::Display for BucketNr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<BucketNr> for u64 {
    #[inline]
    fn from(b: BucketNr) -> u64 {
        u64::from(b.0)
    }
}
