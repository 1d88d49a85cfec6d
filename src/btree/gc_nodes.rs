// SPDX-License-Identifier: GPL-2.0

//! Garbage collection of the nodes themselves: their buckets are marked, and interior nodes that
//! hold much that counts no more are written anew.
//!
//! C: `btree_gc_mark_node`, `btree_gc_rewrite_node`, `bch_btree_gc_root` in `btree.c`.

use super::{
    gc::GcStats,
    interior::Interior, //
};
use crate::cache_set::CacheSet;
use bcache_core::{
    gc::pace,
    key::Pos,
    num, //
};
use kernel::prelude::*;

impl CacheSet {
    /// Marks the buckets of all nodes. What becomes a node later is marked when its bucket is
    /// allocated.
    pub(super) fn gc_mark_nodes(&self, stats: &mut GcStats) {
        let s = self.btree.structure.lock();
        let mut level = 1u16;
        for nodes in &s.levels {
            for node in nodes {
                for child in &node.children {
                    self.mark_key(level, &child.key());
                }
                for ptr in &node.stale {
                    if let Some(target) = self.buckets.target(*ptr) {
                        target.see();
                    }
                }
                let words = num::u64_from_usize(node.children.len()).saturating_mul(3);
                stats.nodes = stats.nodes.saturating_add(1);
                stats.key_bytes = stats.key_bytes.saturating_add(words.saturating_mul(8));
            }
            level = level.saturating_add(1);
        }
        let top = s.levels.last().and_then(|nodes| nodes.first());
        let root = match top {
            Some(node) => Some(node.key),
            None => self.btree.leaf_at(Pos::MIN).map(|leaf| leaf.key),
        };
        if let Some(root) = root {
            self.mark_key(level, &root.key());
        }
    }

    /// Whether an interior node is to be written anew.
    fn interior_is_stale(&self, node: &Interior) -> bool {
        let stale = node.stale.iter().map(|ptr| self.buckets.ptr_stale(*ptr));
        let stale = stale.max().unwrap_or(0);
        let good = num::u64_from_usize(node.children.len());
        let all = good.saturating_add(num::u64_from_usize(node.stale.len()));
        pace::should_rewrite(stale, all, good, self.tun.gc_always_rewrite.get())
    }

    /// Writes interior nodes anew that need it, as far as there are buckets without waiting. The
    /// tree may change in between: a node more or less does not matter.
    ///
    /// # Errors
    ///
    /// `EIO` if the set is dead.
    pub(super) fn gc_renew_nodes(&self) -> Result {
        let (mut level, mut ni) = (0usize, 0usize);
        while self.btree_reserve_ok() {
            let mut s = match self.lock_structure(1, false) {
                Ok(s) => s,
                Err(e) if e == ENOSPC => return Ok(()),
                Err(e) => return Err(e),
            };
            let Some(nodes) = s.levels.get(level) else {
                return Ok(());
            };
            let Some(node) = nodes.get(ni) else {
                (level, ni) = (level.saturating_add(1), 0);
                continue;
            };
            if self.interior_is_stale(node) {
                match self.renew_interior(&mut s, level, ni) {
                    Err(e) if e != ENOMEM => return Err(e),
                    // Without memory: another time.
                    _ => {}
                }
            }
            ni = ni.saturating_add(1);
        }
        Ok(())
    }
}
