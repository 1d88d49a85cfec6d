// SPDX-License-Identifier: GPL-2.0

//! Which part of a read comes from where.
//!
//! C: `cache_lookup_fn` in `request.c`, which sends pieces off while it walks the index; here the walk only
//! takes notes, so that no leaf is locked while bios are allocated and submitted.

use crate::cache_set::CacheSet;
use bcache_core::key::{
    Key,
    Pos,
    Ptr, //
};
use kernel::prelude::*;

/// Pieces of one round; a more fragmented read takes several rounds.
pub(super) const MAX_PIECES: usize = 16;

/// Instead of a pointer: the sectors are on the backing device alone. No cache has this pointer.
const NOWHERE: Ptr = Ptr::check(u64::MAX);

/// A part of a read.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// First sector, counted from the start of the request.
    pub(super) skip: u32,
    pub(super) sectors: u32,
    ptr: Ptr,
}

impl Piece {
    /// The place in the cache, if there is one.
    pub(super) fn ptr(&self) -> Option<Ptr> {
        (self.ptr != NOWHERE).then_some(self.ptr)
    }
}

/// A round of pieces that follow on each other.
pub(super) struct Plan {
    pieces: [Piece; MAX_PIECES],
    len: usize,
    /// Sector up to which the plan goes, counted from the start of the request.
    end: u32,
    /// Some piece is dirty: the backing device has older data.
    pub(super) dirty: bool,
}

impl Plan {
    /// An empty plan that goes on at `from`.
    pub(super) const fn new(from: u32) -> Self {
        const NONE: Piece = Piece {
            skip: 0,
            sectors: 0,
            ptr: NOWHERE,
        };
        Self {
            pieces: [NONE; MAX_PIECES],
            len: 0,
            end: from,
            dirty: false,
        }
    }

    /// Makes the plan anew: the first `sectors`, from the backing device.
    pub(super) fn all_from_backing(&mut self, sectors: u32) {
        self.restart(0);
        self.push(sectors, NOWHERE);
    }

    /// Makes the plan empty, to go on at `from`.
    fn restart(&mut self, from: u32) {
        self.len = 0;
        self.end = from;
        self.dirty = false;
    }

    /// Makes the plan anew: looks up the sectors `start + from .. start + to` of `inode`, as far as they fit.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if `nonblock` and it would have to wait; others if the index cannot be read.
    pub(super) fn look_up(
        &mut self,
        set: &CacheSet,
        inode: u32,
        start: u64,
        range: (u32, u32),
        nonblock: bool,
    ) -> Result {
        let (from, to) = range;
        self.restart(from);
        let begin = start.saturating_add(u64::from(from));
        let end = start.saturating_add(u64::from(to));
        set.btree_lookup(
            Pos::new(inode, begin),
            Pos::new(inode, end),
            nonblock,
            &mut |k| self.add_key(set, start, k, end),
        )?;
        if self.room() {
            self.push(to.saturating_sub(self.end), NOWHERE);
        }
        Ok(())
    }

    /// Notes the part of `k` before `end`; false if there is no more room.
    fn add_key(&mut self, set: &CacheSet, start: u64, k: &Key, end: u64) -> bool {
        let cursor = start.saturating_add(u64::from(self.end));
        let k = k.piece(cursor, end);
        let Some(ptr) = set.usable_ptr(&k) else {
            return true;
        };
        if k.size() == 0 {
            return true;
        }
        let gap = k.start().saturating_sub(cursor);
        if gap != 0 {
            self.push(u32::try_from(gap).unwrap_or(u32::MAX), NOWHERE);
        }
        if !self.room() {
            return false;
        }
        set.touch_bucket(ptr);
        self.dirty |= k.dirty();
        self.push(k.size(), ptr);
        self.room()
    }

    fn room(&self) -> bool {
        self.len < MAX_PIECES
    }

    /// Adds a piece at the end; nothing happens if it is empty.
    fn push(&mut self, sectors: u32, ptr: Ptr) {
        if sectors == 0 {
            return;
        }
        if let Some(slot) = self.pieces.get_mut(self.len) {
            *slot = Piece {
                skip: self.end,
                sectors,
                ptr,
            };
            self.len = self.len.saturating_add(1);
            self.end = self.end.saturating_add(sectors);
        }
    }

    /// Sector up to which the plan goes.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// The pieces in order.
    pub(super) fn pieces(&self) -> &[Piece] {
        self.pieces.get(..self.len).unwrap_or(&[])
    }

    /// The first piece that the cache does not have.
    pub(super) fn first_hole(&self) -> Option<Piece> {
        self.pieces().iter().find(|p| p.ptr == NOWHERE).copied()
    }
}

/// What one look at the index finds of a read.
pub(super) enum Found {
    /// All of it at a place in the cache; whether it is dirty.
    Hit(Ptr, bool),
    /// No key at all.
    Nothing,
    /// It takes a plan.
    Pieces,
}

impl CacheSet {
    /// Looks for `sectors` sectors from `start` on, in one key that is in memory. Does not wait for I/O.
    pub(super) fn find_whole(&self, inode: u32, start: u64, sectors: u32) -> Found {
        let end = start.saturating_add(u64::from(sectors));
        let mut found = Found::Nothing;
        let (from, to) = (Pos::new(inode, start), Pos::new(inode, end));
        let looked = self.btree_lookup(from, to, true, &mut |k| {
            found = Found::Pieces;
            if k.start() <= start && k.end() >= end {
                let k = k.piece(start, end);
                if let Some(ptr) = self.usable_ptr(&k) {
                    found = Found::Hit(ptr, k.dirty());
                }
            }
            false
        });
        if looked.is_err() {
            return Found::Pieces;
        }
        if let Found::Hit(ptr, _) = found {
            self.touch_bucket(ptr);
        }
        found
    }

    /// Whether some of `sectors` sectors from `start` on may be dirty; true if that cannot be told without waiting.
    pub(super) fn may_be_dirty(&self, inode: u32, start: u64, sectors: u32) -> bool {
        let end = start.saturating_add(u64::from(sectors));
        let mut dirty = false;
        let (from, to) = (Pos::new(inode, start), Pos::new(inode, end));
        let looked = self.btree_lookup(from, to, true, &mut |k| {
            dirty = k.dirty();
            !dirty
        });
        dirty || looked.is_err()
    }

    /// The pointer of `k`, if data can be read through it now.
    pub(crate) fn usable_ptr(&self, k: &Key) -> Option<Ptr> {
        let ptr = k.ptr()?;
        (ptr.is_available() && self.buckets.ptr_stale(ptr) == 0).then_some(ptr)
    }

    /// The bucket behind `ptr` was used: it is not to be reused soon.
    fn touch_bucket(&self, ptr: Ptr) {
        if let Some(bucket) = self.geo.bucket_of(ptr.sector()) {
            self.buckets.touch(bucket);
        }
    }
}
