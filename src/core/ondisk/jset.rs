// SPDX-License-Identifier: GPL-2.0

//! Journal entries.
//!
//! C reference: `drivers/md/bcache/bcache_ondisk.h` (`struct jset`), `journal.c` (`journal_read_bucket`).

use core::mem::size_of;

use zerocopy::{
    little_endian::{
        U16,
        U32,
        U64, //
    },
    FromBytes,
    IntoBytes, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

use super::bkey::{
    self,
    Keys,
    PaddedKey, //
};
use super::checksum::{
    bch_crc64,
    Crc64, //
};
use super::NoSpace;
use crate::key::Key;
use crate::num;

/// Magic of journal entries before the set's is mixed in.
pub const JSET_MAGIC: u64 = 0x2452_35c1_a362_5032;

/// Version written; 0 means that the uuid bucket has the old format.
pub const JSET_VERSION: u32 = 1;

/// Devices with a place in the header.
pub const MAX_CACHES: usize = 8;

/// Header as stored.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct JsetHeader {
    /// Checksum of all that follows, up to the last key.
    pub csum: U64,
    /// [`JSET_MAGIC`] mixed with the magic of the set.
    pub magic: U64,
    /// Number of this entry.
    pub seq: U64,
    /// Format version.
    pub version: U32,
    /// Words of keys.
    pub keys: U32,
    /// Oldest entry that is still needed.
    pub last_seq: U64,
    /// Where the uuids are.
    pub uuid_bucket: PaddedKey,
    /// Where the root is.
    pub btree_root: PaddedKey,
    /// Level of the root, 0 for a leaf.
    pub btree_level: U16,
    /// Unused.
    pub pad: [U16; 3],
    /// First priority bucket of each device.
    pub prio_bucket: [U64; MAX_CACHES],
}

/// Bytes of the header.
pub const JSET_HEADER_BYTES: usize = size_of::<JsetHeader>();

const _: () = assert!(JSET_HEADER_BYTES == 240);

/// Why bytes are no journal entry. All of them end the scan of a journal bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadJset {
    /// No entry of this cache set here.
    Magic,
    /// The entry is larger than the slice given (or the slice cannot even hold a header).
    Short,
    /// The entry is larger than the limit given.
    TooBig,
    /// Wrong checksum.
    Checksum,
    /// The keys do not fill the entry exactly.
    Keys,
}

impl core::fmt::Display for BadJset {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Magic => "bad magic",
            Self::Short => "truncated",
            Self::TooBig => "too big",
            Self::Checksum => "bad csum",
            Self::Keys => "bad keys",
        })
    }
}

/// A journal entry whose checksum and keys were verified.
#[derive(Clone, Debug)]
pub struct Jset<'a> {
    /// Number of this entry.
    pub seq: u64,
    /// Oldest entry that is still needed.
    pub last_seq: u64,
    /// Format version; below 1 the uuid bucket has the old format.
    pub version: u32,
    /// Where the uuids are; without pointer if it was garbage.
    pub uuid_bucket: Key,
    /// Where the root is; without pointer if it was garbage.
    pub btree_root: Key,
    /// Level of the root, 0 for a leaf.
    pub btree_level: u16,
    /// First priority bucket of each device.
    pub prio_bucket: [u64; MAX_CACHES],
    /// The keys as stored.
    words: &'a [U64],
}

impl<'a> Jset<'a> {
    /// The keys in the order of insertion.
    pub fn keys(&self) -> Keys<'a> {
        Keys::new(self.words)
    }

    /// Words of the keys.
    pub fn key_words(&self) -> usize {
        self.words.len()
    }

    /// Bytes of header and keys.
    pub fn bytes(&self) -> usize {
        self.words
            .len()
            .saturating_mul(size_of::<U64>())
            .saturating_add(JSET_HEADER_BYTES)
    }

    /// Bytes the entry takes in the journal.
    pub fn bytes_rounded(&self, block_bytes: usize) -> usize {
        num::round_up(self.bytes(), block_bytes).unwrap_or(self.bytes())
    }
}

/// Reads the journal entry at the start of `block`, which may go on behind it.
///
/// `set_magic` is that of the cache set, `max_bytes` the largest entry to accept.
///
/// # Errors
///
/// Says what is wrong first, in the order magic, size, checksum, keys.
pub fn parse_jset(
    crc: Crc64,
    block: &[u8],
    set_magic: u64,
    max_bytes: usize,
) -> Result<Jset<'_>, BadJset> {
    let (head, rest) = JsetHeader::ref_from_prefix(block).map_err(|_| BadJset::Short)?;
    if head.magic.get() != set_magic ^ JSET_MAGIC {
        return Err(BadJset::Magic);
    }
    let nr = num::usize_from_u32(head.keys.get());
    let bytes = nr
        .checked_mul(size_of::<U64>())
        .and_then(|n| n.checked_add(JSET_HEADER_BYTES))
        .ok_or(BadJset::TooBig)?;
    if bytes > max_bytes {
        return Err(BadJset::TooBig);
    }
    let summed = block.get(size_of::<U64>()..bytes).ok_or(BadJset::Short)?;
    if bch_crc64(crc, summed) != head.csum.get() {
        return Err(BadJset::Checksum);
    }
    let (words, _) = <[U64]>::ref_from_prefix_with_elems(rest, nr).map_err(|_| BadJset::Short)?;
    bkey::count_keys(words).map_err(|_| BadJset::Keys)?;
    Ok(Jset {
        seq: head.seq.get(),
        last_seq: head.last_seq.get(),
        version: head.version.get(),
        uuid_bucket: head.uuid_bucket.key(),
        btree_root: head.btree_root.key(),
        btree_level: head.btree_level.get(),
        prio_bucket: head.prio_bucket.map(U64::get),
        words,
    })
}

/// What goes into the header of a new entry besides the keys.
#[derive(Clone, Copy, Debug)]
pub struct JsetFields {
    /// Magic of the cache set (not yet mixed).
    pub set_magic: u64,
    /// Number of the entry.
    pub seq: u64,
    /// Oldest entry that is still needed.
    pub last_seq: u64,
    /// Where the uuids are.
    pub uuid_bucket: Key,
    /// Where the root is.
    pub btree_root: Key,
    /// Level of the root.
    pub btree_level: u16,
    /// First priority bucket of each device.
    pub prio_bucket: [u64; MAX_CACHES],
}

/// Writes an entry with the key words `words` to `out`, checksum included; gives header and keys in bytes.
///
/// What follows the entry in its last page is zeroed. The caller rounds the result up to blocks.
///
/// # Errors
///
/// [`NoSpace`] if `out` is too small; what it holds then is unspecified.
pub fn encode_jset(
    crc: Crc64,
    out: &mut [u8],
    fields: &JsetFields,
    words: &[u64],
) -> Result<usize, NoSpace> {
    let bytes = words
        .len()
        .checked_mul(size_of::<U64>())
        .and_then(|n| n.checked_add(JSET_HEADER_BYTES))
        .ok_or(NoSpace)?;
    let head = JsetHeader {
        csum: U64::ZERO,
        magic: U64::new(fields.set_magic ^ JSET_MAGIC),
        seq: U64::new(fields.seq),
        version: U32::new(JSET_VERSION),
        keys: U32::new(u32::try_from(words.len()).map_err(|_| NoSpace)?),
        last_seq: U64::new(fields.last_seq),
        uuid_bucket: PaddedKey::new(&fields.uuid_bucket),
        btree_root: PaddedKey::new(&fields.btree_root),
        btree_level: U16::new(fields.btree_level),
        pad: [U16::ZERO; 3],
        prio_bucket: fields.prio_bucket.map(U64::new),
    };
    head.write_to_prefix(out).map_err(|_| NoSpace)?;
    let keys = out.get_mut(JSET_HEADER_BYTES..bytes).ok_or(NoSpace)?;
    let keys = <[U64]>::mut_from_bytes(keys).map_err(|_| NoSpace)?;
    for (to, from) in keys.iter_mut().zip(words) {
        to.set(*from);
    }
    let end = num::round_up(bytes, num::PAGE_BYTES)
        .unwrap_or(bytes)
        .min(out.len());
    if let Some(tail) = out.get_mut(bytes..end) {
        tail.fill(0);
    }
    let csum = bch_crc64(crc, out.get(size_of::<U64>()..bytes).ok_or(NoSpace)?);
    U64::new(csum).write_to_prefix(out).map_err(|_| NoSpace)?;
    Ok(bytes)
}
