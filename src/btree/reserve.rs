// SPDX-License-Identifier: GPL-2.0

//! How the tree goes on without memory.
//!
//! C: `mca_cannibalize`, `mca_reserve` in `btree.c`. Reads and writes need leaves, and a machine may need them to get
//! memory free. So nothing here waits for memory: what cannot be had comes from reserves.
//!
//! | what | comes from |
//! |---|---|
//! | keys of a leaf that is read or changed | the pool of chunks, one task at a time ([`Lean`]) |
//! | keys of new leaves in a split | the deeper part of that pool, under the structure mutex |
//! | tables, interior nodes, the index in a split | the last reserves of the machine, under the structure mutex |
//! | buffers for I/O | [`DmaPool`](bcache_kernel::dma::DmaPool)s |
//! | check keys, merges | nothing: they need not be |
//!
//! Chunks stay in use as long as their leaf is in memory. When the pool runs low other leaves are written and dropped
//! from memory, and their chunks fill it again. A split gives the chunks of the old leaf back.

use super::leaf::Leaf;
use crate::{
    cache_set::CacheSet,
    flag::Num, //
};
use bcache_core::{
    keymap::{
        Chunk,
        CHUNK_KEYS, //
    },
    num, //
};
use bcache_kernel::{
    memalloc::reserves,
    time::sleep_ms,
    zeroed, //
};
use kernel::{
    alloc::Flags,
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        MutexGuard,
        SpinLock, //
    }, //
};

/// Bytes of a key of an extent.
const KEY_BYTES: usize = 24;
/// Chunks for a change of a leaf, besides those that a whole one may take.
const SPARE: usize = 8;

/// How deep into the reserve one may go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Not at all.
    None,
    /// As far as a split can still do its work. With [`Lean`] held.
    Leaf,
    /// To the bottom. Structure mutex held.
    Split,
}

/// What the reserve is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// A few keys.
    Change,
    /// All keys of a leaf.
    Leaf,
}

/// Says that its holder is the one that may use the reserve for leaves. Taken before `Leaf::io` (`docs/locks.md`); who
/// holds it waits for the disk only.
pub(super) type Lean<'a> = MutexGuard<'a, ()>;

/// Chunks: new ones, or of the reserve if there is no memory.
#[pin_data]
pub(super) struct ChunkPool {
    #[pin]
    reserve: SpinLock<KVec<KBox<Chunk>>>,
    /// Length of the reserve, to be read without the lock.
    len: Num,
    /// Length up to which the reserve is filled.
    full: usize,
    /// What is left for splits.
    floor: usize,
}

impl ChunkPool {
    /// A pool with a full reserve for nodes of this size. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(node_bytes: usize) -> Result<Arc<Self>> {
        // The keys of a node in full chunks, as a split makes them. Those of a leaf that grew in random order can be
        // half full.
        let chunks = node_bytes.div_ceil(KEY_BYTES.saturating_mul(CHUNK_KEYS));
        let floor = chunks.saturating_add(SPARE);
        let full = floor
            .saturating_add(chunks.saturating_mul(2))
            .saturating_add(SPARE * 2);
        let reserve = KVec::with_capacity(full, GFP_KERNEL)?;
        let pool = Arc::pin_init(
            pin_init!(Self {
                reserve <- new_spinlock!(reserve, "ChunkPool::reserve"),
                len: Num::new(0),
                full,
                floor,
            }),
            GFP_KERNEL,
        )?;
        for _ in 0..full {
            pool.give(new_chunk(GFP_KERNEL).ok_or(ENOMEM)?);
        }
        Ok(pool)
    }

    /// An empty chunk. Does not wait.
    pub(super) fn take(&self, depth: Depth) -> Option<KBox<Chunk>> {
        if let Some(chunk) = new_chunk(GFP_NOWAIT) {
            return Some(chunk);
        }
        let floor = match depth {
            Depth::None => return None,
            Depth::Leaf => self.floor,
            Depth::Split => 0,
        };
        let mut reserve = self.reserve.lock();
        if reserve.len() <= floor {
            return None;
        }
        let mut chunk = reserve.pop()?;
        self.len.put(num::u32_from_usize_sat(reserve.len()));
        drop(reserve);
        chunk.clear();
        Some(chunk)
    }

    /// Takes a chunk back: into the reserve if that is not full.
    pub(super) fn give(&self, chunk: KBox<Chunk>) {
        if self.is_full() {
            return;
        }
        let mut reserve = self.reserve.lock();
        // If there is no more room, the chunk is freed.
        let _ = reserve.push_within_capacity(chunk);
        self.len.put(num::u32_from_usize_sat(reserve.len()));
    }

    /// Whether the reserve is complete.
    pub(super) fn is_full(&self) -> bool {
        num::usize_from_u32(self.len.get()) >= self.full
    }

    /// Whether the reserve has what its user needs.
    fn has(&self, need: Need) -> bool {
        let len = num::usize_from_u32(self.len.get());
        match need {
            Need::Change => len >= self.floor.saturating_add(SPARE),
            Need::Leaf => len >= self.full,
        }
    }

    /// Fills the reserve as far as there is memory.
    pub(super) fn top_up(&self) {
        while !self.is_full() {
            let Some(chunk) = new_chunk(GFP_NOWAIT) else {
                return;
            };
            self.give(chunk);
        }
    }
}

/// Allocates an empty chunk.
fn new_chunk(flags: Flags) -> Option<KBox<Chunk>> {
    zeroed::boxed(flags).ok()
}

impl CacheSet {
    /// Waits for the turn to use the reserve for leaves, and fills it if it has too little: writes leaves and drops them
    /// from memory, but not `keep`. May sleep for the disk; hold no lock of a leaf.
    pub(super) fn lean(&self, keep: &Leaf, need: Need) -> Lean<'_> {
        let lean = self.btree.lean.lock();
        let Some(index) = self.btree.index() else {
            return lean;
        };
        // First those that nobody used lately, then all that are clean, then the others.
        let unused = |leaf: &Leaf| !leaf.untouch() && self.evict(leaf);
        let clean = |leaf: &Leaf| self.evict(leaf);
        let any = |leaf: &Leaf| self.leaf_write(leaf).is_ok() && self.evict(leaf);
        let ways: [&dyn Fn(&Leaf) -> bool; 3] = [&unused, &clean, &any];
        for way in ways {
            for leaf in index.iter() {
                if self.btree.chunks.has(need) || self.io_disabled() {
                    return lean;
                }
                if !core::ptr::eq(&**leaf, keep) {
                    way(leaf);
                }
            }
        }
        lean
    }

    /// Runs `f` until it does not fail for lack of memory, or the set is dead.
    ///
    /// For small allocations in the middle of a change that must not stop halfway: the writes of users wait for it. So
    /// `f` may take the last reserves of the machine.
    pub(super) fn insist<T>(&self, mut f: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            let reserves = reserves();
            let done = f();
            drop(reserves);
            match done {
                Err(e) if e == ENOMEM && !self.io_disabled() => sleep_ms(10),
                other => return other,
            }
        }
    }
}
