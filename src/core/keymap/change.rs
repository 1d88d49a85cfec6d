// SPDX-License-Identifier: GPL-2.0

//! Changes of a leaf: what it says from now on, and what is to be appended to the node on disk.
//!
//! The C driver merges the sets of a node that it reads in a buffer as large as the node, puts an empty set behind the
//! blocks that were written, and relies on the merged keys being no longer than these (`bch_btree_node_read_done`). They
//! are if each key of an older set is seen in one piece, or in pieces that C joins again. So where a key is cut in two, the
//! second half is appended, too, as C does where it inserts; and where an erased range is, which C keeps as a key without
//! pointer and we do not keep, what remains of it behind the change is erased once more.
//!
//! C reference: `drivers/md/bcache/extents.c` (`bch_extent_insert_fixup`, `bch_extent_sort_fixup`).

use super::{
    Chunks,
    KeyMap,
    NoMem, //
};
use crate::key::{
    Key,
    Pos,
    MAX_SIZE, //
};

/// Older keys that one replace meets at most.
const REPLACE_STEP: usize = 2;
/// Keys that are appended for one that is put: itself, and the second half of a key that it cut in two, or what remains of an
/// erased range behind it.
const APPENDED: usize = 2;
/// Words by which the set that is to be appended grows at most with a change: each key may cut another one of it in two.
pub const CHANGE_WORDS: usize = REPLACE_STEP * APPENDED * 2 * 3;

/// A leaf that is to be changed.
pub struct Change<'a, C: Chunks> {
    /// What it says.
    pub keys: &'a mut KeyMap<C>,
    /// What is to be appended to the node.
    pub pending: &'a mut KeyMap<C>,
    /// Whether the node on disk, or what is to be appended, has keys without pointer.
    pub erased: &'a mut bool,
    /// Where its range ends.
    pub end: Pos,
    /// Sectors of a bucket, beyond which keys are not joined.
    pub bucket_sectors: u32,
}

/// What came of a replace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// Sectors that were put.
    pub sectors: u32,
    /// The second half of a key that was cut in two.
    pub rest: Option<Key>,
}

/// Whether a key may be on disk: its pointer is to a cache.
fn is_stored(k: &Key) -> bool {
    k.ptr().is_some_and(|p| p.is_available())
}

impl<C: Chunks> Change<'_, C> {
    /// Puts `k` over what the leaf has there; without pointer it erases. `dropped` sees what is overwritten.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing changed.
    pub fn put(&mut self, k: &Key, dropped: impl FnMut(&Key)) -> Result<(), NoMem> {
        self.pending.reserve(APPENDED)?;
        let rest = if k.ptrs() == 0 {
            let rest = self.keys.erase(k.inode(), k.start(), k.end(), dropped)?;
            *self.erased = true;
            rest
        } else {
            self.keys.insert(k, self.bucket_sectors, dropped)?
        };
        self.append(k)?;
        self.append_behind(k, rest)
    }

    /// Puts `rest` over those of its sectors that are mapped as `expected` maps them, see [`KeyMap::replace`]: as far as
    /// [`REPLACE_STEP`] older keys go, so that there is room for what comes of them. Leaves what is behind in `rest`, and gives
    /// the number of sectors put.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing changed.
    pub fn replace(
        &mut self,
        rest: &mut Key,
        expected: &Key,
        mut inserted: impl FnMut(&Key),
        dropped: impl FnMut(&Key),
    ) -> Result<u32, NoMem> {
        let k = self.first_step(rest);
        self.pending.reserve(REPLACE_STEP * APPENDED)?;
        let mut put = [None; REPLACE_STEP];
        let mut slots = put.iter_mut();
        let bucket = self.bucket_sectors;
        let see = |piece: &Key| {
            if let Some(slot) = slots.next() {
                *slot = Some(*piece);
            }
            inserted(piece);
        };
        let replaced = self.keys.replace(&k, expected, bucket, see, dropped)?;
        for piece in put.iter().flatten() {
            self.append(piece)?;
            self.append_behind(piece, replaced.rest)?;
        }
        rest.cut_front(k.end());
        Ok(replaced.sectors)
    }

    /// As much of `k` as [`REPLACE_STEP`] older keys go.
    fn first_step(&self, k: &Key) -> Key {
        let mut part = *k;
        let mut old = self.keys.seek(k.start_pos());
        let last = old.nth(REPLACE_STEP - 1).filter(|o| o.pos() < k.pos());
        if let Some(last) = last {
            part.cut_back(last.end());
        }
        part
    }

    /// Puts the check key `k`, which is for memory only, over what nobody wants any more. With `erase` that is erased on disk.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing changed.
    pub fn check(&mut self, k: &Key, erase: bool, dropped: impl FnMut(&Key)) -> Result<(), NoMem> {
        if erase {
            self.pending.reserve(APPENDED)?;
        }
        let rest = self.keys.insert(k, self.bucket_sectors, dropped)?;
        if !erase {
            return Ok(());
        }
        *self.erased = true;
        let hole = Key::extent(k.inode(), k.start(), k.size(), false, None);
        self.append(&hole)?;
        self.append_behind(&hole, rest)
    }

    /// Appends a key. Memory was reserved for it, so that this cannot fail.
    fn append(&mut self, k: &Key) -> Result<(), NoMem> {
        self.pending.insert(k, self.bucket_sectors, |_| ())?;
        Ok(())
    }

    /// Appends what is behind `k` of an older key in which it was put: the `rest` of one with a pointer, or of an erased range.
    fn append_behind(&mut self, k: &Key, rest: Option<Key>) -> Result<(), NoMem> {
        if let Some(rest) = rest.filter(is_stored) {
            return self.append(&rest);
        }
        if !*self.erased {
            return Ok(());
        }
        match self.hole_behind(k) {
            Some(hole) => self.append(&hole),
            None => Ok(()),
        }
    }

    /// The range behind `k`, up to the next key that may be on disk, as far as an erased range can go that `k` lies in.
    fn hole_behind(&self, k: &Key) -> Option<Key> {
        let mut end = k.end().saturating_add(u64::from(MAX_SIZE));
        if self.end.inode == k.inode() {
            end = end.min(self.end.sector);
        }
        let next = self.keys.seek(k.pos()).find(|next| is_stored(next));
        if let Some(next) = next.filter(|next| next.inode() == k.inode()) {
            end = end.min(next.start());
        }
        let sectors = u32::try_from(end.checked_sub(k.end())?).ok()?;
        (sectors != 0).then(|| Key::extent(k.inode(), k.end(), sectors, false, None))
    }
}
