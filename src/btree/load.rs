// SPDX-License-Identifier: GPL-2.0

//! Start: reading and checking a tree, or making an empty one.
//!
//! C: `bch_btree_check` in `btree.c`, the node parts of `run_cache_set` in `super.c`.

use super::{
    check,
    chunks::new_map,
    index::Index,
    interior::{
        Interior,
        Moves,
        NodeKey, //
    },
    leaf::{
        Leaf,
        LeafNode,
        LeafState, //
    },
    reserve::Depth, //
};
use crate::cache_set::CacheSet;
use bcache_core::{
    alloc::sort::heapsort,
    geometry::Geometry,
    key::{
        Key,
        Pos, //
    },
    num,
    ondisk::bset::NodeKind, //
};
use bcache_kernel::{
    memalloc::noio,
    random, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Deeper trees do not fit any device.
const MAX_LEVEL: u16 = 8;

/// The buckets in which nodes have been found. A damaged tree may lead to the same node over and over: without this
/// a few nodes that name each other would be as many as fit into memory.
struct Seen(KVVec<u64>);

impl Seen {
    fn new(geo: &Geometry) -> Result<Self> {
        let words = num::usize_from_u32(geo.nbuckets().div_ceil(u64::BITS));
        Ok(Self(KVVec::from_elem(0, words, GFP_KERNEL)?))
    }

    /// Notes the bucket of a node; false if there is none, or if it was noted before.
    fn first(&mut self, geo: &Geometry, key: &NodeKey) -> bool {
        let Some(b) = geo.bucket_of(key.ptr.sector()) else {
            return false;
        };
        let Some(word) = self.0.get_mut(num::usize_from_u32(b.0 / u64::BITS)) else {
            return false;
        };
        let bit = 1u64.wrapping_shl(b.0 % u64::BITS);
        let before = *word;
        *word |= bit;
        before & bit == 0
    }
}

impl CacheSet {
    /// Reads the whole tree below `root`, of `level`, marks the buckets it uses and makes it
    /// usable. May sleep long.
    ///
    /// # Errors
    ///
    /// `EIO` for a tree that cannot be used; the set is dead then. `ENOMEM`.
    pub(crate) fn btree_load(self: &Arc<Self>, root: &Key, level: u16) -> Result {
        let _noio = noio();
        self.check_node_size()?;
        let key = NodeKey::from_key(root).filter(|_| root.node_ok(&self.geo));
        let Some(mut key) = key.filter(|_| level <= MAX_LEVEL) else {
            self.set_error(format_args!("bad btree root {root} of level {level}"));
            return Err(EIO);
        };
        key.end = Pos::MAX;
        self.initial_mark_key(level.saturating_add(1), root);

        let mut s = self.btree.structure.lock();
        let mut seen = Seen::new(&self.geo)?;
        let mut nodes = KVVec::with_capacity(1, GFP_KERNEL)?;
        nodes.push(key, GFP_KERNEL)?;
        self.check_level(&nodes, level, &mut seen)?;
        // From the root down; `levels` has them the other way round.
        for level in (1..=level).rev() {
            let mut below = KVVec::new();
            let mut interiors = KVec::new();
            for key in &nodes {
                let node = self.load_interior(key, level)?;
                below.extend_from_slice(&node.children, GFP_KERNEL)?;
                interiors.push(node, GFP_KERNEL)?;
            }
            s.levels.reserve(1, GFP_KERNEL)?;
            let put = s.levels.insert_within_capacity(0, interiors);
            put.map_err(|_| ENOMEM)?;
            nodes = below;
            self.check_level(&nodes, level.saturating_sub(1), &mut seen)?;
        }
        let leaves = check::load_leaves(self, &nodes)?;
        if self.io_disabled() {
            return Err(EIO);
        }
        self.btree.note_depth(s.levels.len());
        let all = s
            .levels
            .iter()
            .fold(leaves.len(), |n, nodes| n.saturating_add(nodes.len()));
        self.btree.gc.seed(all.saturating_sub(1));
        // The leaves counted themselves when they were loaded.
        self.btree.publish(Index::new(&leaves)?, 0, 0);
        Ok(())
    }

    /// Nodes of one block could never be appended to.
    fn check_node_size(&self) -> Result {
        if self.node_blocks(self.geo.btree_node_sectors()) < 2 {
            pr_err!("buckets must have at least two blocks\n");
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Nodes of a level must be in order and each in a bucket of its own.
    fn check_level(&self, nodes: &[NodeKey], level: u16, seen: &mut Seen) -> Result {
        let mut before = Pos::MIN;
        for key in nodes {
            if key.end <= before || !seen.first(&self.geo, key) {
                self.set_error(format_args!(
                    "btree node {} of level {level} is out of place",
                    key.key()
                ));
                return Err(EIO);
            }
            before = key.end;
        }
        Ok(())
    }

    /// Reads an interior node, marks what its keys lead to, and sorts out its children.
    fn load_interior(&self, key: &NodeKey, level: u16) -> Result<KBox<Interior>> {
        let mut keys: KVVec<Key> = KVVec::new();
        let mut full = false;
        let info = self.read_node(key, NodeKind::Interior, |k| {
            full |= keys.push(*k, GFP_KERNEL).is_err();
        })?;
        if full {
            return Err(ENOMEM);
        }
        self.check_last(key, keys.iter().map(Key::pos).max())?;
        // All keys first: freeing keys make older ones stale.
        for k in &keys {
            self.initial_mark_key(level, k);
        }
        let mut children = KVVec::new();
        let mut stale = KVVec::new();
        for k in &keys {
            if k.pos() != Pos::MIN && self.key_is_live(k) {
                children.push(NodeKey::from_key(k).ok_or(EIO)?, GFP_KERNEL)?;
            } else if let Some(ptr) = k.ptr() {
                stale.push(ptr, GFP_KERNEL)?;
            }
        }
        heapsort(&mut children);
        let ascending = children.windows(2).all(|pair| match pair {
            [a, b] => a.end < b.end,
            _ => false,
        });
        if !ascending || children.last().map(|last| last.end) != Some(key.end) {
            self.set_error(format_args!(
                "btree node {} of level {level} does not cover its range",
                key.key()
            ));
            return Err(EIO);
        }
        let node = Interior {
            key: *key,
            seq: info.seq,
            written: info.written_blocks,
            children,
            stale,
        };
        Ok(KBox::new(node, GFP_KERNEL)?)
    }

    /// Makes an empty tree: writes a root without keys and tells the journal, whose next entry
    /// makes it valid. May sleep.
    ///
    /// # Errors
    ///
    /// `EIO`, `ENOMEM`; `EINVAL` for buckets that are too small.
    pub(crate) fn btree_format(&self) -> Result {
        let _noio = noio();
        self.check_node_size()?;
        let mut s = self.lock_structure(1, true)?;
        let mut moves = Moves::new()?;
        let key = self.take_node(&mut s, &mut moves, Pos::MAX)?;
        let keys = new_map(&self.btree.chunks, Depth::None);
        let node = LeafNode::fresh(keys, random::u64().max(1));
        let leaf = Leaf::new(key, LeafState::Loaded(node))?;
        let index = Index::new(core::slice::from_ref(&leaf))?;
        self.write_fresh(&leaf)?;
        self.journal.set_root(key.key(), 0);
        self.btree.publish(index, 0, 1);
        self.finish_moves(moves);
        Ok(())
    }
}
