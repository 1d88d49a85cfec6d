// SPDX-License-Identifier: GPL-2.0

//! The merged, sorted content of a leaf: extents that do not overlap.
//!
//! The keys lie in chunks of up to 42. A look-up is a binary search over the chunks and one within a chunk;
//! a change moves keys within one chunk. Where a chunk is full, it is split; chunks that became empty are
//! removed and small neighbours are joined.
//!
//! Every operation that can fail for memory gets the memory before it changes anything.
//!
//! C reference: `drivers/md/bcache/bset.c`, `extents.c` (`bch_extent_insert_fixup`).

mod change;
mod chunk;
mod cursor;
mod overlay;

pub use self::{
    change::{
        Change,
        Replaced,
        CHANGE_WORDS, //
    },
    chunk::{
        Chunk,
        Chunks,
        NoMem,
        CHUNK_KEYS, //
    }, //
};

use crate::key::{
    Key,
    Pos, //
};

/// Sorted, non-overlapping keys, none of size 0.
///
/// # Invariants
///
/// No chunk is empty; keys ascend by position and do not overlap; `len` and `words` are the sums over all
/// keys.
pub struct KeyMap<C: Chunks> {
    chunks: C,
    len: usize,
    words: usize,
    /// The chunk that the last key was put into. Only a hint: it may be another one by now, or none.
    near: usize,
}

impl<C: Chunks> KeyMap<C> {
    /// An empty map; `chunks` must be empty.
    pub fn new(chunks: C) -> Self {
        Self {
            chunks,
            len: 0,
            words: 0,
            near: 0,
        }
    }

    /// Number of keys.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// On-disk words of all keys.
    #[inline]
    pub fn words(&self) -> usize {
        self.words
    }

    /// What the keys are kept in.
    pub fn chunks(&self) -> &C {
        &self.chunks
    }

    /// What the keys are kept in, for its own bookkeeping (spare chunks); the chunks must stay as they are.
    pub fn chunks_mut(&mut self) -> &mut C {
        &mut self.chunks
    }

    /// Makes sure that the next `n` calls of [`Self::insert`] and [`Self::erase`] cannot fail.
    ///
    /// A [`Self::replace`] counts twice.
    ///
    /// # Errors
    ///
    /// [`NoMem`]; the content is what it was.
    pub fn reserve(&mut self, n: usize) -> Result<(), NoMem> {
        self.chunks.reserve(n)
    }

    /// Removes all keys.
    pub fn clear(&mut self) {
        while let Some(last) = self.chunks.len().checked_sub(1) {
            self.chunks.remove(last);
        }
        self.len = 0;
        self.words = 0;
    }

    /// First key.
    pub fn first(&self) -> Option<&Key> {
        self.chunks.get(0)?.keys().first()
    }

    /// Last key.
    pub fn last(&self) -> Option<&Key> {
        let last = self.chunks.len().checked_sub(1)?;
        self.chunks.get(last)?.keys().last()
    }

    /// Iterates from the first key whose position (its end) is behind `p`.
    pub fn seek(&self, p: Pos) -> Iter<'_, C> {
        let at = self.locate(p);
        let keys = self.chunks.get(at.c).map_or(&[][..], Chunk::keys);
        Iter {
            chunks: &self.chunks,
            keys: keys.get(at.s..).unwrap_or_default().iter(),
            next: at.c.saturating_add(1),
        }
    }

    /// Iterates over all keys.
    pub fn iter(&self) -> Iter<'_, C> {
        Iter {
            chunks: &self.chunks,
            keys: [].iter(),
            next: 0,
        }
    }
}

/// Keys in ascending order.
pub struct Iter<'a, C: Chunks> {
    chunks: &'a C,
    keys: core::slice::Iter<'a, Key>,
    next: usize,
}

impl<'a, C: Chunks> Iterator for Iter<'a, C> {
    type Item = &'a Key;

    #[inline]
    fn next(&mut self) -> Option<&'a Key> {
        loop {
            if let Some(k) = self.keys.next() {
                return Some(k);
            }
            self.keys = self.chunks.get(self.next)?.keys().iter();
            self.next = self.next.saturating_add(1);
        }
    }
}

impl<C: Chunks> core::iter::FusedIterator for Iter<'_, C> {}

impl<'a, C: Chunks> IntoIterator for &'a KeyMap<C> {
    type Item = &'a Key;
    type IntoIter = Iter<'a, C>;

    fn into_iter(self) -> Iter<'a, C> {
        self.iter()
    }
}
