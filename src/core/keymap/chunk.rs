// SPDX-License-Identifier: GPL-2.0

//! Chunks: the pieces that a [`KeyMap`](super::KeyMap) is made of.
//!
//! C reference: none; takes the place of the sets of `drivers/md/bcache/bset.c`.

use crate::key::Key;
use zerocopy_derive::FromZeros;

/// Keys of one chunk; a chunk is a slab object of 1 KiB.
pub const CHUNK_KEYS: usize = 42;

const _: () = assert!(core::mem::size_of::<Chunk>() <= 1024);

/// Some sorted keys.
///
/// # Invariants
///
/// `len <= CHUNK_KEYS`. Zeros are an empty chunk.
#[derive(Clone, Debug, FromZeros)]
pub struct Chunk {
    /// Keys that count.
    len: usize,
    /// The keys; those from `len` on are left over from earlier.
    keys: [Key; CHUNK_KEYS],
}

impl Chunk {
    /// An empty chunk.
    pub const fn new() -> Self {
        Self {
            len: 0,
            keys: [Key::ZERO; CHUNK_KEYS],
        }
    }

    /// The keys in ascending order.
    #[inline]
    pub fn keys(&self) -> &[Key] {
        self.keys.get(..self.len).unwrap_or_default()
    }

    /// [`Key::order`] of the last key; 0 if there is none.
    #[inline]
    pub(super) fn last_order(&self) -> u128 {
        let last = self.len.wrapping_sub(1);
        self.keys.get(last).map_or(0, Key::order)
    }

    /// The slot of the first key behind `order`.
    #[inline]
    pub(super) fn slot_behind(&self, order: u128) -> usize {
        self.keys().partition_point(|k| k.order() <= order)
    }

    /// Makes the chunk empty.
    pub fn clear(&mut self) {
        self.len = 0;
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

    /// Number of keys that fit in addition.
    #[inline]
    pub(super) fn free(&self) -> usize {
        CHUNK_KEYS.saturating_sub(self.len)
    }

    /// Changes the key in slot `s`; gives the old one.
    #[inline]
    pub(super) fn set(&mut self, s: usize, k: &Key) -> Option<Key> {
        let len = self.len;
        let slot = self.keys.get_mut(..len)?.get_mut(s)?;
        Some(core::mem::replace(slot, *k))
    }

    /// Puts a key before slot `s`; false if there is no room or no such slot.
    #[inline]
    pub(super) fn insert(&mut self, s: usize, k: &Key) -> bool {
        if self.len >= CHUNK_KEYS {
            return false;
        }
        let Some(tail) = self.keys.get_mut(s..=self.len) else {
            return false;
        };
        let Some(moved) = tail.len().checked_sub(1) else {
            return false;
        };
        tail.copy_within(..moved, 1);
        if let Some(slot) = tail.first_mut() {
            *slot = *k;
        }
        // INVARIANT: it was below `CHUNK_KEYS`.
        self.len = self.len.wrapping_add(1);
        true
    }

    /// Puts a key that covers something behind the last one, or joins the two.
    #[inline]
    pub(super) fn append(&mut self, k: &Key, bucket_sectors: u32) -> Appended {
        let end = self.len;
        let last = self.keys.get_mut(..end).and_then(<[Key]>::last_mut);
        if let Some(last) = last {
            if last.order() > k.start_pos().order() {
                return Appended::NotBehind;
            }
            if last.try_merge(k, bucket_sectors) {
                return Appended::Joined;
            }
        }
        let Some(slot) = self.keys.get_mut(end) else {
            return Appended::Full;
        };
        *slot = *k;
        // INVARIANT: there was a slot, so it was below `CHUNK_KEYS`.
        self.len = end.wrapping_add(1);
        Appended::Put
    }

    /// Moves the keys from slot `s` on to the end of `to`; nothing happens if they do not fit there.
    pub(super) fn move_tail(&mut self, s: usize, to: &mut Self) {
        let tail = self.keys.get(s..self.len).unwrap_or_default();
        let end = to.len;
        let room = to.keys.get_mut(end..).and_then(|r| r.get_mut(..tail.len()));
        let Some(room) = room else {
            return;
        };
        room.copy_from_slice(tail);
        // INVARIANT: there was room for them; this chunk becomes shorter if anything.
        to.len = end.saturating_add(tail.len());
        self.len = self.len.min(s);
    }

    /// Removes `n` keys from slot `s` on; nothing happens if there are fewer.
    #[inline]
    pub(super) fn remove(&mut self, s: usize, n: usize) {
        let len = self.len;
        let Some(tail) = self.keys.get_mut(s..len) else {
            return;
        };
        if n > tail.len() {
            return;
        }
        tail.copy_within(n.., 0);
        self.len = len.saturating_sub(n);
    }
}

/// What became of a key that was to go to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Appended {
    /// It is the last one.
    Put,
    /// The last one covers it, too.
    Joined,
    /// There is no room.
    Full,
    /// It does not lie behind the last one.
    NotBehind,
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
    }
}

/// Memory for a chunk could not be had; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMem;

impl core::fmt::Display for NoMem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("out of memory")
    }
}

/// An ordered list of chunks, with fallible growth: `KVec<KBox<Chunk>>` in the driver.
pub trait Chunks {
    /// Number of chunks.
    fn len(&self) -> usize;

    /// Chunk `i`.
    fn get(&self, i: usize) -> Option<&Chunk>;

    /// Chunk `i`, to be changed.
    fn get_mut(&mut self, i: usize) -> Option<&mut Chunk>;

    /// Chunks `i` and `i + 1`, to be changed.
    fn neighbours(&mut self, i: usize) -> Option<(&mut Chunk, &mut Chunk)>;

    /// Number of chunks from the start on for which `before` is true; it is false for all behind these.
    fn partition(&self, before: impl Fn(&Chunk) -> bool) -> usize;

    /// Puts an empty chunk before chunk `i` (at the end if `i == len()`) and returns it.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing changed.
    fn insert(&mut self, i: usize) -> Result<&mut Chunk, NoMem>;

    /// Removes chunk `i`.
    fn remove(&mut self, i: usize);

    /// Makes sure that the next `n` calls of [`Self::insert`] succeed.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing lost.
    fn reserve(&mut self, n: usize) -> Result<(), NoMem>;

    /// Whether there is no chunk.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
