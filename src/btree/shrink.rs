// SPDX-License-Identifier: GPL-2.0

//! Giving the memory of leaves back.
//!
//! C: `bch_mca_scan`, `bch_mca_count` in `btree.c`. Clean leaves can be dropped at any time, since
//! a leaf is read with memory of its own; the few that C keeps in reserve are kept here too.

use super::leaf::{
    Leaf,
    LeafState, //
};
use crate::cache_set::CacheSet;
use bcache_core::{
    num,
    text::BsetStats, //
};
use bcache_kernel::{
    shrinker::{
        Shrink,
        Shrinker, //
    },
    time::cond_resched, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Cost of reading a leaf again (C: 4).
const SEEKS: u16 = 4;
/// Leaves to ask for at once.
const BATCH: u32 = 2;

impl CacheSet {
    /// Leaves that stay (C: `mca_reserve`).
    fn leaf_reserve(&self) -> usize {
        let depth = num::usize_from_u32(self.btree.depth()).max(1);
        depth.saturating_mul(8).saturating_add(16)
    }

    /// Leaves in memory beyond the reserve.
    fn leaves_to_spare(&self) -> usize {
        num::usize_from_u32(self.btree.loaded.get()).saturating_sub(self.leaf_reserve())
    }

    /// Drops the content of a leaf that is clean and not in use just now.
    pub(super) fn evict(&self, leaf: &Leaf) -> bool {
        let Some(_io) = leaf.io.try_lock() else {
            return false;
        };
        let Some(mut state) = leaf.state.try_write() else {
            return false;
        };
        let clean = match &*state {
            LeafState::Loaded(n) => n.pending.is_empty() && n.pin.is_none() && !n.frozen,
            _ => false,
        };
        if !clean {
            return false;
        }
        let old = core::mem::replace(&mut *state, LeafState::NotLoaded);
        drop(state);
        drop(old);
        self.btree.loaded.add(1u32.wrapping_neg());
        true
    }

    /// Drops up to `nr` leaves, not those that were used since the last call unless there is
    /// nothing else.
    pub(crate) fn btree_shrink(&self, nr: usize) -> usize {
        let nr = nr.min(self.leaves_to_spare());
        let Some(index) = self.btree.index() else {
            return 0;
        };
        let mut freed = 0usize;
        for leaf in index.iter() {
            if freed >= nr {
                break;
            }
            if !leaf.untouch() && self.evict(leaf) {
                freed = freed.saturating_add(1);
            }
            cond_resched();
        }
        freed
    }

    /// Drops leaves of `pages` pages in all, as large as they are on disk, and one at least; none if the shrinker is disabled
    /// (sysfs `prune_cache`). May sleep.
    pub(crate) fn prune(&self, pages: u32) {
        if !self.tun.shrinker_disabled.get() {
            let leaves = pages.checked_div(self.geo.btree_node_pages()).unwrap_or(0);
            self.btree_shrink(num::usize_from_u32(leaves.max(1)));
        }
    }

    /// Memory of the leaves, about (sysfs `btree_cache_size`).
    pub(crate) fn btree_cache_bytes(&self) -> u64 {
        let Some(index) = self.btree.index() else {
            return 0;
        };
        index.iter().fold(0u64, |sum, leaf| {
            let Some(state) = leaf.state.try_read() else {
                return sum;
            };
            let LeafState::Loaded(n) = &*state else {
                return sum;
            };
            let keys = n.keys.len().saturating_add(n.pending.len());
            sum.saturating_add(num::u64_from_usize(keys).saturating_mul(24))
        })
    }

    /// What is in memory and what of it is on disk (sysfs `bset_tree_stats`). Sets on disk are merged
    /// when they are read, and there are no search trees over them. May sleep.
    pub(crate) fn btree_set_stats(&self) -> BsetStats {
        let mut stats = BsetStats::default();
        let bytes = |words: usize| num::u64_from_usize(words).saturating_mul(8);
        for nodes in &self.btree.structure.lock().levels {
            for node in nodes {
                stats.nodes = stats.nodes.saturating_add(1);
                stats.sets_written = stats.sets_written.saturating_add(1);
                let words = node.children.len().saturating_mul(3);
                stats.bytes_written = stats.bytes_written.saturating_add(bytes(words));
            }
        }
        let Some(index) = self.btree.index() else {
            return stats;
        };
        for leaf in index.iter() {
            stats.nodes = stats.nodes.saturating_add(1);
            let LeafState::Loaded(n) = &*leaf.state.read() else {
                continue;
            };
            let new = bytes(n.pending.words());
            stats.sets_written = stats.sets_written.saturating_add(1);
            stats.sets_unwritten = stats.sets_unwritten.saturating_add(u64::from(new != 0));
            stats.bytes_unwritten = stats.bytes_unwritten.saturating_add(new);
            let all = bytes(n.keys.words());
            let old = all.saturating_sub(new);
            stats.bytes_written = stats.bytes_written.saturating_add(old);
        }
        stats
    }

    pub(super) fn shrinker_start(self: &Arc<Self>) -> Result {
        let shrinker = Shrinker::register(c"md-bcache", self.clone(), SEEKS, BATCH)?;
        *self.btree.shrinker.lock() = Some(shrinker);
        Ok(())
    }

    pub(super) fn shrinker_stop(&self) {
        let shrinker = self.btree.shrinker.lock().take();
        drop(shrinker);
    }
}

impl Shrink for CacheSet {
    fn count(&self) -> usize {
        if self.tun.shrinker_disabled.get() {
            return 0;
        }
        self.leaves_to_spare()
    }

    fn scan(&self, nr: usize, _may_io: bool) -> Option<usize> {
        if self.tun.shrinker_disabled.get() {
            return None;
        }
        Some(self.btree_shrink(nr))
    }
}
