// SPDX-License-Identifier: GPL-2.0

//! The superblock of cache and backing devices.
//!
//! C reference: `drivers/md/bcache/super.c` (`read_super`, `__write_super`), `features.h`.

use core::mem::{
    offset_of,
    size_of, //
};

use zerocopy::{
    little_endian::{
        U16,
        U32,
        U64, //
    },
    FromBytes, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

use super::checksum::{
    bch_crc64,
    Crc64, //
};
use super::uuid::{
    Uuid,
    LABEL_BYTES, //
};
use crate::geometry::{
    BadGeometry,
    Geometry, //
};
use crate::num;

/// Sector of the superblock.
pub const SB_SECTOR: u64 = 8;

/// Bytes that are read and written there.
pub const SB_BYTES: usize = 4096;

/// First data sector of backing devices, unless the superblock says otherwise.
pub const BDEV_DATA_START: u64 = 16;

/// Most journal buckets.
pub const MAX_JOURNAL_BUCKETS: usize = 256;

/// Marks a bcache superblock.
const MAGIC: [u8; 16] = [
    0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81,
];

/// Most devices of a cache set.
const MAX_IN_SET: u16 = 8;

/// Buckets that a cache has to have besides superblock, journal and two sets of priorities: the allocator's reserves, and some to
/// allocate.
const MIN_USABLE_BUCKETS: u64 = 64;

/// Incompatible feature: 16 more bits of the bucket size. The devices of such a cache are read-only.
const INCOMPAT_OBSO_LARGE_BUCKET: u64 = 1;
/// Incompatible feature: the bucket size is stored as its logarithm.
const INCOMPAT_LOG_LARGE_BUCKET: u64 = 2;

/// Version of cache devices as `make-bcache` writes it; written back as [`CDEV_WITH_UUID`].
pub const CDEV: u64 = 0;
/// Version of backing devices without data offset.
pub const BDEV: u64 = 1;
/// Version of cache devices.
pub const CDEV_WITH_UUID: u64 = 3;
/// Version of backing devices with data offset.
pub const BDEV_WITH_OFFSET: u64 = 4;
/// Version of cache devices with feature words.
pub const CDEV_WITH_FEATURES: u64 = 5;
/// Version of backing devices with feature words, which are not looked at.
pub const BDEV_WITH_FEATURES: u64 = 6;

/// The superblock as stored.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Disk {
    csum: U64,
    offset: U64,
    version: U64,
    magic: [u8; 16],
    uuid: Uuid,
    set_uuid: Uuid,
    label: [u8; LABEL_BYTES],
    flags: U64,
    seq: U64,
    feature_compat: U64,
    feature_incompat: U64,
    feature_ro_compat: U64,
    pad: [U64; 5],
    nbuckets: U64,
    block_size: U16,
    bucket_size: U16,
    nr_in_set: U16,
    nr_this_dev: U16,
    last_mount: U32,
    first_bucket: U16,
    keys: U16,
    d: [U64; MAX_JOURNAL_BUCKETS],
    bucket_size_hi: U16,
}

const _: () = assert!(size_of::<Disk>() == 2258);

/// Offsets of the fields of the superblock, for the comparison with C's header by the kernel crate.
pub const SB_LAYOUT: [usize; 19] = [
    offset_of!(Disk, csum),
    offset_of!(Disk, offset),
    offset_of!(Disk, version),
    offset_of!(Disk, magic),
    offset_of!(Disk, uuid),
    offset_of!(Disk, set_uuid),
    offset_of!(Disk, label),
    offset_of!(Disk, flags),
    offset_of!(Disk, seq),
    offset_of!(Disk, feature_compat),
    offset_of!(Disk, feature_incompat),
    offset_of!(Disk, feature_ro_compat),
    offset_of!(Disk, pad),
    offset_of!(Disk, nbuckets),
    offset_of!(Disk, last_mount),
    offset_of!(Disk, first_bucket),
    offset_of!(Disk, keys),
    offset_of!(Disk, d),
    offset_of!(Disk, bucket_size_hi),
];

/// Bytes before the list of journal buckets.
const FIXED_BYTES: usize = 208;

/// Why a superblock is not accepted; printed with the words of the C driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadSuperblock {
    /// It does not carry its own sector number.
    Offset,
    /// Not a superblock of bcache.
    Magic,
    /// Wrong checksum.
    Checksum,
    /// The device or its set has no identity.
    Uuid,
    /// Blocks are smaller than those of the device.
    BlockBelowDevice,
    /// A backing device whose data would begin within the superblock.
    DataOffset,
    /// Unknown bits in the word of compatible features.
    Compat,
    /// Unknown bits in the word of read-only compatible features.
    RoCompat,
    /// Unknown bits in the word of incompatible features.
    Incompat,
    /// More journal buckets than the list or the device has.
    TooManyJournalBuckets,
    /// A journal of one bucket, which can never be begun anew.
    TooFewJournalBuckets,
    /// More buckets than can be numbered.
    TooManyBuckets,
    /// Fewer than 128 buckets; or fewer than [`MIN_USABLE_BUCKETS`] besides the superblock, two sets of priorities and
    /// the journal, which is the one to be made if the cache is not formatted yet (no SYNC).
    NotEnoughBuckets,
    /// The block size is no power of two.
    BlockSize,
    /// The block size is above one page.
    BlockAbovePage,
    /// The bucket size is no power of two.
    BucketSize,
    /// The bucket size is below one page.
    BucketBelowPage,
    /// The disk is smaller than its buckets.
    DeviceTooSmall,
    /// Nonsense about the number of devices in the set.
    DeviceNumber,
    /// Journal buckets are not the first buckets in order.
    JournalNotSequential,
    /// The first bucket overlaps the superblock.
    FirstBucket,
    /// A version this driver does not know.
    Version,
}

impl core::fmt::Display for BadSuperblock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Offset => "Not a bcache superblock (bad offset)",
            Self::Magic => "Not a bcache superblock (bad magic)",
            Self::Checksum => "Bad checksum",
            Self::Uuid => "Bad UUID",
            Self::BlockBelowDevice => "Superblock block size smaller than device block size",
            Self::DataOffset => "Bad data offset",
            Self::Compat => "Unsupported compatible feature found",
            Self::RoCompat => "Unsupported read-only compatible feature found",
            Self::Incompat => "Unsupported incompatible feature found",
            Self::TooManyJournalBuckets => "Too many journal buckets",
            Self::TooFewJournalBuckets => "Too few journal buckets",
            Self::TooManyBuckets => "Too many buckets",
            Self::NotEnoughBuckets => "Not enough buckets",
            Self::BlockSize => "Bad block size (not power of 2)",
            Self::BlockAbovePage => "Bad block size (larger than page size)",
            Self::BucketSize => "Bad bucket size (not power of 2)",
            Self::BucketBelowPage => "Bad bucket size (smaller than page size)",
            Self::DeviceTooSmall => "Invalid superblock: device too small",
            Self::DeviceNumber => "Bad cache device number in set",
            Self::JournalNotSequential => "Journal buckets not sequential",
            Self::FirstBucket => "Invalid superblock: first bucket comes before end of super",
            Self::Version => "Unsupported superblock version",
        })
    }
}

/// State of a backing device (`BDEV_STATE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BdevState {
    /// Not attached.
    None,
    /// Attached, nothing dirty in the cache.
    Clean,
    /// Attached, the cache holds newer data.
    Dirty,
    /// Was started without its cache, whose contents must not be used any more.
    Stale,
}

/// What a backing device's writes do (`BDEV_CACHE_MODE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheMode {
    /// Written to both devices.
    Writethrough,
    /// Written to the cache, later to the backing device.
    Writeback,
    /// Written to the backing device only.
    Writearound,
    /// Neither reads nor writes use the cache.
    None,
}

impl CacheMode {
    /// The mode of a number on disk.
    pub fn from_raw(v: u64) -> Option<Self> {
        match v {
            0 => Some(Self::Writethrough),
            1 => Some(Self::Writeback),
            2 => Some(Self::Writearound),
            3 => Some(Self::None),
            _ => None,
        }
    }

    /// The number on disk.
    pub fn raw(self) -> u64 {
        match self {
            Self::Writethrough => 0,
            Self::Writeback => 1,
            Self::Writearound => 2,
            Self::None => 3,
        }
    }
}

/// Which bucket is given up first (`CACHE_REPLACEMENT`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replacement {
    /// The one with the least priority.
    Lru,
    /// In turn.
    Fifo,
    /// Any.
    Random,
}

/// Bit of a cache device's flags: journal and btree are valid.
const FLAG_SYNC: u64 = 1;
/// Place and size of the replacement policy in a cache device's flags.
const REPLACEMENT: (u32, u64) = (2, 7);
/// Place and size of the cache mode in a backing device's flags.
const CACHE_MODE: (u32, u64) = (0, 15);
/// Place and size of the state in a backing device's flags.
const STATE: (u32, u64) = (61, 3);

/// A superblock whose values were checked, in host form.
#[derive(Clone, Debug)]
pub struct Superblock {
    /// Sector of the superblock; always [`SB_SECTOR`].
    pub offset: u64,
    /// Version: kind of device and features.
    pub version: u64,
    /// The device.
    pub uuid: Uuid,
    /// The cache set; nil if a backing device is not attached.
    pub set_uuid: Uuid,
    /// Name given by the user; NUL-terminated if shorter.
    pub label: [u8; LABEL_BYTES],
    /// Flags; see the methods.
    pub flags: u64,
    /// Counts the writes of a cache device's superblock.
    pub seq: u64,
    /// Compatible features.
    pub feature_compat: u64,
    /// Incompatible features.
    pub feature_incompat: u64,
    /// Read-only compatible features.
    pub feature_ro_compat: u64,
    /// Buckets of a cache device; 0 for backing devices.
    pub nbuckets: u64,
    /// First data sector of a backing device; 0 for cache devices.
    pub data_offset: u64,
    /// Sectors of a block.
    pub block_size: u16,
    /// Sectors of a bucket; not checked for backing devices.
    pub bucket_size: u32,
    /// Devices in the set.
    pub nr_in_set: u16,
    /// Number of this device in the set.
    pub nr_this_dev: u16,
    /// When it was registered last, Unix seconds. The driver sets it.
    pub last_mount: u32,
    /// First usable bucket.
    pub first_bucket: u16,
    /// Journal buckets.
    pub keys: u16,
    /// Their numbers; the first `keys` count.
    pub d: [u64; MAX_JOURNAL_BUCKETS],
}

/// Checksum of a stored superblock with `keys` journal buckets.
fn checksum(crc: Crc64, page: &[u8], keys: u16) -> Option<u64> {
    let end = usize::from(keys)
        .checked_mul(size_of::<U64>())?
        .checked_add(FIXED_BYTES)?;
    Some(bch_crc64(crc, page.get(size_of::<U64>()..end)?))
}

impl Superblock {
    /// Reads a superblock; `page` is what is at [`SB_SECTOR`].
    ///
    /// `logical_block_size` of the device is in bytes, `disk_sectors` the size of the whole disk.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the C driver.
    pub fn parse(
        crc: Crc64,
        page: &[u8; SB_BYTES],
        logical_block_size: u32,
        disk_sectors: u64,
    ) -> Result<Self, BadSuperblock> {
        use BadSuperblock as Bad;

        let (disk, _) = Disk::ref_from_prefix(page.as_slice()).map_err(|_| Bad::Magic)?;
        if disk.offset.get() != SB_SECTOR {
            return Err(Bad::Offset);
        }
        if disk.magic != MAGIC {
            return Err(Bad::Magic);
        }
        // More journal buckets than the page can list have no checksum; C reads behind the page.
        match checksum(crc, page, disk.keys.get()) {
            Some(csum) if csum == disk.csum.get() => {}
            _ => return Err(Bad::Checksum),
        }
        if disk.uuid.is_nil() {
            return Err(Bad::Uuid);
        }
        if u32::from(disk.block_size.get()) << num::SECTOR_SHIFT < logical_block_size {
            return Err(Bad::BlockBelowDevice);
        }
        let mut sb = Self::from_disk(disk);
        match sb.version {
            BDEV => sb.data_offset = BDEV_DATA_START,
            BDEV_WITH_OFFSET | BDEV_WITH_FEATURES => {
                if sb.data_offset < BDEV_DATA_START {
                    return Err(Bad::DataOffset);
                }
            }
            CDEV | CDEV_WITH_UUID => sb.check_cache(disk_sectors)?,
            CDEV_WITH_FEATURES => {
                sb.check_features()?;
                sb.bucket_size = sb.large_bucket_size(disk);
                sb.check_cache(disk_sectors)?;
            }
            _ => return Err(Bad::Version),
        }
        Ok(sb)
    }

    /// Takes all fields over, unchecked.
    fn from_disk(disk: &Disk) -> Self {
        let mut sb = Self {
            offset: disk.offset.get(),
            version: disk.version.get(),
            uuid: disk.uuid,
            set_uuid: disk.set_uuid,
            label: disk.label,
            flags: disk.flags.get(),
            seq: disk.seq.get(),
            feature_compat: disk.feature_compat.get(),
            feature_incompat: disk.feature_incompat.get(),
            feature_ro_compat: disk.feature_ro_compat.get(),
            nbuckets: 0,
            data_offset: 0,
            block_size: disk.block_size.get(),
            bucket_size: u32::from(disk.bucket_size.get()),
            nr_in_set: disk.nr_in_set.get(),
            nr_this_dev: disk.nr_this_dev.get(),
            last_mount: disk.last_mount.get(),
            first_bucket: disk.first_bucket.get(),
            keys: disk.keys.get(),
            d: disk.d.map(U64::get),
        };
        // The two share their place.
        if sb.is_bdev() {
            sb.data_offset = disk.nbuckets.get();
        } else {
            sb.nbuckets = disk.nbuckets.get();
        }
        sb
    }

    /// Refuses features that this driver does not know.
    fn check_features(&self) -> Result<(), BadSuperblock> {
        if self.feature_compat != 0 {
            return Err(BadSuperblock::Compat);
        }
        if self.feature_ro_compat != 0 {
            return Err(BadSuperblock::RoCompat);
        }
        let known = INCOMPAT_OBSO_LARGE_BUCKET | INCOMPAT_LOG_LARGE_BUCKET;
        if self.feature_incompat & !known != 0 {
            return Err(BadSuperblock::Incompat);
        }
        Ok(())
    }

    /// Bucket size where feature words exist; 0 (which is refused later) if it does not fit.
    fn large_bucket_size(&self, disk: &Disk) -> u32 {
        let low = u32::from(disk.bucket_size.get());
        if self.feature_incompat & INCOMPAT_LOG_LARGE_BUCKET != 0 {
            1u32.checked_shl(low).unwrap_or(0)
        } else if self.feature_incompat & INCOMPAT_OBSO_LARGE_BUCKET != 0 {
            low | (u32::from(disk.bucket_size_hi.get()) << 16)
        } else {
            low
        }
    }

    /// The checks for cache devices.
    fn check_cache(&self, disk_sectors: u64) -> Result<(), BadSuperblock> {
        use BadSuperblock as Bad;

        let journal = self
            .d
            .get(..usize::from(self.keys))
            .ok_or(Bad::TooManyJournalBuckets)?;
        // The C driver allows more here and fails later, when it cannot allocate its tables.
        if self.nbuckets > u64::from(i32::MAX.unsigned_abs()) {
            return Err(Bad::TooManyBuckets);
        }
        if self.nbuckets < 128 {
            return Err(Bad::NotEnoughBuckets);
        }
        if !self.block_size.is_power_of_two() {
            return Err(Bad::BlockSize);
        }
        if u32::from(self.block_size) > num::PAGE_SECTORS {
            return Err(Bad::BlockAbovePage);
        }
        if !self.bucket_size.is_power_of_two() {
            return Err(Bad::BucketSize);
        }
        if self.bucket_size < num::PAGE_SECTORS {
            return Err(Bad::BucketBelowPage);
        }
        if disk_sectors < u64::from(self.bucket_size).saturating_mul(self.nbuckets) {
            return Err(Bad::DeviceTooSmall);
        }
        if self.set_uuid.is_nil() {
            return Err(Bad::Uuid);
        }
        if self.nr_in_set <= self.nr_this_dev || self.nr_in_set > MAX_IN_SET {
            return Err(Bad::DeviceNumber);
        }
        let first = u64::from(self.first_bucket);
        if !(first..).zip(journal).all(|(want, have)| *have == want) {
            return Err(Bad::JournalNotSequential);
        }
        if first.saturating_add(u64::from(self.keys)) > self.nbuckets {
            return Err(Bad::TooManyJournalBuckets);
        }
        // The C driver takes these, and waits for a bucket, or for room in its journal, for ever.
        let geo = self.geometry().map_err(|_| Bad::NotEnoughBuckets)?;
        let behind = self.nbuckets.saturating_sub(first);
        if behind
            < self
                .buckets_for_metadata(&geo)
                .saturating_add(MIN_USABLE_BUCKETS)
        {
            return Err(Bad::NotEnoughBuckets);
        }
        if self.sync() && self.keys == 1 {
            return Err(Bad::TooFewJournalBuckets);
        }
        if first.saturating_mul(u64::from(self.bucket_size)) < BDEV_DATA_START {
            return Err(Bad::FirstBucket);
        }
        Ok(())
    }

    /// Buckets of the journal, or of the one that a fresh cache gets, and of two sets of priorities.
    fn buckets_for_metadata(&self, geo: &Geometry) -> u64 {
        let journal = match self.sync() {
            true => u32::from(self.keys),
            false => geo.njournal_default(),
        };
        u64::from(geo.prio_buckets())
            .saturating_mul(2)
            .saturating_add(u64::from(journal))
    }

    /// Writes the superblock into `page`, which must hold what was read from the device: what the driver
    /// does not know stays. The checksum is computed anew.
    ///
    /// Magic, sizes, `data_offset`, `nbuckets` and the numbers in the set are never written. The feature
    /// words and `first_bucket` are written for cache devices only: the C driver writes uninitialised
    /// memory there for backing devices.
    pub fn encode_into(&self, crc: Crc64, page: &mut [u8; SB_BYTES]) {
        let Ok((disk, _)) = Disk::mut_from_prefix(page.as_mut_slice()) else {
            return;
        };
        disk.offset.set(self.offset);
        disk.version.set(self.version);
        disk.uuid = self.uuid;
        disk.set_uuid = self.set_uuid;
        disk.label = self.label;
        disk.flags.set(self.flags);
        disk.seq.set(self.seq);
        disk.last_mount.set(self.last_mount);
        let keys = self.keys.min(num::u16_from_u32_sat(num::u32_from_usize_sat(
            MAX_JOURNAL_BUCKETS,
        )));
        disk.keys.set(keys);
        if !self.is_bdev() {
            disk.first_bucket.set(self.first_bucket);
            for (to, from) in disk.d.iter_mut().zip(&self.d).take(usize::from(keys)) {
                to.set(*from);
            }
        }
        if self.version == CDEV_WITH_FEATURES {
            disk.feature_compat.set(self.feature_compat);
            disk.feature_incompat.set(self.feature_incompat);
            disk.feature_ro_compat.set(self.feature_ro_compat);
        }
        let Some(csum) = checksum(crc, page, keys) else {
            return;
        };
        if let Ok((disk, _)) = Disk::mut_from_prefix(page.as_mut_slice()) {
            disk.csum.set(csum);
        }
    }

    /// Sizes of a cache device.
    ///
    /// # Errors
    ///
    /// Not for a superblock of a cache device that [`Self::parse`] accepted.
    pub fn geometry(&self) -> Result<Geometry, BadGeometry> {
        Geometry::new(
            self.nbuckets,
            self.bucket_size,
            self.block_size,
            self.first_bucket,
        )
    }

    /// Whether this is a backing device.
    pub fn is_bdev(&self) -> bool {
        matches!(self.version, BDEV | BDEV_WITH_OFFSET | BDEV_WITH_FEATURES)
    }

    /// What the magic numbers of all other structures are mixed with.
    pub fn set_magic(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.set_uuid.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether the devices of this cache must be read-only.
    pub fn has_obso_large_bucket(&self) -> bool {
        self.version == CDEV_WITH_FEATURES
            && self.feature_incompat & INCOMPAT_OBSO_LARGE_BUCKET != 0
    }

    /// Whether the bucket size is stored as its logarithm ("large_bucket").
    pub fn has_large_bucket(&self) -> bool {
        self.version == CDEV_WITH_FEATURES && self.feature_incompat & INCOMPAT_LOG_LARGE_BUCKET != 0
    }

    /// Reads a field of the flags.
    fn field(&self, (shift, mask): (u32, u64)) -> u64 {
        self.flags.wrapping_shr(shift) & mask
    }

    /// Changes a field of the flags.
    fn set_field(&mut self, (shift, mask): (u32, u64), v: u64) {
        self.flags &= !mask.wrapping_shl(shift);
        self.flags |= (v & mask).wrapping_shl(shift);
    }

    /// Cache device: whether journal and btree are valid.
    pub fn sync(&self) -> bool {
        self.flags & FLAG_SYNC != 0
    }

    /// Cache device: says whether journal and btree are valid.
    pub fn set_sync(&mut self, valid: bool) {
        if valid {
            self.flags |= FLAG_SYNC;
        } else {
            self.flags &= !FLAG_SYNC;
        }
    }

    /// Cache device: which bucket is given up first.
    pub fn replacement(&self) -> Replacement {
        match self.field(REPLACEMENT) {
            1 => Replacement::Fifo,
            2 => Replacement::Random,
            _ => Replacement::Lru,
        }
    }

    /// Cache device: says which bucket is given up first.
    pub fn set_replacement(&mut self, r: Replacement) {
        let v = match r {
            Replacement::Lru => 0,
            Replacement::Fifo => 1,
            Replacement::Random => 2,
        };
        self.set_field(REPLACEMENT, v);
    }

    /// Backing device: what writes do. Unknown modes act like writethrough, as in C.
    pub fn cache_mode(&self) -> CacheMode {
        CacheMode::from_raw(self.field(CACHE_MODE)).unwrap_or(CacheMode::Writethrough)
    }

    /// Backing device: says what writes do.
    pub fn set_cache_mode(&mut self, mode: CacheMode) {
        self.set_field(CACHE_MODE, mode.raw());
    }

    /// Backing device: its state.
    pub fn state(&self) -> BdevState {
        match self.field(STATE) {
            1 => BdevState::Clean,
            2 => BdevState::Dirty,
            3 => BdevState::Stale,
            _ => BdevState::None,
        }
    }

    /// Backing device: sets its state.
    pub fn set_state(&mut self, state: BdevState) {
        let v = match state {
            BdevState::None => 0,
            BdevState::Clean => 1,
            BdevState::Dirty => 2,
            BdevState::Stale => 3,
        };
        self.set_field(STATE, v);
    }
}
