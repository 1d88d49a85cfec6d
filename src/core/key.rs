// SPDX-License-Identifier: GPL-2.0

//! Keys, pointers and positions, and the algebra on them.
//!
//! A key maps a range of sectors of one device (`inode`) to a place of the cache. The in-memory key has at
//! most one pointer; see [`crate::ondisk::bkey`] for what comes from a disk.
//!
//! C reference: `drivers/md/bcache/bcache_ondisk.h` (`struct bkey`), `bset.c`, `extents.c`.

use crate::num;
use zerocopy_derive::FromZeros;

/// Bits of the sector number of a pointer.
const PTR_SECTOR_MASK: u64 = (1 << 43) - 1;
/// Bits of the device number of a pointer.
const PTR_DEV_MASK: u64 = (1 << 12) - 1;
/// Bits of an inode.
const INODE_MASK: u64 = (1 << 20) - 1;
/// First bit of the size.
const SIZE_SHIFT: u32 = 20;
/// Bits of the size.
const SIZE_MASK: u64 = 0xffff;
/// The dirty bit.
const DIRTY: u64 = 1 << 36;
/// First bit of the number of pointers.
const PTRS_SHIFT: u32 = 60;
/// The bit that is set in every key on disk.
const RELIC: u64 = 1 << 63;

/// Largest size of a key in sectors.
pub const MAX_SIZE: u32 = 0xffff;

/// Device number of a pointer that marks a cache miss under way.
pub const CHECK_DEV: u16 = 4095;

/// Devices a cache set may have; pointers to others are not available.
pub const MAX_CACHES: u16 = 8;

/// A pointer into the cache: device, first sector and the generation of its bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Ptr(
    /// The word as it is on disk.
    pub u64,
);

impl Ptr {
    /// Makes a pointer; `dev` is cut to 12 bits, `sector` to 43.
    #[inline]
    pub const fn new(dev: u16, sector: u64, gen: u8) -> Self {
        Self(
            ((num::u64_from_u16(dev) & PTR_DEV_MASK) << 51)
                | ((sector & PTR_SECTOR_MASK) << 8)
                | num::u64_from_u8(gen),
        )
    }

    /// Makes a check pointer from random bits.
    #[inline]
    pub const fn check(random: u64) -> Self {
        Self((random & !(1 << 63)) | (num::u64_from_u16(CHECK_DEV) << 51))
    }

    /// Number of the cache device within its set.
    #[inline]
    pub const fn dev(self) -> u16 {
        num::low_u16((self.0 >> 51) & PTR_DEV_MASK)
    }

    /// First sector on the cache device.
    #[inline]
    pub const fn sector(self) -> u64 {
        (self.0 >> 8) & PTR_SECTOR_MASK
    }

    /// Generation of the bucket when the pointer was made.
    #[inline]
    pub const fn gen(self) -> u8 {
        num::low_u8(self.0)
    }

    /// Whether this is the placeholder of a cache miss rather than a place of the cache.
    #[inline]
    pub const fn is_check(self) -> bool {
        self.dev() == CHECK_DEV
    }

    /// Whether the device number can be that of a cache.
    #[inline]
    pub const fn is_available(self) -> bool {
        self.dev() < MAX_CACHES
    }

    /// The same place with another generation.
    #[inline]
    pub const fn with_gen(self, gen: u8) -> Self {
        Self((self.0 & !0xff) | num::u64_from_u8(gen))
    }

    /// The pointer `sectors` further on; the sector number wraps within its 43 bits.
    #[inline]
    pub const fn advance(self, sectors: u64) -> Self {
        let sector = self.sector().wrapping_add(sectors) & PTR_SECTOR_MASK;
        Self((self.0 & !(PTR_SECTOR_MASK << 8)) | (sector << 8))
    }
}

impl core::fmt::Debug for Ptr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::fmt::Display for Ptr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_check() {
            f.write_str("check dev")
        } else {
            write!(f, "{}:{} gen {}", self.dev(), self.sector(), self.gen())
        }
    }
}

/// A place between sectors of a device; the order of all keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pos {
    /// Slot of the device in the uuid table.
    pub inode: u32,
    /// Sector of the device.
    pub sector: u64,
}

impl Pos {
    /// Before everything.
    pub const MIN: Self = Self {
        inode: 0,
        sector: 0,
    };
    /// Position of [`Key::MAX`].
    pub const MAX: Self = Self {
        inode: num::low_u32(INODE_MASK),
        sector: u64::MAX >> 1,
    };

    /// A position.
    #[inline]
    pub const fn new(inode: u32, sector: u64) -> Self {
        Self { inode, sector }
    }

    /// A number that orders as the position does, and is compared without a branch.
    #[inline]
    pub fn order(&self) -> u128 {
        order(u64::from(self.inode), self.sector)
    }
}

/// The place of a sector in the order of all keys.
#[inline]
fn order(inode: u64, sector: u64) -> u128 {
    (u128::from(inode) << 64) | u128::from(sector)
}

/// A key with at most one pointer.
///
/// # Invariants
///
/// Bit 63 of `high` is set, the number of pointers in `high` is 0 or 1 and `ptr` is 0 when it is 0, for every
/// key made by this crate (a zeroed one, as in an unused slot, reads as size 0 without pointer).
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromZeros)]
#[repr(C)]
pub struct Key {
    /// Inode, size and flags, as on disk.
    pub high: u64,
    /// End sector, exclusive.
    pub low: u64,
    /// The pointer, or 0.
    pub ptr: u64,
}

impl Key {
    /// Behind every other key; the key of a root and of the last node of each level.
    pub const MAX: Self = Self {
        high: RELIC | INODE_MASK,
        low: u64::MAX >> 1,
        ptr: 0,
    };
    /// Before every other key.
    pub const ZERO: Self = Self {
        high: RELIC,
        low: 0,
        ptr: 0,
    };

    /// Makes the key of sectors `start .. start + size` of `inode`; `size` is limited to 65535.
    #[inline]
    pub fn extent(inode: u32, start: u64, size: u32, dirty: bool, ptr: Option<Ptr>) -> Self {
        let size = u64::from(size.min(MAX_SIZE));
        let mut k = Self::from_words(
            (u64::from(inode) & INODE_MASK) | (size << SIZE_SHIFT),
            start.saturating_add(size),
            ptr,
        );
        k.set_dirty(dirty);
        k
    }

    /// Makes the key of a btree node that ends at `end`, of `sectors` sectors at `ptr`.
    #[inline]
    pub fn node(end: Pos, sectors: u32, ptr: Ptr) -> Self {
        Self::from_words(
            (u64::from(end.inode) & INODE_MASK) | (u64::from(sectors.min(MAX_SIZE)) << SIZE_SHIFT),
            end.sector,
            Some(ptr),
        )
    }

    /// Makes the key that tells that the node of key `self` was freed: position 0, next generation.
    ///
    /// C: `make_btree_freeing_key`. `next_gen` is the generation of the bucket after it was freed.
    #[inline]
    pub fn freeing(&self, next_gen: u8) -> Self {
        let mut k = *self;
        k.high &= !INODE_MASK;
        k.low = 0;
        k.ptr = Ptr(k.ptr).with_gen(next_gen).0;
        k
    }

    /// Puts a key together from its first word (flags kept, pointers counted anew) and its end.
    #[inline]
    pub fn from_words(high: u64, low: u64, ptr: Option<Ptr>) -> Self {
        const KEPT: u64 = INODE_MASK | (SIZE_MASK << SIZE_SHIFT) | DIRTY;
        // INVARIANT: bit 63 is set and the number of pointers says whether there is one.
        match ptr {
            Some(p) => Self {
                high: RELIC | (high & KEPT) | (1 << PTRS_SHIFT),
                low,
                ptr: p.0,
            },
            None => Self {
                high: RELIC | (high & KEPT),
                low,
                ptr: 0,
            },
        }
    }

    /// Slot of the device in the uuid table.
    #[inline]
    pub const fn inode(&self) -> u32 {
        num::low_u32(self.high & INODE_MASK)
    }

    /// Sectors covered, at most 65535.
    #[inline]
    pub const fn size(&self) -> u32 {
        num::low_u32((self.high >> SIZE_SHIFT) & SIZE_MASK)
    }

    /// Sets the size alone.
    #[inline]
    fn set_size(&mut self, size: u64) {
        self.high = (self.high & !(SIZE_MASK << SIZE_SHIFT)) | ((size & SIZE_MASK) << SIZE_SHIFT);
    }

    /// Whether the cache holds the only copy.
    #[inline]
    pub const fn dirty(&self) -> bool {
        self.high & DIRTY != 0
    }

    /// Sets the dirty flag.
    #[inline]
    pub fn set_dirty(&mut self, dirty: bool) {
        if dirty {
            self.high |= DIRTY;
        } else {
            self.high &= !DIRTY;
        }
    }

    /// End sector, exclusive.
    #[inline]
    pub const fn end(&self) -> u64 {
        self.low
    }

    /// First sector; 0 if the size is larger than the end.
    #[inline]
    pub const fn start(&self) -> u64 {
        self.low
            .saturating_sub((self.high >> SIZE_SHIFT) & SIZE_MASK)
    }

    /// Position of the end: what keys are ordered by.
    #[inline]
    pub const fn pos(&self) -> Pos {
        Pos::new(self.inode(), self.low)
    }

    /// As [`Pos::order`] of [`Self::pos`].
    #[inline]
    pub fn order(&self) -> u128 {
        order(self.high & INODE_MASK, self.low)
    }

    /// Position of the start.
    #[inline]
    pub const fn start_pos(&self) -> Pos {
        Pos::new(self.inode(), self.start())
    }

    /// Number of pointers: 0 or 1.
    #[inline]
    pub const fn ptrs(&self) -> u32 {
        num::low_u32((self.high >> PTRS_SHIFT) & 1)
    }

    /// The pointer.
    #[inline]
    pub fn ptr(&self) -> Option<Ptr> {
        (self.ptrs() != 0).then_some(Ptr(self.ptr))
    }

    /// Words of this key on disk: 2 or 3.
    #[inline]
    pub const fn words(&self) -> usize {
        if self.ptrs() != 0 {
            3
        } else {
            2
        }
    }

    /// Drops the sectors before `new_start`; nothing happens if the key starts there or later.
    #[inline]
    pub fn cut_front(&mut self, new_start: u64) {
        let start = self.start();
        if new_start <= start {
            return;
        }
        let new_start = new_start.min(self.low);
        if self.ptrs() != 0 {
            self.ptr = Ptr(self.ptr).advance(new_start.wrapping_sub(start)).0;
        }
        self.set_size(self.low.wrapping_sub(new_start));
    }

    /// Drops the sectors from `new_end` on; nothing happens if the key ends there or before.
    #[inline]
    pub fn cut_back(&mut self, new_end: u64) {
        let start = self.start();
        if new_end >= self.low {
            return;
        }
        let new_end = new_end.max(start);
        self.set_size(new_end.wrapping_sub(start));
        self.low = new_end;
    }

    /// The part of this key within `start..end`; its size is 0 if there is none.
    #[inline]
    pub fn piece(&self, start: u64, end: u64) -> Self {
        let mut k = *self;
        k.cut_front(start);
        k.cut_back(end);
        k
    }

    /// Joins `right` to this key if it goes on exactly where this one ends, on the device and in the cache.
    ///
    /// Both must be equally dirty and in the same bucket (of `bucket_sectors`, a power of two), and the sum
    /// must fit into a key. Check keys are not joined. True if `self` covers `right` now.
    #[inline]
    pub fn try_merge(&mut self, right: &Self, bucket_sectors: u32) -> bool {
        const HEADER: u64 = !(SIZE_MASK << SIZE_SHIFT);
        if self.high & HEADER != right.high & HEADER || self.low != right.start() {
            return false;
        }
        let size = self.size().wrapping_add(right.size());
        if size > MAX_SIZE {
            return false;
        }
        if self.ptrs() != 0 {
            let (l, r) = (Ptr(self.ptr), Ptr(right.ptr));
            let bucket_mask = u64::from(bucket_sectors.wrapping_sub(1));
            // A carry out of the sector number, which is none of one bucket, fails the second test.
            if l.0.wrapping_add(u64::from(self.size()) << 8) != r.0
                || (l.sector() ^ r.sector()) & !bucket_mask != 0
                || l.is_check()
            {
                return false;
            }
        }
        self.set_size(u64::from(size));
        self.low = right.low;
        true
    }

    /// Whether this key maps its sectors to where `expected` maps (or would map) them, equally dirty.
    ///
    /// The rule of REPLACE: pointers are equal, generation included, after the distance of the two starts is
    /// taken off. The ranges are not compared. A key without pointer never matches.
    ///
    /// C: `bch_extent_insert_fixup`. It also wants this key to lie within the range of `expected`, since it
    /// looks at whole keys; here the caller looks at the common sectors only.
    #[inline]
    pub fn matches_piece(&self, expected: &Self) -> bool {
        let (Some(have), Some(want)) = (self.ptr(), expected.ptr()) else {
            return false;
        };
        self.inode() == expected.inode()
            && self.dirty() == expected.dirty()
            && want.advance(self.start().wrapping_sub(expected.start())) == have
    }

    /// Whether a leaf may hold this key: it covers something, does not start before sector 0, and its
    /// pointer, if it is one to a cache, lies within one bucket.
    #[inline]
    pub fn leaf_ok(&self, geo: &crate::geometry::Geometry) -> bool {
        self.size() != 0
            && u64::from(self.size()) <= self.low
            && self
                .ptr()
                .is_none_or(|p| !p.is_available() || geo.ptr_ok(p, self.size()))
    }

    /// Whether this can be the key of a btree node or of the uuid bucket.
    pub fn node_ok(&self, geo: &crate::geometry::Geometry) -> bool {
        self.size() != 0 && !self.dirty() && self.ptr().is_some_and(|p| geo.ptr_ok(p, self.size()))
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// The form in which the C driver prints extents.
impl core::fmt::Display for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}:{} len {} -> [",
            self.inode(),
            self.start(),
            self.size()
        )?;
        if let Some(p) = self.ptr() {
            write!(f, "{p}")?;
        }
        f.write_str("]")?;
        if self.dirty() {
            f.write_str(" dirty")?;
        }
        Ok(())
    }
}
