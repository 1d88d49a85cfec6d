// SPDX-License-Identifier: GPL-2.0

//! The btree of a cache set: which sectors of which device are where in the cache.
//!
//! C: `btree.c`, `bset.c`, `extents.c`. The format on disk is C's; what is in memory is not:
//!
//! * A **leaf** in memory is one sorted map of extents plus the part of it that is not on disk yet
//!   (its *pending set*). C keeps up to four sets per node and merges them at each lookup.
//! * **Lookups** go through an immutable array of all leaves, published by RCU. There is no walk
//!   from the root and no lock that all I/O shares.
//! * **Interior nodes** are always in memory and only used to change the tree: all of that happens
//!   under the structure mutex and is written before it counts.
//!
//! All functions that change something are blocking code for process context.
//!
//! # Locks
//!
//! Structure mutex, then `Btree::lean` (under it only while a tree is loaded), then `Leaf::io`, then `Leaf::state`;
//! those of allocator and journal under the structure mutex, but not under the others. See `docs/locks.md`. Two
//! leaves are never locked at a time. `Leaf::state` is never held while waiting for I/O, unless nobody else can reach
//! the leaf yet, and `Leaf::io` only for the I/O of this leaf. Buckets are allocated before the structure mutex is
//! taken.
//! Therefore the journal may write leaves ([`CacheSet::btree_flush_oldest`]) whatever the btree
//! waits for, also when it waits for the journal.
//!
//! # What survives a crash
//!
//! * Each key inserted with a journal pin: the leaf holds the pin until a set with the key is
//!   durable in the node, or in the node's successor and that in its parent. Replaced keys are not
//!   journalled; gc writes each leaf after it has marked it, so that what the key pointed to before
//!   is not reused earlier.
//! * The shape of the tree: see [`interior`].

mod check;
mod chunks;
mod flush;
mod gc;
mod gc_nodes;
mod gc_walk;
mod index;
mod insert;
mod interior;
mod leaf;
mod load;
mod lookup;
mod node_io;
mod reserve;
mod shrink;
mod split;
mod timed;

pub(crate) use self::insert::Wait;

use self::{
    flush::Flusher,
    gc::Gc,
    index::Index,
    interior::Interior,
    leaf::Leaf,
    node_io::SET_BYTES,
    reserve::ChunkPool,
    timed::Times, //
};
use crate::{
    alloc::Reserve,
    buckets::BucketPin,
    cache_set::CacheSet,
    flag::Num, //
};
use bcache_core::{
    geometry::Geometry,
    key::Pos,
    num, //
};
use bcache_kernel::{
    dma::DmaPool,
    rcu::RcuArc,
    shrinker::Shrinker, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        MutexGuard, //
    },
};

/// Buckets kept ready for new nodes at most.
const STOCK: usize = 32;
/// Buffers that are there even without memory: for nodes, and for appended sets.
const NODE_BUFS: usize = 4;
const SET_BUFS: usize = 4;

/// What the structure mutex guards.
struct Structure {
    /// Interior nodes by level (index 0 is level 1), in order. The last level has one node, the
    /// root; no level: the root is a leaf.
    levels: KVec<KVec<KBox<Interior>>>,
    /// Buckets for new nodes, allocated ahead. Their pins keep gc away.
    stock: KVec<BucketPin>,
}

impl Structure {
    /// Keeps an unused bucket for the next change, or frees it.
    fn give_back(&mut self, c: &CacheSet, pin: BucketPin) {
        if self.stock.len() < STOCK && self.stock.push_within_capacity(pin.clone()).is_ok() {
            return;
        }
        c.bucket_free(pin.nr());
    }
}

/// The btree of a set.
#[pin_data]
pub(crate) struct Btree {
    /// All leaves; empty until the tree was loaded or made.
    index: RcuArc<Index>,
    #[pin]
    structure: Mutex<Structure>,
    /// Interior levels.
    depth: Num,
    leaves: Num,
    /// Leaves in memory.
    loaded: Num,
    /// Bytes of the buffers in `node_bufs`.
    node_bytes: usize,
    node_bufs: Arc<DmaPool>,
    set_bufs: Arc<DmaPool>,
    /// Memory of the keys of leaves.
    chunks: Arc<ChunkPool>,
    /// See [`reserve::Lean`].
    #[pin]
    lean: Mutex<()>,
    #[pin]
    flusher: Flusher,
    /// Garbage collection.
    #[pin]
    pub(crate) gc: Gc,
    /// How long things took.
    #[pin]
    pub(crate) times: Times,
    #[pin]
    shrinker: Mutex<Option<Shrinker<CacheSet>>>,
}

impl Btree {
    /// A btree without a root. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(geo: &Geometry) -> impl PinInit<Self, Error> {
        let geo = *geo;
        let node_bytes = num::usize_from_u32(geo.btree_node_sectors()).saturating_mul(512);
        try_pin_init!(Self {
            index: RcuArc::new(None),
            structure <- new_mutex!(
                Structure {
                    levels: KVec::new(),
                    stock: KVec::with_capacity(STOCK, GFP_KERNEL)?,
                },
                "Btree::structure"
            ),
            depth: Num::new(0),
            leaves: Num::new(0),
            loaded: Num::new(0),
            node_bytes,
            node_bufs: DmaPool::new(NODE_BUFS, *node_bytes)?,
            set_bufs: DmaPool::new(SET_BUFS, SET_BYTES.min(*node_bytes))?,
            chunks: ChunkPool::new(*node_bytes)?,
            lean <- new_mutex!((), "Btree::lean"),
            flusher <- Flusher::new(),
            gc <- Gc::new(&geo),
            times <- Times::new(),
            shrinker <- new_mutex!(None, "Btree::shrinker"),
        }? Error)
    }

    /// The leaf that has the keys of `pos`. Any context that is not interrupt context.
    #[inline]
    fn leaf_at(&self, pos: Pos) -> Option<Arc<Leaf>> {
        self.index.load_with(|index| index.find(pos).cloned())?
    }

    /// Calls `f` with the leaf that has the keys of `pos`; `f` must not sleep. Any context that is not interrupt context.
    #[inline]
    fn with_leaf_at<R>(&self, pos: Pos, f: impl FnOnce(&Leaf) -> R) -> Option<R> {
        self.index.load_with(|index| Some(f(index.find(pos)?)))?
    }

    /// The current index, to walk over all leaves.
    fn index(&self) -> Option<Arc<Index>> {
        self.index.load()
    }

    /// Waits until the change of the tree that is under way is over. May sleep.
    fn wait_for_change(&self) {
        drop(self.structure.lock());
    }

    /// Shows readers a new index, in which `new` leaves, in memory, took the place of `old` ones.
    fn publish(&self, index: Arc<Index>, old: usize, new: usize) {
        self.leaves.put(num::u32_from_usize_sat(index.len()));
        let (old, new) = (num::u32_from_usize_sat(old), num::u32_from_usize_sat(new));
        self.loaded.add(new.wrapping_sub(old));
        drop(self.index.replace(Some(index)));
    }

    /// Notes the number of interior levels.
    fn note_depth(&self, levels: usize) {
        self.depth.put(num::u32_from_usize_sat(levels));
    }

    /// Level of the root (sysfs `tree_depth`).
    pub(crate) fn depth(&self) -> u32 {
        self.depth.get()
    }
}

impl CacheSet {
    /// Takes the structure mutex, with buckets in stock for `leaves` new leaves and what may become
    /// of the nodes above. With `wait` sleeps for buckets, before the mutex is taken.
    ///
    /// # Errors
    ///
    /// `ENOSPC` without `wait`; `EIO` if the set is dead.
    fn lock_structure(&self, leaves: usize, wait: bool) -> Result<MutexGuard<'_, Structure>> {
        loop {
            let s = self.btree.structure.lock();
            // Each level may need two nodes, and then there is a new root.
            let above = s.levels.len().saturating_mul(2).saturating_add(1);
            let need = leaves.saturating_add(above).min(STOCK);
            let missing = need.saturating_sub(s.stock.len());
            if missing == 0 {
                return Ok(s);
            }
            drop(s);
            for _ in 0..missing {
                let pin = self.bucket_alloc(Reserve::Btree, wait)?;
                self.btree.structure.lock().give_back(self, pin);
            }
        }
    }

    /// Share of the root node that its keys take, in percent (sysfs `root_usage_percent`).
    pub(crate) fn btree_root_usage_percent(&self) -> u64 {
        let s = self.btree.structure.lock();
        let root = s.levels.last().and_then(|nodes| nodes.first());
        let (words, sectors) = match root {
            Some(node) => (node.children.len().saturating_mul(3), node.key.sectors),
            None => {
                drop(s);
                let Some(leaf) = self.btree.leaf_at(Pos::MIN) else {
                    return 0;
                };
                (self.live_words(&leaf).unwrap_or(0), leaf.key.sectors)
            }
        };
        let bytes = num::u64_from_usize(words).saturating_mul(8);
        let size = u64::from(sectors).saturating_mul(512).max(1);
        bytes.saturating_mul(100).checked_div(size).unwrap_or(0)
    }
}
