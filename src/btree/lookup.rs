// SPDX-License-Identifier: GPL-2.0

//! Reading keys.
//!
//! C: `bch_btree_map_keys` in `btree.c`. A lookup of keys that are in memory reads the index under
//! RCU, searches twice, counts one reference up and reads the leaf under its semaphore.

use super::leaf::{
    Leaf,
    LeafState, //
};
use crate::cache_set::CacheSet;
use bcache_core::key::{
    Key,
    Pos, //
};
use bcache_kernel::time::cond_resched;
use kernel::prelude::*;

/// How far a leaf took a lookup.
enum Seen {
    /// The callback or the range ended it.
    Enough,
    /// Go on behind the leaf.
    More,
    /// The leaf is not in memory.
    Absent,
    /// The leaf has successors.
    Gone,
}

/// Shows `f` the keys of a leaf that end behind `pos` and start before `end`.
fn look(leaf: &Leaf, pos: Pos, end: Pos, f: &mut dyn FnMut(&Key) -> bool) -> Seen {
    let state = leaf.state.read();
    let n = match &*state {
        LeafState::Loaded(n) => n,
        LeafState::NotLoaded => return Seen::Absent,
        LeafState::Dead => return Seen::Gone,
    };
    leaf.touch();
    for k in n.keys.seek(pos) {
        if k.start_pos() >= end || !f(k) {
            return Seen::Enough;
        }
    }
    Seen::More
}

impl CacheSet {
    /// Calls `f` for the keys that overlap `from .. end`, in order, until it gives `false`.
    ///
    /// Keys are shown whole, also what is outside of the range; stale and check pointers are not
    /// filtered. `f` runs under the lock of a leaf: it must not sleep for long nor use the btree.
    /// With `nonblock` this may run below `submit_bio`: it does no I/O and waits for none.
    ///
    /// # Errors
    ///
    /// `EAGAIN` with `nonblock` if a leaf is not in memory or just being replaced; `EIO`. Keys
    /// before that place have been shown.
    pub(crate) fn btree_lookup(
        &self,
        from: Pos,
        end: Pos,
        nonblock: bool,
        f: &mut dyn FnMut(&Key) -> bool,
    ) -> Result {
        let end = end.min(Pos::MAX);
        let mut pos = from;
        while pos < end {
            let leaf = self.btree.leaf_at(pos).ok_or(EIO)?;
            match look(&leaf, pos, end, f) {
                Seen::Enough => return Ok(()),
                Seen::More => {
                    pos = leaf.key.end;
                    cond_resched();
                }
                Seen::Absent | Seen::Gone if nonblock => return Err(EAGAIN),
                Seen::Absent => self.leaf_load(&leaf)?,
                Seen::Gone => self.btree.wait_for_change(),
            }
            if self.io_disabled() {
                return Err(EIO);
            }
        }
        Ok(())
    }
}
