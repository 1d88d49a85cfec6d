// SPDX-License-Identifier: GPL-2.0

//! Interior nodes, and the order of writes that makes every change of the tree atomic.
//!
//! Interior nodes are always in memory, under the structure mutex, and every change of them is on
//! disk before it counts. On disk they are what C writes (`btree_split`, `make_btree_freeing_key`
//! in `btree.c`).
//!
//! # What is durable when
//!
//! 1. The new children are written (FUA) to buckets that nothing on disk points to. A crash leaves
//!    them as unused buckets.
//! 2. Their parent gets one set (FUA) with the keys of the new children and a freeing key for each
//!    old one: its bucket with the next generation. The set is in force whole or not at all. From
//!    then on the old pointers are stale at every start, since reading the freeing keys raises the
//!    generations.
//! 3. If the parent is full it is rewritten the same way, by one or two new nodes, one level up;
//!    the top of the tree is changed by a journal entry that is waited for.
//! 4. Only then the old buckets get their next generation in memory and become free. So no write of
//!    the generations can make a child stale whose parent still names it (C needs `prio_blocked`
//!    for that).

use super::{
    node_io::set_blocks,
    Structure, //
};
use crate::{
    buckets::BucketPin,
    cache_set::CacheSet, //
};
use bcache_core::key::{
    Key,
    Pos,
    Ptr, //
};
use bcache_kernel::{
    memalloc::reserves,
    random, //
};
use kernel::prelude::*;

/// Words of a key of a node.
const WORDS: usize = 3;

/// Where a node is and where its range ends: what its parent knows of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeKey {
    /// End of the range, exclusive; the start is the end of the left neighbour.
    pub(super) end: Pos,
    /// Size of the node.
    pub(super) sectors: u32,
    /// Its bucket and generation.
    pub(super) ptr: Ptr,
}

impl NodeKey {
    /// From the key in a parent or in the journal.
    pub(super) fn from_key(k: &Key) -> Option<Self> {
        Some(Self {
            end: k.pos(),
            sectors: k.size(),
            ptr: k.ptr()?,
        })
    }

    /// As in the parent.
    pub(super) fn key(&self) -> Key {
        Key::node(self.end, self.sectors, self.ptr)
    }

    /// The key that frees the node at the next start.
    fn freeing_key(&self) -> Key {
        self.key().freeing(self.ptr.gen().wrapping_add(1))
    }
}

/// A node of level 1 or higher.
pub(super) struct Interior {
    pub(super) key: NodeKey,
    pub(super) seq: u64,
    /// Blocks written.
    pub(super) written: u32,
    /// In order; the last one ends where this node does.
    pub(super) children: KVVec<NodeKey>,
    /// Pointers of keys on disk that do not count any more, until the node is written anew. Their
    /// buckets must not get so many generations ahead that these look valid again.
    pub(super) stale: KVVec<Ptr>,
}

impl Interior {
    /// Puts `new` in the place of `count` children from `at` on. Room was reserved.
    fn splice(&mut self, at: usize, count: usize, new: &[NodeKey]) {
        for _ in 0..count {
            drop(self.children.remove(at));
        }
        for child in new.iter().rev() {
            drop(self.children.insert_within_capacity(at, *child));
        }
    }
}

/// Buckets that change hands in one change of the tree.
pub(super) struct Moves {
    /// Taken from the stock for new nodes.
    pub(super) taken: KVec<BucketPin>,
    /// Nodes that nothing points to when the change is done.
    pub(super) freed: KVec<Ptr>,
}

impl Moves {
    /// Most buckets of one change: a handful of leaves, two nodes per level.
    const MOST: usize = 64;

    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            taken: KVec::with_capacity(Self::MOST, GFP_KERNEL)?,
            freed: KVec::with_capacity(Self::MOST, GFP_KERNEL)?,
        })
    }
}

impl Structure {
    /// Finds the node above `level` children `old`, which are neighbours: its place and that of the
    /// first child.
    pub(super) fn find_parent(&self, level: usize, old: &[NodeKey]) -> Option<(usize, usize)> {
        let (first, last) = (old.first()?, old.last()?);
        let nodes = self.levels.get(level)?;
        let ni = nodes.partition_point(|node| node.key.end < last.end);
        let node = nodes.get(ni)?;
        let ci = node.children.partition_point(|child| child.end < first.end);
        let there = node.children.get(ci..ci.checked_add(old.len())?)?;
        (there == old).then_some((ni, ci))
    }

    fn node_mut(&mut self, level: usize, ni: usize) -> Result<&mut Interior> {
        let node = self
            .levels
            .get_mut(level)
            .and_then(|nodes| nodes.get_mut(ni));
        Ok(node.ok_or(EIO)?)
    }
}

impl CacheSet {
    /// A bucket of the stock as a node that ends at `end`.
    pub(super) fn take_node(
        &self,
        s: &mut Structure,
        moves: &mut Moves,
        end: Pos,
    ) -> Result<NodeKey> {
        let pin = s.stock.pop().ok_or(ENOSPC)?;
        let ptr = pin.ptr();
        moves.taken.push(pin, GFP_KERNEL)?;
        Ok(NodeKey {
            end,
            sectors: self.geo.btree_node_sectors(),
            ptr,
        })
    }

    /// Puts nodes `new` of a level in the place of `old` in the tree on disk. When this returns it
    /// is durable.
    ///
    /// # Errors
    ///
    /// Only if the set is dead.
    pub(super) fn replace_children(
        &self,
        s: &mut Structure,
        level: usize,
        old: &[NodeKey],
        new: &[NodeKey],
        moves: &mut Moves,
    ) -> Result {
        for child in old {
            moves.freed.push(child.ptr, GFP_KERNEL)?;
        }
        let mut level = level;
        let mut change = self.change_level(s, level, old, new, moves)?;
        while let Some((old, new)) = change {
            moves.freed.push(old.ptr, GFP_KERNEL)?;
            level = level.checked_add(1).ok_or(EIO)?;
            change = self.change_level(s, level, &[old], &new, moves)?;
        }
        Ok(())
    }

    /// Replaces children at one level. If the parent had to be rewritten, gives the old one and its
    /// successors.
    fn change_level(
        &self,
        s: &mut Structure,
        level: usize,
        old: &[NodeKey],
        new: &[NodeKey],
        moves: &mut Moves,
    ) -> Result<Option<(NodeKey, KVec<NodeKey>)>> {
        if level >= s.levels.len() {
            self.replace_root(s, level, new, moves)?;
            return Ok(None);
        }
        let (ni, ci) = s.find_parent(level, old).ok_or(EIO)?;
        let words = old.len().saturating_add(new.len()).saturating_mul(WORDS);
        let node = s.node_mut(level, ni)?;
        let after = node.written.saturating_add(set_blocks(&self.geo, words));
        if after <= self.node_blocks(node.key.sectors) {
            self.insist(|| Ok(node.children.reserve(new.len(), GFP_KERNEL)?))?;
            self.append_children(node, old, new)?;
            node.splice(ci, old.len(), new);
            return Ok(None);
        }
        let old_key = node.key;
        let fresh = self.rewrite_interior(s, (level, ni), (ci, old.len()), new, moves)?;
        Ok(Some((old_key, fresh)))
    }

    /// Writes the set of a change: freeing keys (position 0, so they sort first), then the new
    /// keys.
    fn append_children(&self, node: &mut Interior, old: &[NodeKey], new: &[NodeKey]) -> Result {
        // Not as a method: `pin_init` has one of this name for every type.
        let keys = Iterator::chain(
            old.iter().map(NodeKey::freeing_key),
            new.iter().map(NodeKey::key),
        );
        self.insist(|| Ok(node.stale.reserve(old.len(), GFP_KERNEL)?))?;
        let blocks = self.append_set(&node.key, node.seq, node.written, keys)?;
        node.written = node.written.saturating_add(blocks);
        for child in old {
            node.stale.push(child.ptr, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Writes the node at `place` anew, with the change, as one node or two; gives their keys.
    fn rewrite_interior(
        &self,
        s: &mut Structure,
        place: (usize, usize),
        range: (usize, usize),
        new: &[NodeKey],
        moves: &mut Moves,
    ) -> Result<KVec<NodeKey>> {
        let (level, ni) = place;
        let (ci, count) = range;
        let node = s.node_mut(level, ni)?;
        let (end, blocks) = (node.key.end, self.node_blocks(node.key.sectors));
        let all = self.insist(|| {
            let room = node.children.len().saturating_add(new.len());
            let mut all = KVVec::with_capacity(room, GFP_KERNEL)?;
            all.extend_from_slice(node.children.get(..ci).ok_or(EIO)?, GFP_KERNEL)?;
            all.extend_from_slice(new, GFP_KERNEL)?;
            let rest = ci.checked_add(count).ok_or(EIO)?;
            all.extend_from_slice(node.children.get(rest..).ok_or(EIO)?, GFP_KERNEL)?;
            Ok(all)
        })?;

        let used = set_blocks(&self.geo, all.len().saturating_mul(WORDS));
        let split = used > blocks.saturating_mul(4) / 5;
        // C splits at three fifths: trees mostly grow at the right end of what was just written.
        let at = if split {
            all.len().saturating_mul(3) / 5
        } else {
            all.len()
        };
        let (left, right) = all.split_at_checked(at.max(1)).ok_or(EIO)?;

        let mut fresh = self.insist(|| Ok(KVec::with_capacity(2, GFP_KERNEL)?))?;
        let mut keys = self.insist(|| Ok(KVec::with_capacity(2, GFP_KERNEL)?))?;
        for part in [left, right] {
            let Some(last) = part.last() else { continue };
            let key = self.take_node(s, moves, last.end)?;
            let node = self.write_interior(key, part)?;
            keys.push(key, GFP_KERNEL)?;
            fresh.push(node, GFP_KERNEL)?;
        }
        if keys.last().map(|key| key.end) != Some(end) {
            self.set_error(format_args!("btree node does not end with its last child"));
            return Err(EIO);
        }
        let nodes = s.levels.get_mut(level).ok_or(EIO)?;
        self.insist(|| Ok(nodes.reserve(1, GFP_KERNEL)?))?;
        drop(nodes.remove(ni));
        while let Some(node) = fresh.pop() {
            drop(nodes.insert_within_capacity(ni, node));
        }
        Ok(keys)
    }

    /// Writes a new node with these children.
    pub(super) fn write_interior(
        &self,
        key: NodeKey,
        children: &[NodeKey],
    ) -> Result<KBox<Interior>> {
        let seq = random::u64().max(1);
        let mut node = self.insist(|| {
            let mut own = KVVec::with_capacity(children.len(), GFP_KERNEL)?;
            own.extend_from_slice(children, GFP_KERNEL)?;
            Ok(KBox::new(
                Interior {
                    key,
                    seq,
                    written: 0,
                    children: own,
                    stale: KVVec::new(),
                },
                GFP_KERNEL,
            )?)
        })?;
        node.written = self.write_node(&key, seq, children.iter().map(NodeKey::key))?;
        Ok(node)
    }

    /// Writes the node at a place of the tree anew, without what counts no more. The stock has
    /// buckets.
    ///
    /// # Errors
    ///
    /// `EIO` if the set is dead; `ENOMEM` with nothing changed.
    pub(super) fn renew_interior(&self, s: &mut Structure, level: usize, ni: usize) -> Result {
        let reserves = reserves();
        let mut moves = Moves::new()?;
        let node = s.node_mut(level, ni)?;
        let (old, end) = (node.key, node.key.end);
        let mut children = KVVec::with_capacity(node.children.len(), GFP_KERNEL)?;
        children.extend_from_slice(&node.children, GFP_KERNEL)?;
        drop(reserves);
        let key = self.take_node(s, &mut moves, end)?;
        let fresh = self.write_interior(key, &children)?;
        let above = level.saturating_add(1);
        self.replace_children(s, above, &[old], &[key], &mut moves)?;
        // A change above does not move the nodes of this level.
        let nodes = s.levels.get_mut(level).ok_or(EIO)?;
        *nodes.get_mut(ni).ok_or(EIO)? = fresh;
        self.finish_moves(moves);
        Ok(())
    }

    /// The top of the tree becomes `new`, nodes of `level`; several get a new root above them.
    fn replace_root(
        &self,
        s: &mut Structure,
        level: usize,
        new: &[NodeKey],
        moves: &mut Moves,
    ) -> Result {
        if let [root] = new {
            return self.set_root(root, level);
        }
        let key = self.take_node(s, moves, Pos::MAX)?;
        let root = self.write_interior(key, new)?;
        let mut nodes = self.insist(|| Ok(KVec::with_capacity(1, GFP_KERNEL)?))?;
        nodes.push(root, GFP_KERNEL)?;
        self.insist(|| Ok(s.levels.reserve(1, GFP_KERNEL)?))?;
        s.levels.push(nodes, GFP_KERNEL)?;
        let depth = s.levels.len();
        self.btree.note_depth(depth);
        self.set_root(&key, depth)
    }

    /// Makes `root` the root on disk: a journal entry that is waited for (C: `bch_btree_set_root`).
    pub(super) fn set_root(&self, root: &NodeKey, level: usize) -> Result {
        let level = u16::try_from(level).map_err(|_| EIO)?;
        self.journal.set_root(root.key(), level);
        self.journal.meta(self, true)
    }

    /// The change is durable: new nodes are in use, old buckets are free.
    pub(super) fn finish_moves(&self, moves: Moves) {
        // The tree accounts for the new ones from here on.
        drop(moves.taken);
        for ptr in moves.freed {
            if let Some(bucket) = self.buckets.bucket_of(ptr) {
                self.bucket_retire(bucket);
            }
        }
    }

    /// The change did not come about: the buckets go back to the stock.
    pub(super) fn undo_moves(&self, s: &mut Structure, moves: Moves) {
        for pin in moves.taken {
            s.give_back(self, pin);
        }
    }
}

impl PartialOrd for NodeKey {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Nodes of one level are ordered by their ends.
impl Ord for NodeKey {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.end, self.ptr.0, self.sectors).cmp(&(other.end, other.ptr.0, other.sectors))
    }
}
