// SPDX-License-Identifier: GPL-2.0

//! Priority sets: priority and generation of every bucket.
//!
//! C reference: `drivers/md/bcache/super.c` (`bch_prio_write`, `prio_read`).

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

use super::checksum::{
    bch_crc64,
    Crc64, //
};
use super::NoSpace;

/// Magic of priority sets before the set's is mixed in.
pub const PSET_MAGIC: u64 = 0x6750_e15f_8733_7f91;

/// Priority of buckets that hold metadata.
pub const BTREE_PRIO: u16 = 0xffff;

/// Priority of a bucket just used.
pub const INITIAL_PRIO: u16 = 32768;

/// Header as stored.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct Header {
    csum: U64,
    magic: U64,
    seq: U64,
    version: U32,
    pad: U32,
    next_bucket: U64,
}

const _: () = assert!(size_of::<Header>() == 40);

/// Offsets of the fields of a priority bucket's header, for the comparison with C's header by the kernel crate.
pub const PRIO_LAYOUT: [usize; 6] = [
    offset_of!(Header, csum),
    offset_of!(Header, magic),
    offset_of!(Header, seq),
    offset_of!(Header, version),
    offset_of!(Header, pad),
    offset_of!(Header, next_bucket),
];

/// One bucket as stored.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, PartialEq, Eq, Debug,
)]
#[repr(C)]
pub struct PrioEntry {
    prio: U16,
    gen: u8,
}

const _: () = assert!(size_of::<PrioEntry>() == 3);

impl PrioEntry {
    /// Makes an entry.
    pub fn new(prio: u16, gen: u8) -> Self {
        Self {
            prio: U16::new(prio),
            gen,
        }
    }

    /// Priority.
    pub fn prio(&self) -> u16 {
        self.prio.get()
    }

    /// Generation.
    pub fn gen(&self) -> u8 {
        self.gen
    }
}

/// Why a bucket holds no priority set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadPrioSet {
    /// The slice cannot hold the header.
    Short,
    /// Wrong checksum.
    Checksum,
    /// Not of this cache set.
    Magic,
}

impl core::fmt::Display for BadPrioSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Short => "truncated prios",
            Self::Checksum => "bad csum reading priorities",
            Self::Magic => "bad magic reading priorities",
        })
    }
}

/// A verified priority set.
#[derive(Clone, Copy, Debug)]
pub struct PrioSet<'a> {
    /// Number of the write; equal in all sets of one write.
    pub seq: u64,
    /// Bucket of the next set; meaningless in the last one.
    pub next_bucket: u64,
    /// Entries, as many as fit into the bucket.
    pub entries: &'a [PrioEntry],
}

/// Reads the priority set in `buf`, which must be exactly one metadata bucket.
///
/// # Errors
///
/// Says what is wrong first: size, checksum, magic.
pub fn parse_prio_set(crc: Crc64, buf: &[u8], set_magic: u64) -> Result<PrioSet<'_>, BadPrioSet> {
    let (head, rest) = Header::ref_from_prefix(buf).map_err(|_| BadPrioSet::Short)?;
    let summed = buf.get(size_of::<U64>()..).ok_or(BadPrioSet::Short)?;
    if bch_crc64(crc, summed) != head.csum.get() {
        return Err(BadPrioSet::Checksum);
    }
    if head.magic.get() != set_magic ^ PSET_MAGIC {
        return Err(BadPrioSet::Magic);
    }
    let nr = rest.len() / size_of::<PrioEntry>();
    let (entries, _) =
        <[PrioEntry]>::ref_from_prefix_with_elems(rest, nr).map_err(|_| BadPrioSet::Short)?;
    Ok(PrioSet {
        seq: head.seq.get(),
        next_bucket: head.next_bucket.get(),
        entries,
    })
}

/// Fills `out`, exactly one metadata bucket, with a priority set of `entries`; the rest is zeroed.
///
/// `used` says how many bytes of `out` may be other than zero before and after: a bucket is much longer than its entries, and
/// is written often.
///
/// # Errors
///
/// [`NoSpace`] if there are more entries than fit; what `out` holds then is unspecified.
pub fn encode_prio_set(
    crc: Crc64,
    out: &mut [u8],
    used: &mut usize,
    set_magic: u64,
    seq: u64,
    next_bucket: u64,
    entries: impl IntoIterator<Item = PrioEntry>,
) -> Result<(), NoSpace> {
    let head = Header {
        csum: U64::ZERO,
        magic: U64::new(set_magic ^ PSET_MAGIC),
        seq: U64::new(seq),
        version: U32::ZERO,
        pad: U32::ZERO,
        next_bucket: U64::new(next_bucket),
    };
    head.write_to_prefix(out).map_err(|_| NoSpace)?;
    let data = out.get_mut(size_of::<Header>()..).ok_or(NoSpace)?;
    let nr = data.len() / size_of::<PrioEntry>();
    let (slots, _) = <[PrioEntry]>::mut_from_prefix_with_elems(data, nr).map_err(|_| NoSpace)?;
    let was = core::mem::replace(used, usize::MAX);
    let mut entries = entries.into_iter();
    let mut written = 0usize;
    for (slot, entry) in slots.iter_mut().zip(entries.by_ref()) {
        // Field by field: there are as many as buckets, and what is put together first costs twice as much.
        slot.prio.set(entry.prio());
        slot.gen = entry.gen();
        written = written.wrapping_add(1);
    }
    if written == nr && entries.next().is_some() {
        return Err(NoSpace);
    }
    let end = written
        .saturating_mul(size_of::<PrioEntry>())
        .saturating_add(size_of::<Header>());
    if let Some(rest) = out.get_mut(end..was.min(out.len())) {
        rest.fill(0);
    }
    *used = end;
    let csum = bch_crc64(crc, out.get(size_of::<U64>()..).ok_or(NoSpace)?);
    U64::new(csum).write_to_prefix(out).map_err(|_| NoSpace)
}
