// SPDX-License-Identifier: GPL-2.0

//! Places in a [`KeyMap`] and the changes of single slots.
//!
//! C reference: `drivers/md/bcache/bset.c` (`__bch_bset_search`, `bch_bset_insert`).

use super::{
    Chunk,
    Chunks,
    KeyMap,
    NoMem,
    CHUNK_KEYS, //
};
use crate::key::{
    Key,
    Pos, //
};

/// Two neighbouring chunks with at most this many keys together are joined.
const JOIN_BELOW: usize = CHUNK_KEYS * 2 / 3;

/// A slot: chunk and index within the chunk. The end of the map is slot 0 of the chunk behind the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At {
    /// Chunk.
    pub(super) c: usize,
    /// Slot of the chunk; may be the one behind its last key where a key is to be inserted.
    pub(super) s: usize,
}

impl At {
    /// The slot `n` further on in the same chunk.
    #[inline]
    pub(super) fn plus(self, n: usize) -> Self {
        Self {
            c: self.c,
            s: self.s.saturating_add(n),
        }
    }
}

impl<C: Chunks> KeyMap<C> {
    /// First key whose position is behind `p`.
    pub(super) fn locate(&self, p: Pos) -> At {
        let chunks = self.chunks.len();
        let end = At { c: chunks, s: 0 };
        let p = p.order();
        // What follows at the end is looked for most.
        if self.last().is_none_or(|k| k.order() <= p) {
            return end;
        }
        let low = self.chunks.partition(|c| c.last_order() <= p);
        At {
            c: low,
            s: self.chunks.get(low).map_or(0, |c| c.slot_behind(p)),
        }
    }

    /// As [`Self::locate`], for a key that is to be put there: such often come in ascending order, so that the place is in the
    /// chunk of the last one, or in the next.
    pub(super) fn locate_next(&mut self, p: Pos) -> At {
        let order = p.order();
        let at = match self.chunk_near(self.near, order) {
            Some(c) => At {
                c,
                s: self.chunks.get(c).map_or(0, |c| c.slot_behind(order)),
            },
            None => self.locate(p),
        };
        self.near = at.c;
        at
    }

    /// The chunk that has the first key behind `order`, if that is `c` or the one after it, and no earlier one can be.
    fn chunk_near(&self, c: usize, order: u128) -> Option<usize> {
        let chunk = self.chunks.get(c)?;
        if chunk.keys().first()?.order() > order {
            return None;
        }
        if chunk.last_order() > order {
            return Some(c);
        }
        let next = c.saturating_add(1);
        (self.chunks.get(next)?.last_order() > order).then_some(next)
    }

    /// The key in a slot.
    #[inline]
    pub(super) fn key_at(&self, at: At) -> Option<&Key> {
        self.chunks.get(at.c)?.keys().get(at.s)
    }

    /// Keys of chunk `c`; 0 if there is no such chunk.
    #[inline]
    pub(super) fn chunk_len(&self, c: usize) -> usize {
        self.chunks.get(c).map_or(0, Chunk::len)
    }

    /// Keys that still fit into chunk `c`.
    #[inline]
    pub(super) fn chunk_free(&self, c: usize) -> usize {
        self.chunks.get(c).map_or(0, Chunk::free)
    }

    /// The slot itself, or the first of the next chunk if `at` is behind the last key of its chunk.
    #[inline]
    pub(super) fn normal(&self, at: At) -> At {
        if at.s < self.chunk_len(at.c) {
            at
        } else {
            At {
                c: at.c.saturating_add(1).min(self.chunks.len()),
                s: 0,
            }
        }
    }

    /// The slot before `at`.
    #[inline]
    pub(super) fn before(&self, at: At) -> Option<At> {
        if let Some(s) = at.s.checked_sub(1) {
            return Some(At { c: at.c, s });
        }
        let c = at.c.checked_sub(1)?;
        let s = self.chunk_len(c).checked_sub(1)?;
        Some(At { c, s })
    }

    /// Changes the key in a slot.
    #[inline]
    pub(super) fn set(&mut self, at: At, k: &Key) {
        let Some(chunk) = self.chunks.get_mut(at.c) else {
            return;
        };
        if let Some(old) = chunk.set(at.s, k) {
            self.words = self
                .words
                .saturating_add(k.words())
                .saturating_sub(old.words());
        }
    }

    /// Puts a key before a slot; there must be room.
    #[inline]
    pub(super) fn put(&mut self, at: At, k: &Key) {
        let Some(chunk) = self.chunks.get_mut(at.c) else {
            return;
        };
        if chunk.insert(at.s, k) {
            self.len = self.len.saturating_add(1);
            self.words = self.words.saturating_add(k.words());
        }
    }

    /// Removes the key in a slot, and its chunk if that was the last one.
    pub(super) fn take(&mut self, at: At) {
        let Some(words) = self.key_at(at).map(Key::words) else {
            return;
        };
        self.take_run(at, 1, words);
        if self.chunk_len(at.c) == 0 {
            self.chunks.remove(at.c);
        }
    }

    /// Removes `n` keys of `words` words from a slot on, all in one chunk, which stays even if empty.
    pub(super) fn take_run(&mut self, at: At, n: usize, words: usize) {
        if let Some(chunk) = self.chunks.get_mut(at.c) {
            chunk.remove(at.s, n);
            self.len = self.len.saturating_sub(n);
            self.words = self.words.saturating_sub(words);
        }
    }

    /// Makes room for one key before the key in slot `at`; gives the slot to [`Self::put`] it before.
    ///
    /// # Errors
    ///
    /// [`NoMem`]; the keys are as before.
    pub(super) fn room_before(&mut self, at: At) -> Result<At, NoMem> {
        if at.s == 0 {
            // Behind the last key of the previous chunk is the same place.
            if let Some(c) = at.c.checked_sub(1) {
                if self.chunk_free(c) != 0 {
                    let s = self.chunk_len(c);
                    return Ok(At { c, s });
                }
            }
            if self.chunk_free(at.c) == 0 {
                // Both are full, or this is the end.
                self.chunks.insert(at.c)?;
            }
            return Ok(at);
        }
        self.room_with(at, 1)
    }

    /// Makes room for `n` keys (at most two) in the chunk of the key in slot `at`; gives its new slot.
    ///
    /// # Errors
    ///
    /// [`NoMem`]; the keys are as before.
    pub(super) fn room_with(&mut self, at: At, n: usize) -> Result<At, NoMem> {
        if self.chunk_free(at.c) >= n {
            return Ok(at);
        }
        let len = self.chunk_len(at.c);
        let mid = len / 2;
        let upper = at.c.saturating_add(1);
        self.chunks.insert(upper)?;
        if let Some((lower, upper)) = self.chunks.neighbours(at.c) {
            lower.move_tail(mid, upper);
        }
        Ok(match at.s.checked_sub(mid) {
            Some(s) => At { c: upper, s },
            None => at,
        })
    }

    /// Joins chunk `c` with its neighbours if they are small. Slots are not the same afterwards.
    pub(super) fn tidy(&mut self, c: usize) {
        for left in [Some(c), c.checked_sub(1)].into_iter().flatten() {
            let right = left.saturating_add(1);
            if right >= self.chunks.len() {
                continue;
            }
            let sum = self.chunk_len(left).saturating_add(self.chunk_len(right));
            if sum <= JOIN_BELOW {
                if let Some((left, right)) = self.chunks.neighbours(left) {
                    right.move_tail(0, left);
                }
                self.chunks.remove(right);
            }
        }
    }
}
