// SPDX-License-Identifier: GPL-2.0

//! Memory of the keys of a leaf: slab objects of 1 KiB behind the core crate's [`KeyMap`].
//!
//! C keeps the sets of a node in one buffer of the size of the node (`bset.c`), and some such buffers in reserve
//! (`mca_reserve`); here a leaf only takes what its keys need, and the reserve is of chunks.

use super::reserve::{
    ChunkPool,
    Depth, //
};
use bcache_core::keymap::{
    Chunk,
    Chunks,
    KeyMap,
    NoMem, //
};
use bcache_kernel::memalloc::reserves;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// More than a leaf has chunks: its keys fit into 4 MiB.
const MOST: usize = 1 << 20;

/// The keys of a leaf, or the part of them that is not on disk yet.
pub(super) type LeafMap = KeyMap<ChunkList>;

/// An empty map, which takes no memory; when it has to, it may take what `depth` says.
pub(super) fn new_map(pool: &Arc<ChunkPool>, depth: Depth) -> LeafMap {
    KeyMap::new(ChunkList {
        used: KVec::new(),
        stock: KVec::new(),
        pool: pool.clone(),
        depth,
    })
}

/// Chunks in the order of their keys, and some in stock. Never waits for memory.
///
/// # Invariants
///
/// The table of those in use has room for all that are in stock.
pub(crate) struct ChunkList {
    used: KVec<KBox<Chunk>>,
    stock: KVec<KBox<Chunk>>,
    /// Where chunks go, and may come from.
    pool: Arc<ChunkPool>,
    depth: Depth,
}

impl ChunkList {
    /// How deep into the reserve it may go from now on.
    pub(super) fn set_depth(&mut self, depth: Depth) {
        self.depth = depth;
    }

    /// An empty map that shares the reserve.
    pub(super) fn sibling(&self) -> LeafMap {
        new_map(&self.pool, Depth::None)
    }

    /// Makes room in the tables for `n` chunks in stock, and for them in use.
    fn widen(&mut self, n: usize) -> Result<(), NoMem> {
        let in_use = self.used.capacity().saturating_sub(self.used.len()) >= n;
        if in_use && self.stock.capacity() >= n {
            return Ok(());
        }
        // Tables are small: who may take of the reserve may do so for them, too.
        let _reserves = (self.depth != Depth::None).then(reserves);
        let more = n.saturating_sub(self.stock.len());
        self.used.reserve(n, GFP_NOWAIT).map_err(|_| NoMem)?;
        self.stock.reserve(more, GFP_NOWAIT).map_err(|_| NoMem)
    }
}

impl Chunks for ChunkList {
    fn len(&self) -> usize {
        self.used.len()
    }

    fn get(&self, i: usize) -> Option<&Chunk> {
        self.used.get(i).map(|chunk| &**chunk)
    }

    fn get_mut(&mut self, i: usize) -> Option<&mut Chunk> {
        self.used.get_mut(i).map(|chunk| &mut **chunk)
    }

    fn neighbours(&mut self, i: usize) -> Option<(&mut Chunk, &mut Chunk)> {
        let (head, tail) = self.used.split_at_mut_checked(i.saturating_add(1))?;
        Some((head.last_mut()?, tail.first_mut()?))
    }

    #[inline]
    fn partition(&self, before: impl Fn(&Chunk) -> bool) -> usize {
        // There are never as many; so the compiler knows that no place behind one overflows, and leaves out the panic.
        let used = self.used.get(..MOST).unwrap_or(&self.used);
        used.partition_point(|chunk| before(chunk))
    }

    fn insert(&mut self, i: usize) -> Result<&mut Chunk, NoMem> {
        // What is in stock was promised: nothing may be needed for it now.
        if self.stock.is_empty() {
            self.reserve(1)?;
        }
        let chunk = self.stock.pop().ok_or(NoMem)?;
        // There is room by the type invariant, so the only failure would be an index behind the end.
        self.used
            .insert_within_capacity(i, chunk)
            .map_err(|_| NoMem)?;
        self.get_mut(i).ok_or(NoMem)
    }

    fn remove(&mut self, i: usize) {
        if let Ok(chunk) = self.used.remove(i) {
            self.pool.give(chunk);
        }
    }

    #[inline]
    fn reserve(&mut self, n: usize) -> Result<(), NoMem> {
        // There is room for them by the type invariant.
        if self.stock.len() >= n {
            return Ok(());
        }
        self.widen(n)?;
        while self.stock.len() < n {
            let chunk = self.pool.take(self.depth).ok_or(NoMem)?;
            // There is room.
            self.stock.push_within_capacity(chunk).map_err(|_| NoMem)?;
        }
        Ok(())
    }
}

impl Drop for ChunkList {
    fn drop(&mut self) {
        for list in [&mut self.used, &mut self.stock] {
            while let Some(chunk) = list.pop() {
                self.pool.give(chunk);
            }
        }
    }
}
