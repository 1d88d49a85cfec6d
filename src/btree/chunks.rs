// SPDX-License-Identifier: GPL-2.0

//! Memory of the keys of a leaf: slab objects of 1 KiB behind the core crate's [`KeyMap`].
//!
//! C keeps the sets of a node in one buffer of the size of the node (`bset.c`); here a leaf only
//! takes what its keys need.

use bcache_core::keymap::{
    Chunk,
    Chunks,
    KeyMap,
    NoMem, //
};
use kernel::prelude::*;

/// The keys of a leaf, or the part of them that is not on disk yet.
pub(super) type LeafMap = KeyMap<ChunkList>;

/// An empty map; takes no memory.
pub(super) fn new_map() -> LeafMap {
    KeyMap::new(ChunkList::new())
}

/// Chunks in the order of their keys, and some in stock. Allocates: the caller is in a NOIO scope.
pub(crate) struct ChunkList {
    used: KVec<KBox<Chunk>>,
    stock: KVec<KBox<Chunk>>,
}

impl ChunkList {
    /// No chunk, no stock.
    fn new() -> Self {
        Self {
            used: KVec::new(),
            stock: KVec::new(),
        }
    }

    /// Allocates one chunk for the stock. Not inlined: a chunk passes over the stack.
    #[inline(never)]
    fn buy(&mut self) -> Result<(), NoMem> {
        let chunk = KBox::new(Chunk::new(), GFP_KERNEL).map_err(|_| NoMem)?;
        self.stock.push(chunk, GFP_KERNEL).map_err(|_| NoMem)
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

    fn insert(&mut self, i: usize) -> Result<&mut Chunk, NoMem> {
        self.reserve(1)?;
        let chunk = self.stock.pop().ok_or(NoMem)?;
        // There is room since `reserve`, so the only failure would be an index behind the end.
        self.used
            .insert_within_capacity(i, chunk)
            .map_err(|_| NoMem)?;
        self.get_mut(i).ok_or(NoMem)
    }

    fn remove(&mut self, i: usize) {
        drop(self.used.remove(i));
    }

    fn reserve(&mut self, n: usize) -> Result<(), NoMem> {
        let spare = self.used.capacity().saturating_sub(self.used.len());
        if spare < n {
            self.used.reserve(n, GFP_KERNEL).map_err(|_| NoMem)?;
        }
        while self.stock.len() < n {
            self.buy()?;
        }
        Ok(())
    }
}
