// SPDX-License-Identifier: GPL-2.0

//! Sizes of a cache device and everything derived from them.
//!
//! C reference: `drivers/md/bcache/super.c` (`bch_cache_set_alloc`, `cache_alloc`), `bcache.h`.

use crate::arith;
use crate::key::{
    self,
    Ptr, //
};
use crate::num::{
    self,
    BucketNr, //
};

/// Largest metadata bucket in pages: `MAX_ORDER_NR_PAGES` of x86-64, part of the format there.
const MAX_META_PAGES: u32 = 1024;

/// Largest journal entry in bytes (`PAGE_SIZE << JSET_BITS`).
pub const MAX_JSET_BYTES: usize = num::PAGE_BYTES * 8;

/// Btree nodes of at most this many pages use the whole metadata bucket.
const BTREE_MAX_PAGES: u32 = 64;

/// Header of a priority set in bytes.
const PRIO_HEADER_BYTES: u32 = 40;

/// Bytes of one bucket in a priority set.
const PRIO_ENTRY_BYTES: u32 = 3;

/// Bytes of one entry of the uuid bucket.
const UUID_ENTRY_BYTES: u32 = 128;

/// Why sizes cannot be those of a cache device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadGeometry {
    /// Bucket size is no power of two, or below one page.
    BucketSize,
    /// Block size is no power of two, or above one page.
    BlockSize,
    /// More buckets than this driver can number.
    TooManyBuckets,
    /// No bucket remains behind the first usable one.
    FirstBucket,
}

impl core::fmt::Display for BadGeometry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BucketSize => "bad bucket size",
            Self::BlockSize => "bad block size",
            Self::TooManyBuckets => "too many buckets",
            Self::FirstBucket => "bad first bucket",
        })
    }
}

/// Checked sizes of one cache device.
///
/// # Invariants
///
/// `8 <= bucket_sectors` is a power of two and equals `1 << bucket_shift`; `1 <= block_sectors <= 8` is a
/// power of two; `first_bucket < nbuckets <= i32::MAX`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    nbuckets: u32,
    bucket_sectors: u32,
    bucket_shift: u32,
    block_sectors: u32,
    first_bucket: u32,
}

impl Geometry {
    /// Checks the sizes of a superblock; `bucket_sectors` and `block_sectors` are in sectors.
    ///
    /// # Errors
    ///
    /// Says which value cannot be.
    pub fn new(
        nbuckets: u64,
        bucket_sectors: u32,
        block_sectors: u16,
        first_bucket: u16,
    ) -> Result<Self, BadGeometry> {
        if !bucket_sectors.is_power_of_two() || bucket_sectors < num::PAGE_SECTORS {
            return Err(BadGeometry::BucketSize);
        }
        let block_sectors = u32::from(block_sectors);
        if !block_sectors.is_power_of_two() || block_sectors > num::PAGE_SECTORS {
            return Err(BadGeometry::BlockSize);
        }
        let nbuckets = match i32::try_from(nbuckets) {
            Ok(n) => n.unsigned_abs(),
            Err(_) => return Err(BadGeometry::TooManyBuckets),
        };
        let first_bucket = u32::from(first_bucket);
        if first_bucket >= nbuckets {
            return Err(BadGeometry::FirstBucket);
        }
        // INVARIANT: all four were checked above.
        Ok(Self {
            nbuckets,
            bucket_sectors,
            bucket_shift: bucket_sectors.trailing_zeros(),
            block_sectors,
            first_bucket,
        })
    }

    /// Buckets of the device, the unused first ones included.
    #[inline]
    pub fn nbuckets(&self) -> u32 {
        self.nbuckets
    }

    /// First bucket that may be used.
    #[inline]
    pub fn first_bucket(&self) -> BucketNr {
        BucketNr(self.first_bucket)
    }

    /// Sectors of a bucket; a power of two, at least 8.
    #[inline]
    pub fn bucket_sectors(&self) -> u32 {
        self.bucket_sectors
    }

    /// Sectors of a block, the unit of metadata writes; a power of two, 1..=8.
    #[inline]
    pub fn block_sectors(&self) -> u32 {
        self.block_sectors
    }

    /// Sectors of the largest extent of whole blocks that a key can describe; at least 65528.
    #[inline]
    pub fn max_extent_sectors(&self) -> u32 {
        // A power of two: the mask rounds down.
        key::MAX_SIZE & !self.block_sectors.wrapping_sub(1)
    }

    /// Bytes of a block.
    #[inline]
    pub fn block_bytes(&self) -> usize {
        num::usize_from_u32(self.block_sectors << num::SECTOR_SHIFT)
    }

    /// Bucket that holds a cache sector; `None` behind the last bucket.
    #[inline]
    pub fn bucket_of(&self, sector: u64) -> Option<BucketNr> {
        let nr = u32::try_from(sector.wrapping_shr(self.bucket_shift)).ok()?;
        (nr < self.nbuckets).then_some(BucketNr(nr))
    }

    /// First sector of a bucket.
    #[inline]
    pub fn bucket_start(&self, b: BucketNr) -> u64 {
        // A 32-bit number shifted by less than 32 fits.
        u64::from(b.0).wrapping_shl(self.bucket_shift)
    }

    /// Sectors between the start of the bucket of `sector` and `sector`.
    #[inline]
    pub fn bucket_offset(&self, sector: u64) -> u32 {
        num::low_u32(sector) & self.bucket_sectors.wrapping_sub(1)
    }

    /// Pages of a metadata bucket.
    fn meta_pages(&self) -> u32 {
        (self.bucket_sectors / num::PAGE_SECTORS).min(MAX_META_PAGES)
    }

    /// Bytes of a metadata bucket that are used: the whole bucket, at most 4 MiB.
    pub fn meta_bucket_bytes(&self) -> usize {
        num::usize_from_u32(self.meta_bucket_u32())
    }

    /// As [`Self::meta_bucket_bytes`]; at most 4 MiB, so it fits.
    fn meta_bucket_u32(&self) -> u32 {
        self.meta_pages()
            .wrapping_mul(num::PAGE_SECTORS << num::SECTOR_SHIFT)
    }

    /// Sectors of a new btree node.
    pub fn btree_node_sectors(&self) -> u32 {
        self.btree_node_pages().wrapping_mul(num::PAGE_SECTORS)
    }

    /// Pages of a new btree node (C: `btree_pages`).
    pub fn btree_node_pages(&self) -> u32 {
        let pages = self.meta_pages();
        if pages > BTREE_MAX_PAGES {
            (pages / 4).max(BTREE_MAX_PAGES)
        } else {
            pages
        }
    }

    /// Buckets described by one priority set.
    pub fn prios_per_bucket(&self) -> u32 {
        // At least one page, so the difference is positive.
        self.meta_bucket_u32().saturating_sub(PRIO_HEADER_BYTES) / PRIO_ENTRY_BYTES
    }

    /// Priority sets of one complete write.
    pub fn prio_buckets(&self) -> u32 {
        let per_bucket = u64::from(self.prios_per_bucket());
        // `u32::div_ceil` has a panic path that the compiler cannot rule out.
        num::u32_from_u64_sat(arith::div_ceil(u64::from(self.nbuckets), per_bucket))
    }

    /// Entries of the uuid bucket.
    pub fn nr_uuids(&self) -> u32 {
        self.meta_bucket_u32() / UUID_ENTRY_BYTES
    }

    /// Journal buckets that a fresh cache gets.
    pub fn njournal_default(&self) -> u32 {
        (self.nbuckets >> 7).clamp(2, 256)
    }

    /// Whether `size` sectors behind `p` lie within one usable bucket of this device.
    ///
    /// Purely structural; says nothing about generations. False for check pointers.
    #[inline]
    pub fn ptr_ok(&self, p: Ptr, size: u32) -> bool {
        if !p.is_available() {
            return false;
        }
        let fits = self
            .bucket_sectors
            .wrapping_sub(self.bucket_offset(p.sector()))
            >= size;
        match self.bucket_of(p.sector()) {
            Some(b) => fits && b.0 >= self.first_bucket,
            None => false,
        }
    }
}
