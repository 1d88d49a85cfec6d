// SPDX-License-Identifier: GPL-2.0

//! New leaves for old: split, compaction, merge.
//!
//! C: `btree_split`, `btree_gc_coalesce`, `btree_gc_rewrite_node` in `btree.c`. All three are one
//! operation here: some neighbours are frozen, their live keys go to new leaves, these are written
//! and take the place of the old ones (see [`super::interior`] for what is durable when). Readers
//! go on with the old leaves until the new ones are published; who wants to change keys waits for
//! the structure mutex.

use super::{
    chunks::{
        new_map,
        LeafMap, //
    },
    index::Index,
    interior::{
        Moves,
        NodeKey, //
    },
    leaf::{
        Leaf,
        LeafNode,
        LeafState, //
    },
    node_io::set_blocks,
    reserve::{
        Depth,
        Need, //
    },
    Structure, //
};
use crate::cache_set::CacheSet;
use bcache_core::key::{
    Key,
    Pos, //
};
use bcache_kernel::{
    memalloc::{
        noio,
        reserves, //
    },
    random,
    time, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Leaves whose content must not change until this is dropped (or they are dead).
struct Frozen<'a> {
    leaves: &'a [Arc<Leaf>],
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        for leaf in self.leaves {
            if let LeafState::Loaded(n) = &mut *leaf.state.write() {
                n.frozen = false;
            }
        }
    }
}

/// Freezes leaves that are in memory; `EAGAIN` if one is not. The structure mutex is held, so that
/// nobody else freezes.
fn freeze(leaves: &[Arc<Leaf>]) -> Result<Frozen<'_>> {
    let frozen = Frozen { leaves };
    for leaf in leaves {
        match &mut *leaf.state.write() {
            LeafState::Loaded(n) => n.frozen = true,
            _ => return Err(EAGAIN),
        }
    }
    Ok(frozen)
}

/// Spreads keys over new leaves: a leaf is left for the next one once it has `budget` words.
pub(super) struct Filler {
    budget: usize,
    used: usize,
    at: usize,
}

impl Filler {
    /// For `live` words from a leaf that was full. They stay together if they fit into four fifths
    /// of a node; otherwise three fifths stay in the left one. More than two leaves are needed only
    /// if keys were cut into pieces that take more words than what had been written.
    pub(super) fn split(c: &CacheSet, live: usize) -> Self {
        let blocks = c.node_blocks(c.geo.btree_node_sectors());
        let fits = |words: usize| set_blocks(&c.geo, words) <= blocks.saturating_mul(4) / 5;
        let left = live.saturating_mul(3) / 5;
        let budget = if fits(live) {
            usize::MAX
        } else if fits(left) || blocks < 8 {
            left
        } else {
            live / 4
        };
        Self {
            budget,
            used: 0,
            at: 0,
        }
    }

    /// The new leaf for a key of `words` words.
    pub(super) fn place(&mut self, words: usize) -> usize {
        if self.used >= self.budget {
            self.used = 0;
            self.at = self.at.saturating_add(1);
        }
        self.used = self.used.saturating_add(words);
        self.at
    }
}

/// New leaves of one change, mostly.
const DRAFTS: usize = 8;

/// Keys of a leaf to be.
struct Draft {
    keys: LeafMap,
    last: Pos,
}

impl CacheSet {
    /// Words of the keys of a leaf that a new leaf would take over; `None` if it is not in memory.
    pub(super) fn live_words(&self, leaf: &Leaf) -> Option<usize> {
        let state = leaf.state.read();
        let LeafState::Loaded(n) = &*state else {
            return None;
        };
        let live = n.keys.iter().filter(|k| self.key_is_live(k));
        Some(live.fold(0, |sum, k| sum.saturating_add(k.words())))
    }

    /// Makes room in a full leaf, by writing it anew or splitting it. May sleep, with `wait` also for buckets.
    ///
    /// # Errors
    ///
    /// `EIO` if the set is dead; without `wait` what a new bucket does. `Ok` does not say that there is room: look the leaf up again.
    pub(super) fn split_leaf(&self, leaf: &Arc<Leaf>, wait: bool) -> Result {
        let _noio = noio();
        // The filler makes four leaves at most, and a rounding error one more.
        let mut s = self.lock_structure(5, wait)?;
        let full = match &*leaf.state.read() {
            LeafState::Loaded(n) => self.leaf_full(leaf, n),
            _ => false,
        };
        if !full {
            return Ok(());
        }
        let start = time::local_clock_ns();
        let Some(live) = self.live_words(leaf) else {
            return Ok(());
        };
        let mut filler = Filler::split(self, live);
        let old = core::slice::from_ref(leaf);
        let mut place = |words| Some(filler.place(words));
        match self.rebuild(&mut s, old, &mut place, Depth::Split) {
            Err(e) if e == EAGAIN => Ok(()),
            Err(e) if e == ENOMEM => {
                drop(s);
                drop(self.lean(leaf, Need::Leaf));
                time::sleep_ms(10);
                Ok(())
            }
            other => {
                other?;
                self.btree.times.split.add_since(start);
                Ok(())
            }
        }
    }

    /// Replaces `old`, neighbours under one parent, by new leaves; `place` tells for each live key
    /// (by its words, in order) which, counted from 0, or `None` if they do not fit. `depth` says where their memory may
    /// come from. Gives the new leaves.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the old leaves are not as expected and `ENOMEM`, with nothing changed; `EIO` if
    /// the set is dead.
    pub(super) fn rebuild(
        &self,
        s: &mut Structure,
        old: &[Arc<Leaf>],
        place: &mut dyn FnMut(usize) -> Option<usize>,
        depth: Depth,
    ) -> Result<KVec<Arc<Leaf>>> {
        let reserves = reserves();
        let old_keys = keys_of(old)?;
        let mut moves = Moves::new()?;
        drop(reserves);
        if !s.levels.is_empty() && s.find_parent(0, &old_keys).is_none() {
            return Err(EAGAIN);
        }
        let frozen = freeze(old)?;
        let (fresh, new_keys, index) = match self.prepare(s, old, place, depth, &mut moves) {
            Ok(prepared) => prepared,
            Err(e) => {
                self.undo_moves(s, moves);
                return Err(e);
            }
        };
        // From here on only a dead set stops the change.
        for leaf in &fresh {
            self.write_fresh(leaf)?;
        }
        self.replace_children(s, 0, &old_keys, &new_keys, &mut moves)?;

        // First nobody can get at the old leaves any more, then the new ones are there: a reader
        // can never see an old leaf after somebody else changed a new one.
        for leaf in old {
            drop(leaf.kill());
        }
        drop(frozen);
        self.btree.publish(index, old.len(), fresh.len());
        self.finish_moves(moves);
        Ok(fresh)
    }

    /// Builds all that a change needs in memory: new leaves, their keys in the parent, and the
    /// index.
    #[allow(clippy::type_complexity)]
    fn prepare(
        &self,
        s: &mut Structure,
        old: &[Arc<Leaf>],
        place: &mut dyn FnMut(usize) -> Option<usize>,
        depth: Depth,
        moves: &mut Moves,
    ) -> Result<(KVec<Arc<Leaf>>, KVec<NodeKey>, Arc<Index>)> {
        let start = time::local_clock_ns();
        let drafts = self.draft(old, place, depth)?;
        self.btree.times.sort.add_since(start);
        let _reserves = reserves();
        let mut fresh = KVec::with_capacity(drafts.len(), GFP_KERNEL)?;
        for mut draft in drafts {
            draft.keys.chunks_mut().set_depth(Depth::None);
            let key = self.take_node(s, moves, draft.last)?;
            let node = LeafNode::fresh(draft.keys, random::u64().max(1));
            fresh.push(Leaf::new(key, LeafState::Loaded(node))?, GFP_KERNEL)?;
        }
        let keys = keys_of(&fresh)?;
        let index = self.btree.index().ok_or(EIO)?.replaced(old, &fresh)?;
        Ok((fresh, keys, index))
    }

    /// Distributes the live keys of frozen leaves; at least one draft, the last one ends where they
    /// do.
    fn draft(
        &self,
        old: &[Arc<Leaf>],
        place: &mut dyn FnMut(usize) -> Option<usize>,
        depth: Depth,
    ) -> Result<KVec<Draft>> {
        let reserves = reserves();
        let mut drafts = KVec::with_capacity(DRAFTS, GFP_KERNEL)?;
        drop(reserves);
        let chunks = &self.btree.chunks;
        // Keys of one new leaf follow each other.
        let mut current = None;
        for leaf in old {
            let state = leaf.state.read();
            let LeafState::Loaded(n) = &*state else {
                return Err(EAGAIN);
            };
            for k in n.keys.iter() {
                if !self.key_survives(k) {
                    continue;
                }
                let at = place(k.words()).ok_or(EAGAIN)?;
                if current != Some(at) {
                    current = Some(at);
                    let (keys, last) = (new_map(chunks, depth), k.pos());
                    drafts.push(Draft { keys, last }, GFP_NOWAIT)?;
                }
                let draft = drafts.last_mut().ok_or(EIO)?;
                let bucket = self.geo.bucket_sectors();
                draft.keys.insert(k, bucket, |_| ()).map_err(|_| ENOMEM)?;
                draft.last = k.pos();
            }
            time::cond_resched();
        }
        let end = old.last().ok_or(EINVAL)?.key.end;
        match drafts.last_mut() {
            Some(draft) => draft.last = end,
            None => {
                let (keys, last) = (new_map(chunks, depth), end);
                drafts.push(Draft { keys, last }, GFP_NOWAIT)?;
            }
        }
        Ok(drafts)
    }

    /// Whether a key is to be in the successor of its leaf; check keys and stale pointers are not.
    fn key_survives(&self, k: &Key) -> bool {
        let live = self.key_is_live(k);
        if !live && k.dirty() {
            pr_info!("stale dirty pointer, key: {}\n", format_args!("{k}"));
        }
        live
    }

    /// Writes a leaf that nothing points to yet.
    pub(super) fn write_fresh(&self, leaf: &Leaf) -> Result {
        let blocks = match &*leaf.state.read() {
            LeafState::Loaded(n) => self.write_node(&leaf.key, n.seq, n.keys.iter().copied())?,
            _ => return Err(EIO),
        };
        if let LeafState::Loaded(n) = &mut *leaf.state.write() {
            n.written = blocks;
        }
        Ok(())
    }
}

/// What the parent has, or will have, for `leaves`.
fn keys_of(leaves: &[Arc<Leaf>]) -> Result<KVec<NodeKey>> {
    let mut keys = KVec::with_capacity(leaves.len(), GFP_KERNEL)?;
    for leaf in leaves {
        keys.push(leaf.key, GFP_KERNEL)?;
    }
    Ok(keys)
}
