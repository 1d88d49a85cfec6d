// SPDX-License-Identifier: GPL-2.0

//! Reading and writing nodes.
//!
//! C: `bch_btree_node_read`, `bch_btree_node_write` and `bch_btree_leaf_dirty` in `btree.c`.
//! Everything here is synchronous, in process context and within a NOIO scope, with buffers from
//! pools. All writes carry PREFLUSH and FUA.

use super::{
    chunks::{
        new_map,
        LeafMap, //
    },
    interior::NodeKey,
    leaf::{
        Leaf,
        LeafNode,
        LeafState, //
    },
    reserve::{
        Depth,
        Need, //
    }, //
};
use crate::{
    cache_set::CacheSet,
    journal::JournalPin, //
};
use bcache_core::{
    geometry::Geometry,
    key::{
        Key,
        Pos, //
    },
    num,
    ondisk::{
        bset::{
            self,
            NodeInfo,
            NodeKind, //
        },
        NoSpace, //
    }, //
};
use bcache_kernel::{
    block::Opf,
    crc64::crc64_be,
    dma::{
        DmaBuf,
        DmaPool, //
    },
    memalloc::noio,
    time, //
};
use kernel::prelude::*;

/// Bytes of the buffers for appended sets; larger ones take a buffer for nodes.
pub(super) const SET_BYTES: usize = 16 << 10;

/// Blocks of a set with `words` words of keys.
pub(super) fn set_blocks(geo: &Geometry, words: usize) -> u32 {
    let block = geo.block_bytes();
    bset::set_bytes(words, block)
        .and_then(|bytes| bytes.checked_div(block))
        .map_or(u32::MAX, num::u32_from_usize_sat)
}

/// A pending set on its way to disk.
struct TakenSet {
    /// First block within the node.
    block: u32,
    bytes: usize,
    /// Given back when the set is durable.
    _pin: Option<JournalPin>,
    /// The keys, to be freed without locks.
    _keys: LeafMap,
}

impl CacheSet {
    /// Blocks of a node of this size.
    pub(super) fn node_blocks(&self, sectors: u32) -> u32 {
        sectors.checked_div(self.geo.block_sectors()).unwrap_or(0)
    }

    /// Reads a node, checks it and gives `each` its keys, oldest set first.
    ///
    /// # Errors
    ///
    /// `EIO` for a node that cannot be used, which retires the set; `ENOMEM`.
    pub(super) fn read_node(
        &self,
        key: &NodeKey,
        kind: NodeKind,
        each: impl FnMut(&Key),
    ) -> Result<NodeInfo> {
        let bytes = num::usize_from_u32(key.sectors).saturating_mul(512);
        if bytes <= self.btree.node_bytes {
            let mut buf = DmaPool::get(&self.btree.node_bufs);
            let buf = buf.dma_mut().ok_or(EIO)?;
            self.read_into(buf, bytes, key, kind, each)
        } else {
            // A node of a kernel with larger pages.
            let mut buf = DmaBuf::new(bytes)?;
            self.read_into(&mut buf, bytes, key, kind, each)
        }
    }

    fn read_into(
        &self,
        buf: &mut DmaBuf,
        bytes: usize,
        key: &NodeKey,
        kind: NodeKind,
        each: impl FnMut(&Key),
    ) -> Result<NodeInfo> {
        self.meta_read(key.ptr.sector(), buf, 0..bytes)?;
        let data = buf.as_slice().get(..bytes).ok_or(EIO)?;
        let info = bset::parse_node(
            crc64_be,
            data,
            &self.geo,
            key.ptr,
            self.set_magic,
            kind,
            each,
        )
        .map_err(|e| self.bad_node(key, &e))?;
        if info.invalid != 0 {
            return Err(self.bad_node(key, &"invalid keys"));
        }
        Ok(info)
    }

    /// A node cannot be used, which retires the set.
    #[cold]
    fn bad_node(&self, key: &NodeKey, what: &dyn core::fmt::Display) -> Error {
        let bucket = self.geo.bucket_of(key.ptr.sector());
        let bucket = bucket.map_or(0, |b| b.0);
        self.set_error(format_args!("{what} at bucket {bucket}"));
        EIO
    }

    /// The last key of a node must not lie behind its range.
    ///
    /// # Errors
    ///
    /// `EIO`.
    pub(super) fn check_last(&self, key: &NodeKey, last: Option<Pos>) -> Result {
        if last.is_some_and(|last| last > key.end) {
            return Err(self.bad_node(key, &"short btree key"));
        }
        Ok(())
    }

    /// Writes the first set of a new node; gives its blocks.
    pub(super) fn write_node(
        &self,
        key: &NodeKey,
        seq: u64,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<u32> {
        let mut buf = DmaPool::get(&self.btree.node_bufs);
        self.write_keys(buf.dma_mut().ok_or(EIO)?, key, seq, 0, keys)
    }

    /// Appends a small set to a node at block `at`; gives its blocks.
    pub(super) fn append_set(
        &self,
        key: &NodeKey,
        seq: u64,
        at: u32,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<u32> {
        let mut buf = DmaPool::get(&self.btree.set_bufs);
        self.write_keys(buf.dma_mut().ok_or(EIO)?, key, seq, at, keys)
    }

    fn write_keys(
        &self,
        buf: &mut DmaBuf,
        key: &NodeKey,
        seq: u64,
        at: u32,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<u32> {
        let block = self.geo.block_bytes();
        let out = buf.as_mut_slice();
        let encoded = bset::encode_bset(crc64_be, out, seq, key.ptr, self.set_magic, keys, block);
        let Ok(bytes) = encoded else {
            self.set_error(format_args!("btree set larger than its node"));
            return Err(EIO);
        };
        self.write_at(buf, key, at, bytes)?;
        Ok(num::u32_from_usize_sat(
            bytes.checked_div(block).unwrap_or(0),
        ))
    }

    /// Writes `bytes` to block `at` of a node and waits until they are durable.
    ///
    /// What is appended counts from the moment on when its first block is on disk, so that goes last: if the machine goes down
    /// before, the node ends where it did: the journal has the keys of a leaf, and the old children of an interior node are still
    /// there. (C writes all of it at once; a part of it makes the set unusable.) The first set of a node is named by nobody yet.
    fn write_at(&self, buf: &DmaBuf, key: &NodeKey, at: u32, bytes: usize) -> Result {
        let sectors = u64::from(at).saturating_mul(u64::from(self.geo.block_sectors()));
        let room = u64::from(key.sectors).saturating_mul(512);
        let end = sectors
            .saturating_mul(512)
            .saturating_add(num::u64_from_usize(bytes));
        if end > room {
            self.set_error(format_args!("btree write beyond its node"));
            return Err(EIO);
        }
        let sector = key.ptr.sector().saturating_add(sectors);
        // PREFLUSH: a key may be on its way to disk before the journal entry that has it, and one
        // of a cache fill is in no journal. What it leads to must be durable before the key is.
        let opf = Opf::PREFLUSH | Opf::FUA;
        let block = self.geo.block_bytes();
        let first = if at == 0 { bytes } else { bytes.min(block) };
        if first < bytes {
            let rest = sector.saturating_add(u64::from(self.geo.block_sectors()));
            self.meta_write(rest, buf, first..bytes, Opf::SYNC)?;
        }
        self.meta_write(sector, buf, 0..first, opf)?;
        self.count
            .btree_written
            .add(num::u64_from_usize(bytes >> 9));
        Ok(())
    }

    /// Makes sure that a leaf is in memory (or dead). May sleep, reads from disk.
    pub(super) fn leaf_load(&self, leaf: &Leaf) -> Result {
        let _noio = noio();
        let mut done = self.try_load(leaf, Depth::None);
        while matches!(done, Err(e) if e == ENOMEM) && !self.io_disabled() {
            let lean = self.lean(leaf, Need::Leaf);
            done = self.try_load(leaf, Depth::Leaf);
            drop(lean);
            if done.is_err() {
                time::sleep_ms(10);
            }
        }
        done
    }

    /// As [`CacheSet::leaf_load`], without waiting for memory.
    fn try_load(&self, leaf: &Leaf, depth: Depth) -> Result {
        let _io = leaf.io.lock();
        if !matches!(*leaf.state.read(), LeafState::NotLoaded) {
            return Ok(());
        }
        let start = time::local_clock_ns();
        let node = self.read_leaf(&leaf.key, depth)?;
        *leaf.state.write() = LeafState::Loaded(node);
        leaf.touch();
        self.btree.loaded.add(1);
        self.btree.times.read.add_since(start);
        Ok(())
    }

    /// Reads a leaf and merges its sets.
    fn read_leaf(&self, key: &NodeKey, depth: Depth) -> Result<LeafNode> {
        let mut keys = new_map(&self.btree.chunks, depth);
        let mut full = false;
        let bucket = self.geo.bucket_sectors();
        // The last key that erases; one that does not is there in the end, or another one behind it.
        let mut last = None;
        let info = self.read_node(key, NodeKind::Leaf, |k| {
            let real = k.ptr().is_some_and(|p| p.is_available());
            let put = if real {
                keys.insert(k, bucket, |_| ())
            } else {
                last = last.max(Some(k.pos()));
                keys.erase(k.inode(), k.start(), k.end(), |_| ())
            };
            full |= put.is_err();
        })?;
        if full {
            return Err(ENOMEM);
        }
        self.check_last(key, last.max(keys.last().map(Key::pos)))?;
        keys.chunks_mut().set_depth(Depth::None);
        let mut node = LeafNode::fresh(keys, info.seq);
        node.written = info.written_blocks;
        node.erased = last.is_some();
        Ok(node)
    }

    /// Writes what is pending in a leaf and waits until it is durable. Nothing to do is fine, and
    /// so is a dead leaf. Takes only the locks of the leaf, so that the journal may call it at any
    /// time.
    pub(super) fn leaf_write(&self, leaf: &Leaf) -> Result {
        let _noio = noio();
        let _io = leaf.io.lock();
        leaf.unqueue();
        if leaf.dirty_since().is_none() {
            return Ok(());
        }
        for pool in [&self.btree.set_bufs, &self.btree.node_bufs] {
            let mut buf = DmaPool::get(pool);
            let buf = buf.dma_mut().ok_or(EIO)?;
            match self.take_set(leaf, buf.as_mut_slice()) {
                Ok(None) => return Ok(()),
                Ok(Some(set)) => return self.write_at(buf, &leaf.key, set.block, set.bytes),
                // Try a larger buffer.
                Err(_) => {}
            }
        }
        self.set_error(format_args!("btree set larger than its node"));
        Err(EIO)
    }

    /// Takes the pending set of a leaf and encodes it into `out`. Fails if it does not fit.
    fn take_set(&self, leaf: &Leaf, out: &mut [u8]) -> Result<Option<TakenSet>, NoSpace> {
        let mut state = leaf.state.write();
        let LeafState::Loaded(n) = &mut *state else {
            return Ok(None);
        };
        if n.pending.is_empty() {
            // Keys that cancelled each other out cannot be: an erased range is a key as well.
            leaf.mark_clean();
            n.pin = None;
            return Ok(None);
        }
        let block = self.geo.block_bytes();
        let keys = n.pending.iter().copied();
        let bytes = bset::encode_bset(
            crc64_be,
            out,
            n.seq,
            leaf.key.ptr,
            self.set_magic,
            keys,
            block,
        )?;
        let empty = n.pending.chunks().sibling();
        let set = TakenSet {
            block: n.written,
            bytes,
            _pin: n.pin.take(),
            _keys: core::mem::replace(&mut n.pending, empty),
        };
        n.written = n.written.saturating_add(set_blocks_of(bytes, block));
        leaf.mark_clean();
        Ok(Some(set))
    }
}

/// Blocks of an encoded set.
fn set_blocks_of(bytes: usize, block: usize) -> u32 {
    num::u32_from_usize_sat(bytes.checked_div(block).unwrap_or(0))
}
