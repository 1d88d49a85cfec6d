// SPDX-License-Identifier: GPL-2.0

//! A run of garbage collection: marks what the tree uses, writes, rewrites and merges leaves.
//!
//! C: `btree_gc_recurse`, `btree_gc_mark_node`, `btree_gc_coalesce` in `btree.c`. The run goes from
//! leaf to leaf by position and holds nothing in between, so that the tree may change all the time:
//! a split never moves keys across positions, and a key inserted behind the walk lies in a bucket
//! that was pinned, or allocated, since the marks were reset.
//!
//! Each leaf is written after its keys were marked: replaced keys are in no journal, and what they
//! pointed to before may be reused after this run.

use super::{
    gc::GcStats,
    leaf::{
        Leaf,
        LeafState, //
    },
    node_io::set_blocks,
    reserve::Depth, //
};
use crate::cache_set::CacheSet;
use bcache_core::{
    gc::{
        coalesce::{
            self,
            NodeShape,
            MERGE_NODES, //
        },
        pace, //
    },
    key::Pos,
    num, //
};
use bcache_kernel::{
    kthread::should_stop,
    time::{
        cond_resched,
        local_clock_ns,
        msecs_to_jiffies, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A run under way.
struct Run {
    stats: GcStats,
    /// Nodes of the last run, and the count at the last pause.
    nodes_before: u64,
    paused_at: u64,
    /// The leaves just walked, with the words of their live keys: candidates for a merge.
    window: KVec<(Arc<Leaf>, usize)>,
}

/// What marking a leaf found.
struct Marked {
    words: usize,
    rewrite: bool,
}

/// The sizes and the leaves of a window apart. Does not wait for memory.
fn unzip(window: &[(Arc<Leaf>, usize)]) -> Result<(KVec<usize>, KVec<Arc<Leaf>>)> {
    let mut words = KVec::with_capacity(window.len(), GFP_NOWAIT)?;
    let mut leaves = KVec::with_capacity(window.len(), GFP_NOWAIT)?;
    for (leaf, n) in window {
        words.push(*n, GFP_NOWAIT)?;
        leaves.push(leaf.clone(), GFP_NOWAIT)?;
    }
    Ok((words, leaves))
}

impl CacheSet {
    /// A whole run. May sleep long; called by the gc thread.
    ///
    /// # Errors
    ///
    /// `EINTR` if the thread was asked to stop, `EIO` if the set is dead; the marks stay invalid then.
    pub(super) fn gc_run(&self) -> Result {
        let start = local_clock_ns();
        self.btree.gc.begin();
        self.gc_marks_begin();
        let mut run = Run {
            stats: GcStats::default(),
            nodes_before: self.btree.gc.stats().nodes,
            paused_at: 0,
            // Without memory there are no merges: gc must not wait for it, as who needs a bucket waits for gc.
            window: KVec::with_capacity(MERGE_NODES, GFP_NOWAIT).unwrap_or_default(),
        };
        self.gc_mark_nodes(&mut run.stats);
        self.gc_renew_nodes()?;
        self.gc_walk(&mut run)?;
        self.gc_mark_writeback();
        self.gc_marks_finish();
        // What went to the cache meanwhile does not count towards the next: a long one would be followed by another at once.
        self.btree.gc.restart_count();
        self.btree.gc.set_stats(run.stats);
        self.btree.times.gc.add_since(start);
        Ok(())
    }

    /// Data on its way back to a backing device stays where it is, even if its key is gone.
    fn gc_mark_writeback(&self) {
        self.for_each_device(|att| {
            att.wb.keybuf.for_each(|k| {
                if let Some(bucket) = k.ptr().and_then(|p| self.buckets.bucket_of(p)) {
                    self.buckets.mark_dirty(bucket);
                }
            });
        });
    }

    fn gc_walk(&self, run: &mut Run) -> Result {
        let mut pos = Pos::MIN;
        while pos < Pos::MAX {
            if self.io_disabled() {
                return Err(EIO);
            }
            if should_stop() {
                return Err(EINTR);
            }
            let leaf = self.btree.leaf_at(pos).ok_or(EIO)?;
            match self.gc_mark_leaf(&leaf, &mut run.stats)? {
                Some(marked) => {
                    pos = leaf.key.end;
                    self.gc_tidy(run, leaf, &marked)?;
                    self.gc_pause(run);
                }
                None => self.btree.wait_for_change(),
            }
        }
        Ok(())
    }

    /// Marks what the keys of a leaf lead to; `None` if the leaf is gone.
    fn gc_mark_leaf(&self, leaf: &Leaf, stats: &mut GcStats) -> Result<Option<Marked>> {
        let state = loop {
            let state = leaf.state.read();
            match &*state {
                LeafState::Loaded(_) => break state,
                LeafState::Dead => return Ok(None),
                LeafState::NotLoaded => {}
            }
            drop(state);
            self.leaf_load(leaf)?;
        };
        let LeafState::Loaded(n) = &*state else {
            return Ok(None);
        };
        let (mut stale, mut good, mut words) = (0u8, 0u64, 0usize);
        let mut data = 0u64;
        for k in n.keys.iter() {
            match self.mark_key(0, k) {
                Some(0) => {
                    good = good.saturating_add(1);
                    words = words.saturating_add(k.words());
                    data = data.saturating_add(u64::from(k.size()));
                }
                Some(generations) => stale = stale.max(generations),
                None => {}
            }
        }
        let all = num::u64_from_usize(n.keys.len());
        let always = n.hides_stale || self.tun.gc_always_rewrite.get();
        drop(state);

        stats.nodes = stats.nodes.saturating_add(1);
        stats.nkeys = stats.nkeys.saturating_add(good);
        stats.data = stats.data.saturating_add(data.saturating_mul(512));
        let bytes = num::u64_from_usize(words).saturating_mul(8);
        stats.key_bytes = stats.key_bytes.saturating_add(bytes);
        Ok(Some(Marked {
            words,
            rewrite: pace::should_rewrite(stale, all, good, always),
        }))
    }

    /// After a leaf was marked: writes it, anew if it has much that is not live, and merges it with
    /// its left neighbours if they fit into a leaf less.
    fn gc_tidy(&self, run: &mut Run, leaf: Arc<Leaf>, marked: &Marked) -> Result {
        let mut leaf = leaf;
        let mut durable = false;
        if marked.rewrite {
            let old = core::slice::from_ref(&leaf);
            // Keys that were cut into pieces since they were written may not fit into one node: those are for a split.
            let room = self.node_blocks(self.geo.btree_node_sectors());
            let mut used = 0usize;
            let mut place = |words: usize| {
                used = used.saturating_add(words);
                (set_blocks(&self.geo, used) <= room).then_some(0)
            };
            if let Some(fresh) = self.gc_rebuild(old, 1, &mut place)? {
                leaf = fresh.last().ok_or(EIO)?.clone();
                durable = true;
            }
        }
        if !durable {
            self.leaf_write(&leaf)?;
        }
        if run.window.len() >= MERGE_NODES {
            drop(run.window.remove(0));
        }
        match run.window.push_within_capacity((leaf, marked.words)) {
            Ok(()) => self.gc_merge(run),
            Err(_) => Ok(()),
        }
    }

    /// Merges the leaves of the window if that saves one.
    fn gc_merge(&self, run: &mut Run) -> Result {
        let shape = NodeShape {
            block_bytes: num::u32_from_usize_sat(self.geo.block_bytes()),
            node_blocks: self.node_blocks(self.geo.btree_node_sectors()),
        };
        let Ok((words, leaves)) = unzip(&run.window) else {
            return Ok(());
        };
        let Some(plan) = coalesce::plan(&shape, &words) else {
            return Ok(());
        };
        let mut splitter = plan.splitter();
        let merged = self.gc_rebuild(&leaves, plan.nodes(), &mut |n| splitter.place(n))?;
        let Some(fresh) = merged else {
            return Ok(());
        };
        run.stats.nodes = run.stats.nodes.saturating_sub(1);
        run.window.clear();
        let last = fresh.last().ok_or(EIO)?;
        let words = self.live_words(last).unwrap_or(usize::MAX);
        // There is room.
        let _ = run.window.push_within_capacity((last.clone(), words));
        Ok(())
    }

    /// Replaces leaves if there are buckets for that without waiting; gc does not take what splits
    /// may need.
    fn gc_rebuild(
        &self,
        old: &[Arc<Leaf>],
        new: usize,
        place: &mut dyn FnMut(usize) -> Option<usize>,
    ) -> Result<Option<KVec<Arc<Leaf>>>> {
        if !self.btree_reserve_ok() {
            return Ok(None);
        }
        let mut s = match self.lock_structure(new, false) {
            Ok(s) => s,
            Err(e) if e == ENOSPC => return Ok(None),
            Err(e) => return Err(e),
        };
        match self.rebuild(&mut s, old, place, Depth::None) {
            Ok(fresh) => Ok(Some(fresh)),
            // Somebody changed the leaves, or there is no room or memory: not this time.
            Err(e) if e != EIO => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Lets requests through now and then.
    fn gc_pause(&self, run: &mut Run) {
        cond_resched();
        let early = |busy| {
            let step = pace::min_nodes(run.nodes_before, busy);
            run.stats.nodes < run.paused_at.saturating_add(step)
        };
        if early(true) {
            return;
        }
        // Requests that use the index hold passes, and so do the keys of background writeback, which can wait.
        let mut busy = false;
        self.for_each_device(|att| busy |= att.users() > u64::from(att.wb.keys_in_flight()));
        if early(busy) {
            return;
        }
        run.paused_at = run.stats.nodes;
        let time = msecs_to_jiffies(pace::sleep_ms(self.bucket_waiters()));
        let dead = || self.io_disabled();
        self.btree.gc.wait.wait_until_or_stop_timeout(dead, time);
    }
}
