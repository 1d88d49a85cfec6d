// SPDX-License-Identifier: GPL-2.0

//! The keys of the journal's entries until they are replayed.
//!
//! C: `struct journal_replay`, which has a whole entry. There can be millions of keys, and one in each entry: an entry is no
//! allocation, and a list of them all would have to be copied when it grows.

use bcache_core::{
    key::Key,
    ondisk::jset::Jset, //
};
use core::ops::Range;
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// Keys that are allocated together; an entry has at most half as many.
const PIECE: usize = 4096;

/// Where the keys of an entry are.
pub(super) struct Place {
    piece: usize,
    keys: Range<usize>,
}

/// Keys of many entries.
pub(super) struct EntryKeys(KVVec<KVVec<Key>>);

impl EntryKeys {
    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Takes in the keys of an entry.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn add(&mut self, jset: &Jset<'_>) -> Result<Place> {
        // The smallest key has two words.
        let most = jset.key_words() / 2;
        let free = |piece: &KVVec<Key>| piece.capacity().saturating_sub(piece.len());
        if self.0.last().is_none_or(|piece| free(piece) < most) {
            let piece = KVVec::with_capacity(PIECE.max(most), GFP_KERNEL)?;
            self.0.push(piece, GFP_KERNEL)?;
        }
        let last = self.0.len().saturating_sub(1);
        let piece = self.0.last_mut().ok_or(ENOMEM)?;
        let first = piece.len();
        for k in jset.keys() {
            piece.push_within_capacity(k).map_err(|_| ENOMEM)?;
        }
        Ok(Place {
            piece: last,
            keys: first..piece.len(),
        })
    }

    /// The keys of an entry.
    pub(super) fn get(&self, place: &Place) -> &[Key] {
        let piece = self.0.get(place.piece);
        piece
            .and_then(|keys| keys.get(place.keys.clone()))
            .unwrap_or_default()
    }
}
