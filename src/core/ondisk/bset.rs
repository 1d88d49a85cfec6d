// SPDX-License-Identifier: GPL-2.0

//! Btree nodes: a log of sets of sorted keys.
//!
//! C reference: `drivers/md/bcache/btree.c` (`bch_btree_node_read_done`, `do_btree_node_write`).

use core::mem::{
    offset_of,
    size_of, //
};

use zerocopy::{
    little_endian::{
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

use super::bkey;
use super::checksum::{
    bch_crc64,
    btree_crc64,
    Crc64, //
};
use super::NoSpace;
use crate::geometry::Geometry;
use crate::key::{
    Key,
    Ptr, //
};
use crate::num;

/// Magic of sets of keys before the cache set's is mixed in.
pub const BSET_MAGIC: u64 = 0x9013_5c78_b99e_07f5;

/// Version written; version 0 (another checksum) is read too.
pub const BSET_VERSION: u32 = 1;

/// Header as stored.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
struct Header {
    csum: U64,
    magic: U64,
    seq: U64,
    version: U32,
    keys: U32,
}

/// Bytes of the header of a set.
pub const BSET_HEADER_BYTES: usize = size_of::<Header>();

const _: () = assert!(BSET_HEADER_BYTES == 32);

/// Offsets of the fields of a set's header, for the comparison with C's header by the kernel crate.
pub const BSET_LAYOUT: [usize; 5] = [
    offset_of!(Header, csum),
    offset_of!(Header, magic),
    offset_of!(Header, seq),
    offset_of!(Header, version),
    offset_of!(Header, keys),
];

/// What the keys of a node are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// Extents (level 0).
    Leaf,
    /// Pointers to nodes.
    Interior,
}

/// Why a node cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadNode {
    /// No set at the start, or a set that does not fit into the node.
    Header,
    /// A set of a future version.
    Version,
    /// A set of another cache set.
    Magic,
    /// Wrong checksum.
    Checksum,
    /// A set behind the first without keys.
    Empty,
    /// A set of this node behind the end of its log.
    Hole,
    /// A key that goes beyond its set.
    KeyOverrun,
}

impl core::fmt::Display for BadNode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Header => "bad btree header",
            Self::Version => "unsupported bset version",
            Self::Magic => "bad magic",
            Self::Checksum => "bad checksum",
            Self::Empty => "empty set",
            Self::Hole => "corrupted btree",
            Self::KeyOverrun => "key beyond its set",
        })
    }
}

/// What was found besides the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeInfo {
    /// Identity of this incarnation of the node; every set appended must carry it.
    pub seq: u64,
    /// Blocks of the log; the next set goes there.
    pub written_blocks: u32,
    /// Sets of the log.
    pub sets: u32,
    /// Keys that were not handed out since they are structurally wrong (keys of size 0 not counted). The C
    /// driver shuts the cache set down over them.
    pub invalid: u32,
}

/// Splits the set at the start of `log` off; gives its words of keys and its bytes rounded up to blocks.
fn parse_set(
    crc: Crc64,
    log: &[u8],
    block_bytes: usize,
    ptr: Ptr,
    set_magic: u64,
) -> Result<(&[U64], usize), BadNode> {
    let (head, rest) = Header::ref_from_prefix(log).map_err(|_| BadNode::Header)?;
    if head.version.get() > BSET_VERSION {
        return Err(BadNode::Version);
    }
    let nr = num::usize_from_u32(head.keys.get());
    let bytes = nr
        .checked_mul(size_of::<U64>())
        .and_then(|n| n.checked_add(BSET_HEADER_BYTES))
        .ok_or(BadNode::Header)?;
    let rounded = num::round_up(bytes, block_bytes).ok_or(BadNode::Header)?;
    if rounded > log.len() {
        return Err(BadNode::Header);
    }
    if head.magic.get() != set_magic ^ BSET_MAGIC {
        return Err(BadNode::Magic);
    }
    let summed = log.get(size_of::<U64>()..bytes).ok_or(BadNode::Header)?;
    let csum = if head.version.get() == 0 {
        bch_crc64(crc, summed)
    } else {
        btree_crc64(crc, ptr.0, summed)
    };
    if csum != head.csum.get() {
        return Err(BadNode::Checksum);
    }
    let (words, _) = <[U64]>::ref_from_prefix_with_elems(rest, nr).map_err(|_| BadNode::Header)?;
    Ok((words, rounded))
}

/// Sequence number in the header at the start of `log`; 0 if there is no room for one.
fn peek_seq(log: &[u8]) -> u64 {
    Header::ref_from_prefix(log).map_or(0, |(head, _)| head.seq.get())
}

/// Gives `each` the keys of a set; counts those that are structurally wrong.
#[inline]
fn read_keys(
    words: &[U64],
    geo: &Geometry,
    kind: NodeKind,
    each: &mut impl FnMut(&Key),
) -> Result<u32, BadNode> {
    let mut rest = words;
    let mut invalid = 0u32;
    while !rest.is_empty() {
        let k;
        (k, rest) = bkey::split_key(rest).map_err(|_| BadNode::KeyOverrun)?;
        let good = match kind {
            NodeKind::Leaf => k.leaf_ok(geo),
            NodeKind::Interior => k.node_ok(geo),
        };
        if good {
            each(&k);
        } else if k.size() != 0 {
            invalid = invalid.saturating_add(1);
        }
    }
    Ok(invalid)
}

/// Reads a node: `buf` is all of it (the size that its key tells), `ptr` where it was read from.
///
/// `each` gets the keys: oldest set first, sorted within a set. In a leaf
/// a later key overwrites the sectors it shares with earlier ones, also if it has no pointer; a key whose
/// pointer is not [`Ptr::is_available`] (a check key left by the C driver) covers without caching anything.
/// In an interior node keys do not replace each other: old pointers are told by their generation, which a
/// freeing key (position 0) carries on.
///
/// Keys of size 0 and structurally wrong ones are left out, as in C. Whether the keys lie within the range of the node is for
/// the caller to see.
///
/// # Errors
///
/// Says what is wrong with the log; what `each` got until then is good for nothing.
pub fn parse_node(
    crc: Crc64,
    buf: &[u8],
    geo: &Geometry,
    ptr: Ptr,
    set_magic: u64,
    kind: NodeKind,
    mut each: impl FnMut(&Key),
) -> Result<NodeInfo, BadNode> {
    let block_bytes = geo.block_bytes();
    let seq = peek_seq(buf);
    if seq == 0 {
        return Err(BadNode::Header);
    }
    let mut info = NodeInfo {
        seq,
        written_blocks: 0,
        sets: 0,
        invalid: 0,
    };
    let mut log = buf;
    while !log.is_empty() && peek_seq(log) == seq {
        let (words, bytes) = parse_set(crc, log, block_bytes, ptr, set_magic)?;
        if words.is_empty() && info.sets != 0 {
            return Err(BadNode::Empty);
        }
        let invalid = read_keys(words, geo, kind, &mut each)?;
        info.invalid = info.invalid.saturating_add(invalid);
        let blocks = num::u32_from_usize_sat(bytes.checked_div(block_bytes).unwrap_or(0));
        info.written_blocks = info.written_blocks.saturating_add(blocks);
        info.sets = info.sets.saturating_add(1);
        log = log.get(bytes..).ok_or(BadNode::Header)?;
    }
    while !log.is_empty() {
        if peek_seq(log) == seq {
            return Err(BadNode::Hole);
        }
        log = log.get(block_bytes..).unwrap_or_default();
    }
    Ok(info)
}

/// Bytes that a set of `words` words of keys takes in the log.
pub fn set_bytes(words: usize, block_bytes: usize) -> Option<usize> {
    let bytes = words
        .checked_mul(size_of::<U64>())?
        .checked_add(BSET_HEADER_BYTES)?;
    num::round_up(bytes, block_bytes)
}

/// Writes a set of `keys`, which must be sorted, to the start of `out`; gives its bytes rounded up to blocks.
///
/// `ptr` is the pointer to the node, `seq` its identity, not 0. What follows the keys in the last block is
/// zeroed.
///
/// # Errors
///
/// [`NoSpace`] if `out` is too small; what it holds then is unspecified.
pub fn encode_bset(
    crc: Crc64,
    out: &mut [u8],
    seq: u64,
    ptr: Ptr,
    set_magic: u64,
    keys: impl IntoIterator<Item = Key>,
    block_bytes: usize,
) -> Result<usize, NoSpace> {
    let area = out.get_mut(BSET_HEADER_BYTES..).ok_or(NoSpace)?;
    let nr = area.len() / size_of::<U64>();
    let (words, _) = <[U64]>::mut_from_prefix_with_elems(area, nr).map_err(|_| NoSpace)?;
    let mut left = words;
    let mut used = 0usize;
    for k in keys {
        left = bkey::put_key(left, &k).map_err(|_| NoSpace)?;
        used = used.saturating_add(k.words());
    }
    let rounded = set_bytes(used, block_bytes).ok_or(NoSpace)?;
    let bytes = used
        .saturating_mul(size_of::<U64>())
        .saturating_add(BSET_HEADER_BYTES);
    out.get_mut(bytes..rounded).ok_or(NoSpace)?.fill(0);
    let mut head = Header {
        csum: U64::ZERO,
        magic: U64::new(set_magic ^ BSET_MAGIC),
        seq: U64::new(seq),
        version: U32::new(BSET_VERSION),
        keys: U32::new(u32::try_from(used).map_err(|_| NoSpace)?),
    };
    head.write_to_prefix(out).map_err(|_| NoSpace)?;
    let summed = out.get(size_of::<U64>()..bytes).ok_or(NoSpace)?;
    head.csum.set(btree_crc64(crc, ptr.0, summed));
    head.write_to_prefix(out).map_err(|_| NoSpace)?;
    Ok(rounded)
}
