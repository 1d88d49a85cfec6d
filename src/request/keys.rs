// SPDX-License-Identifier: GPL-2.0

//! A few keys, without an allocation. C: `struct keylist` with its inline keys.

use bcache_core::key::Key;

/// Up to `N` keys.
pub(super) struct Keys<const N: usize> {
    keys: [Key; N],
    len: usize,
}

impl<const N: usize> Keys<N> {
    /// No keys.
    pub(super) const fn new() -> Self {
        Self {
            keys: [Key::ZERO; N],
            len: 0,
        }
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more fit.
    pub(super) fn free(&self) -> usize {
        N.saturating_sub(self.len)
    }

    /// Adds a key; false if there is no more room.
    pub(super) fn push(&mut self, key: Key) -> bool {
        match self.keys.get_mut(self.len) {
            Some(slot) => {
                *slot = key;
                self.len = self.len.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// The keys, to be changed.
    pub(super) fn iter_mut(&mut self) -> core::slice::IterMut<'_, Key> {
        self.keys.get_mut(..self.len).unwrap_or(&mut []).iter_mut()
    }

    /// The keys.
    pub(super) fn as_slice(&self) -> &[Key] {
        self.keys.get(..self.len).unwrap_or(&[])
    }
}
