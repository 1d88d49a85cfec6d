// SPDX-License-Identifier: GPL-2.0

//! Reading keys.
//!
//! C: `bch_btree_map_keys` in `btree.c`. A lookup of keys that are in memory reads the index under
//! RCU, searches twice, and reads the leaf under its semaphore: still under RCU if it must not wait, else with a count.

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

/// Shows `f` the keys of a leaf, whose content is `state`, that end behind `pos` and start before `end`.
fn look(
    leaf: &Leaf,
    state: &LeafState,
    pos: Pos,
    end: Pos,
    f: &mut dyn FnMut(&Key) -> bool,
) -> Seen {
    let n = match state {
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
    /// One step of a lookup that must not wait: the leaf at `pos` is read where it is found, without a count of its own.
    /// Gives how far it went and the end of the leaf; `None` if somebody is changing the leaf just now.
    #[inline]
    fn peek(&self, pos: Pos, end: Pos, f: &mut dyn FnMut(&Key) -> bool) -> Option<(Seen, Pos)> {
        self.btree.with_leaf_at(pos, |leaf| {
            let state = leaf.state.try_read()?;
            Some((look(leaf, &state, pos, end, f), leaf.key.end))
        })?
    }

    /// Calls `f` for the keys that overlap `from .. end`, in order, until it gives `false`.
    ///
    /// Keys are shown whole, also what is outside of the range; stale and check pointers are not
    /// filtered. `f` runs under the lock of a leaf: it must not sleep for long nor use the btree.
    /// With `nonblock` this may run below `submit_bio`: it does no I/O and waits for none, and `f` must not sleep at all.
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
            let peeked = if nonblock {
                self.peek(pos, end, f)
            } else {
                None
            };
            pos = match peeked {
                Some((Seen::Enough, _)) => return Ok(()),
                Some((Seen::More, next)) => {
                    cond_resched();
                    next
                }
                Some((Seen::Absent | Seen::Gone, _)) => return Err(EAGAIN),
                None => match self.look_or_wait(pos, end, nonblock, f)? {
                    Some(next) => next,
                    None => return Ok(()),
                },
            };
            if self.io_disabled() {
                return Err(EIO);
            }
        }
        Ok(())
    }

    /// One step of a lookup with a count of the leaf, so that it can wait. Gives where to go on; `None` if that is all.
    fn look_or_wait(
        &self,
        pos: Pos,
        end: Pos,
        nonblock: bool,
        f: &mut dyn FnMut(&Key) -> bool,
    ) -> Result<Option<Pos>> {
        let leaf = self.btree.leaf_at(pos).ok_or(EIO)?;
        let seen = look(&leaf, &leaf.state.read(), pos, end, f);
        match seen {
            Seen::Enough => return Ok(None),
            Seen::More => {
                cond_resched();
                return Ok(Some(leaf.key.end));
            }
            Seen::Absent | Seen::Gone if nonblock => return Err(EAGAIN),
            Seen::Absent => self.leaf_load(&leaf)?,
            Seen::Gone => self.btree.wait_for_change(),
        }
        Ok(Some(pos))
    }
}
