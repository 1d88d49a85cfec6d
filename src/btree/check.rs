// SPDX-License-Identifier: GPL-2.0

//! Start: reading all leaves and marking what their keys lead to, by several threads.
//!
//! C: `bch_btree_check_thread` in `btree.c`.

use super::{
    interior::NodeKey,
    leaf::{
        Leaf,
        LeafState, //
    }, //
};
use crate::{
    cache_set::CacheSet,
    flag::{
        Flag,
        Num, //
    }, //
};
use bcache_core::{
    key::Pos,
    num::usize_from_u32, //
};
use bcache_kernel::{
    kthread::Thread,
    memalloc::noio,
    time::cond_resched, //
};
use kernel::{
    cpu::nr_cpu_ids,
    prelude::*,
    sync::Arc, //
};

/// Most threads (C: `BCH_BTR_CHKTHREAD_MAX`), the caller included.
const MOST_THREADS: u32 = 12;

/// What the threads share.
struct Check {
    set: Arc<CacheSet>,
    leaves: KVVec<Arc<Leaf>>,
    /// Number of the next leaf.
    next: Num,
    failed: Flag,
}

impl Check {
    /// Takes leaf after leaf until none is left or something failed.
    fn work(&self) {
        let _noio = noio();
        while !self.failed.get() {
            let i = usize_from_u32(self.next.add(1));
            let Some(leaf) = self.leaves.get(i) else {
                return;
            };
            let before = i.checked_sub(1).and_then(|i| self.leaves.get(i));
            let start = before.map_or(Pos::MIN, |leaf| leaf.key.end);
            if self.set.load_and_mark(leaf, start).is_err() {
                self.failed.set();
            }
            cond_resched();
        }
    }
}

impl CacheSet {
    /// `start`: where the range of the leaf begins.
    fn load_and_mark(&self, leaf: &Leaf, start: Pos) -> Result {
        self.leaf_load(leaf)?;
        if let LeafState::Loaded(n) = &*leaf.state.read() {
            if n.keys.first().is_some_and(|k| k.start_pos() < start) {
                self.set_error(format_args!(
                    "btree leaf {} has keys before its range",
                    leaf.key.key()
                ));
                return Err(EIO);
            }
            for k in &n.keys {
                self.initial_mark_key(0, k);
            }
        }
        if !self.btree.chunks.is_full() {
            // There is no memory for all leaves. The tree is not in use yet, so that nobody else drops any.
            self.evict(leaf);
        }
        Ok(())
    }
}

/// Reads the leaves `keys` lead to. May sleep long.
///
/// # Errors
///
/// `EIO`, `ENOMEM`.
pub(super) fn load_leaves(set: &Arc<CacheSet>, keys: &[NodeKey]) -> Result<KVVec<Arc<Leaf>>> {
    let mut leaves = KVVec::with_capacity(keys.len(), GFP_KERNEL)?;
    for key in keys {
        leaves.push(Leaf::new(*key, LeafState::NotLoaded)?, GFP_KERNEL)?;
    }
    let check = Check {
        set: set.clone(),
        leaves,
        next: Num::new(0),
        failed: Flag::new(false),
    };
    let check = Arc::new(check, GFP_KERNEL)?;
    let threads = (nr_cpu_ids() / 2).clamp(1, MOST_THREADS);
    let mut helpers = KVec::new();
    for _ in 1..threads {
        let mine = check.clone();
        // Whoever is there does the work.
        if let Ok(thread) = Thread::spawn(c"bch_btrchk", move || mine.work()) {
            helpers.push(thread, GFP_KERNEL)?;
        }
    }
    check.work();
    // Waits until they are through with their last leaves.
    drop(helpers);
    if check.failed.get() {
        return Err(EIO);
    }
    let mut leaves = KVVec::with_capacity(keys.len(), GFP_KERNEL)?;
    for leaf in &check.leaves {
        leaves.push(leaf.clone(), GFP_KERNEL)?;
    }
    Ok(leaves)
}
