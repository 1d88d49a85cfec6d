// SPDX-License-Identifier: GPL-2.0

//! Changing keys: insert, replace, check keys.
//!
//! C: `bch_btree_insert`, `bch_btree_insert_check_key` in `btree.c` and `bch_extent_insert_fixup`
//! in `extents.c`.

use super::{
    chunks::ChunkList,
    leaf::{
        Leaf,
        LeafNode,
        LeafState, //
    },
    node_io::set_blocks,
    reserve::{
        Depth,
        Need, //
    }, //
};
use crate::{
    cache_set::CacheSet,
    journal::JournalPin, //
};
use bcache_core::{
    key::{
        Key,
        Pos, //
    },
    keymap::{
        Change,
        NoMem,
        CHANGE_WORDS, //
    }, //
};
use bcache_kernel::{
    memalloc::noio,
    time, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Bytes of pending keys at which a leaf is to be written (C: `PAGE_SIZE - 48`).
const SET_LIMIT: usize = 4096 - 48;
/// Words at which the flusher is told.
const SET_WORDS: usize = (SET_LIMIT - 32) / 8;
/// Words at which who inserts writes the leaf, since the flusher cannot keep up.
const SET_WORDS_MOST: usize = SET_WORDS * 4;

/// What a change of a leaf may wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For memory, reads and writes of leaves, splits.
    All,
    /// As [`Wait::All`], but for no bucket that a split needs: of gc, which others who need one wait for.
    AllButBuckets,
    /// For locks, and to write a leaf with which the flusher cannot keep up. Process context.
    Locks,
    /// For nothing. Any task with interrupts on.
    Nothing,
}

impl Wait {
    /// For what takes long, too.
    fn sleeps(self) -> bool {
        matches!(self, Wait::All | Wait::AllButBuckets)
    }
}

/// Why a leaf cannot be changed just now.
enum Refusal {
    /// It would have had to wait.
    Busy,
    /// Split or merged, or about to be: look it up again.
    Gone,
    /// Not in memory.
    Absent,
    /// No room on disk: split it.
    Full,
    /// No memory.
    NoMem,
}

/// The part of `k` that lies before `end`, at which `k` does not start.
fn part_before(k: &Key, end: Pos) -> Key {
    let mut part = *k;
    if part.pos() > end {
        part.cut_back(end.sector);
    }
    part
}

impl CacheSet {
    /// Whether a leaf has no room for another change before it is rewritten.
    pub(super) fn leaf_full(&self, leaf: &Leaf, n: &LeafNode) -> bool {
        let words = n.pending.words().saturating_add(CHANGE_WORDS);
        n.written.saturating_add(set_blocks(&self.geo, words)) > self.node_blocks(leaf.key.sectors)
    }

    /// Runs `f` on a leaf if it is in memory, takes changes and (if `room`) has room for them. `depth` says where `f`
    /// may take memory from.
    fn try_modify<T>(
        &self,
        leaf: &Arc<Leaf>,
        wait: Wait,
        room: bool,
        depth: Depth,
        f: &mut impl FnMut(&Leaf, &mut LeafNode) -> Result<T, NoMem>,
    ) -> Result<T, Refusal> {
        let mut state = match wait {
            Wait::All | Wait::AllButBuckets | Wait::Locks => leaf.state.write(),
            Wait::Nothing => leaf.state.try_write().ok_or(Refusal::Busy)?,
        };
        let n = match &mut *state {
            LeafState::Loaded(n) if !n.frozen => n,
            LeafState::NotLoaded => return Err(Refusal::Absent),
            _ => return Err(Refusal::Gone),
        };
        if room && self.leaf_full(leaf, n) {
            return Err(Refusal::Full);
        }
        if wait == Wait::Nothing && n.pending.words() > SET_WORDS_MOST {
            return Err(Refusal::Busy);
        }
        n.set_depth(depth);
        let done = f(leaf, n);
        n.set_depth(Depth::None);
        let done = done.map_err(|NoMem| Refusal::NoMem)?;
        leaf.touch();
        let words = n.pending.words();
        drop(state);
        // Not for check keys: they are put below `submit_bio`, where nothing may be written.
        if room && words > SET_WORDS {
            self.grown(leaf, wait, words);
        }
        Ok(done)
    }

    /// A leaf has so much to be written that it is time for it.
    fn grown(&self, leaf: &Arc<Leaf>, wait: Wait, words: usize) {
        if wait == Wait::Nothing {
            // Without success the next change of the leaf tries again.
            self.try_queue_leaf(leaf);
        } else if words > SET_WORDS_MOST {
            // An error shows in the state of the set.
            let _ = self.leaf_write(leaf);
        } else {
            self.queue_leaf(leaf);
        }
    }

    /// Runs `f` on the leaf that has position `pos`, as soon as that leaf can be changed. Gives `EAGAIN` for what `wait`
    /// does not say. Without `room` it is for what need not be, and fails without memory.
    fn modify<T>(
        &self,
        pos: Pos,
        wait: Wait,
        room: bool,
        f: &mut impl FnMut(&Leaf, &mut LeafNode) -> Result<T, NoMem>,
    ) -> Result<T> {
        loop {
            if self.io_disabled() {
                return Err(EIO);
            }
            let leaf = self.btree.leaf_at(pos).ok_or(EIO)?;
            match self.try_modify(&leaf, wait, room, Depth::None, f) {
                Ok(done) => return Ok(done),
                Err(Refusal::NoMem) if !wait.sleeps() || !room => return Err(ENOMEM),
                Err(Refusal::Busy) => return Err(EAGAIN),
                Err(_) if !wait.sleeps() => return Err(EAGAIN),
                Err(Refusal::Gone) => self.btree.wait_for_change(),
                Err(Refusal::Absent) => self.leaf_load(&leaf)?,
                Err(Refusal::Full) => self.split_leaf(&leaf, wait == Wait::All)?,
                Err(Refusal::NoMem) => match self.modify_lean(&leaf, room, f) {
                    Ok(done) => return Ok(done),
                    Err(Refusal::NoMem) => time::sleep_ms(10),
                    // The next round sees what it is.
                    Err(_) => {}
                },
            }
        }
    }

    /// As [`CacheSet::try_modify`], with memory of the reserve. May sleep.
    fn modify_lean<T>(
        &self,
        leaf: &Arc<Leaf>,
        room: bool,
        f: &mut impl FnMut(&Leaf, &mut LeafNode) -> Result<T, NoMem>,
    ) -> Result<T, Refusal> {
        let _lean = self.lean(leaf, Need::Change);
        self.try_modify(leaf, Wait::All, room, Depth::Leaf, f)
    }

    /// Takes what an overwritten key had from the accounting of dirty data, which knows no stale ones.
    fn key_dropped(&self, old: &Key) {
        if old.dirty() && self.key_is_live(old) {
            let sectors = i64::from(old.size());
            self.dirty_add(old.inode(), old.start(), sectors.saturating_neg());
        }
    }

    /// Adds a key to the accounting of dirty data.
    fn key_added(&self, k: &Key) {
        if k.dirty() {
            self.dirty_add(k.inode(), k.start(), i64::from(k.size()));
        }
    }

    /// Puts `k` over what the tree has there; without pointer it erases. `pin` is the journal entry
    /// that has the key. When this returns the key is visible, and the journal keeps it until a
    /// leaf on disk has it. May sleep.
    ///
    /// # Errors
    ///
    /// `EIO` if the set is dead; `EINVAL` for a key behind all positions.
    pub(crate) fn btree_insert(&self, k: &Key, pin: Option<&JournalPin>) -> Result {
        let _noio = noio();
        let mut rest = *k;
        self.insert_rest(&mut rest, pin, Wait::All)
    }

    /// As [`CacheSet::btree_insert`], as far as that is possible without waiting for what `wait` does not say; `rest` is
    /// what is left of the key. NOIO.
    ///
    /// # Errors
    ///
    /// `EAGAIN` and `ENOMEM`, too.
    pub(crate) fn btree_try_insert(&self, rest: &mut Key, pin: &JournalPin, wait: Wait) -> Result {
        self.insert_rest(rest, Some(pin), wait)
    }

    /// As [`CacheSet::btree_insert`], for a key of the journal at start-up. What a leaf says of it already is left as it is: at
    /// this time that has been read from disk, or is pending on behalf of an earlier entry.
    pub(crate) fn btree_replay(&self, k: &Key, pin: &JournalPin) -> Result {
        let _noio = noio();
        let mut rest = *k;
        self.each_part(&mut rest, Wait::All, |leaf, n, part| {
            if n.keys.has(part) {
                return Ok(());
            }
            self.insert_part(leaf, n, part, Some(pin))
        })
    }

    fn insert_rest(&self, rest: &mut Key, pin: Option<&JournalPin>, wait: Wait) -> Result {
        self.each_part(rest, wait, |leaf, n, part| {
            self.insert_part(leaf, n, part, pin)
        })
    }

    /// Runs `f` on each leaf that `rest` has a part in, with that part, which is then taken off.
    #[inline]
    fn each_part(
        &self,
        rest: &mut Key,
        wait: Wait,
        f: impl Fn(&Leaf, &mut LeafNode, &Key) -> Result<(), NoMem>,
    ) -> Result {
        if rest.pos() > Pos::MAX {
            return Err(EINVAL);
        }
        while rest.size() != 0 {
            self.modify(rest.start_pos(), wait, true, &mut |leaf, n| {
                let part = part_before(rest, leaf.key.end);
                f(leaf, n, &part)?;
                rest.cut_front(part.end());
                Ok(())
            })?;
        }
        Ok(())
    }

    fn insert_part(
        &self,
        leaf: &Leaf,
        n: &mut LeafNode,
        k: &Key,
        pin: Option<&JournalPin>,
    ) -> Result<(), NoMem> {
        let mut change = self.change(leaf, n);
        change.put(k, |old| self.key_dropped(old))?;
        self.key_added(k);
        leaf.mark_dirty(n, pin);
        Ok(())
    }

    /// A change of a leaf.
    fn change<'a>(&self, leaf: &Leaf, n: &'a mut LeafNode) -> Change<'a, ChunkList> {
        Change {
            keys: &mut n.keys,
            pending: &mut n.pending,
            erased: &mut n.erased,
            end: leaf.key.end,
            bucket_sectors: self.geo.bucket_sectors(),
        }
    }

    /// Puts `k` over those of its sectors that are still mapped as `expected` maps them; gives how
    /// many. Not journalled: what was not written yet at a crash is as if it had never been. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// As [`CacheSet::btree_insert`]; what a new bucket does, if `wait` is for none.
    pub(crate) fn btree_replace(&self, k: &Key, expected: &Key, wait: Wait) -> Result<u32> {
        let _noio = noio();
        if k.pos() > Pos::MAX {
            return Err(EINVAL);
        }
        let mut rest = *k;
        let mut done = 0u32;
        while rest.size() != 0 {
            let put = self.modify(rest.start_pos(), wait, true, &mut |leaf, n| {
                let mut part = part_before(&rest, leaf.key.end);
                let put = self.replace_part(leaf, n, &mut part, expected)?;
                rest.cut_front(part.start());
                Ok(put)
            })?;
            done = done.saturating_add(put);
        }
        Ok(done)
    }

    /// A few of the sectors of `rest`, which lies in the leaf; leaves the others there.
    fn replace_part(
        &self,
        leaf: &Leaf,
        n: &mut LeafNode,
        rest: &mut Key,
        expected: &Key,
    ) -> Result<u32, NoMem> {
        let put = self.change(leaf, n).replace(
            rest,
            expected,
            |part| self.key_added(part),
            |old| self.key_dropped(old),
        )?;
        if put != 0 {
            leaf.mark_dirty(n, None);
        }
        Ok(put)
    }

    /// Marks the range of `k` as a cache miss under way, with the check pointer of `k`: filling it
    /// is a [`CacheSet::btree_replace`] of this key, which fails for what was changed meanwhile.
    ///
    /// The check key is only in memory: a split or the shrinker may drop it, the fill then finds nothing to replace.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the cache has something of the range now; `EAGAIN` with `nonblock` if the tree
    /// cannot be changed at once; `ENOMEM`, `EIO`.
    pub(crate) fn btree_insert_check_key(&self, k: &Key, nonblock: bool) -> Result {
        let _noio = noio();
        if k.pos() > Pos::MAX {
            return Err(EINVAL);
        }
        let wait = if nonblock { Wait::Locks } else { Wait::All };
        let mut rest = *k;
        while rest.size() != 0 {
            let hole = self.modify(rest.start_pos(), wait, false, &mut |leaf, n| {
                let part = part_before(&rest, leaf.key.end);
                let hole = self.check_part(leaf, n, &part)?;
                rest.cut_front(part.end());
                Ok(hole)
            })?;
            if !hole {
                return Err(EEXIST);
            }
        }
        Ok(())
    }

    /// Puts a check key over a hole. Stale keys there are erased on disk, too: in memory nothing is left of them, so that gc
    /// would not see how old they get, and some day the generation of their bucket would be theirs again.
    fn check_part(&self, leaf: &Leaf, n: &mut LeafNode, k: &Key) -> Result<bool, NoMem> {
        let there = n
            .keys
            .seek(k.start_pos())
            .take_while(|old| old.start_pos() < k.pos());
        let mut stale = false;
        for old in there {
            if self.key_is_live(old) {
                return Ok(false);
            }
            stale |= old.ptr().is_some_and(|p| p.is_available());
        }
        let erase = stale && !self.leaf_full(leaf, n);
        if stale && !erase {
            // A full leaf cannot be split here. The fill does that, but may never come; a leaf that is made anew has no stale keys.
            n.hides_stale = true;
        }
        let mut change = self.change(leaf, n);
        change.check(k, erase, |old| self.key_dropped(old))?;
        if erase {
            leaf.mark_dirty(n, None);
        }
        Ok(true)
    }

    /// Whether a key leads to data: its pointer is to a cache and not stale.
    pub(super) fn key_is_live(&self, k: &Key) -> bool {
        k.ptr()
            .is_some_and(|p| p.is_available() && self.buckets.ptr_stale(p) == 0)
    }
}
