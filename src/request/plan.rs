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

/// Where the sectors of a piece are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// On the cache device.
    Cache(Ptr),
    /// On the backing device alone.
    Backing,
}

/// A part of a read.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// First sector, counted from the start of the request.
    pub(super) skip: u32,
    pub(super) sectors: u32,
    pub(super) source: Source,
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
            source: Source::Backing,
        };
        Self {
            pieces: [NONE; MAX_PIECES],
            len: 0,
            end: from,
            dirty: false,
        }
    }

    /// A plan with one piece: all from the backing device.
    pub(super) fn backing(sectors: u32) -> Self {
        let mut plan = Self::new(0);
        plan.push(sectors, Source::Backing);
        plan
    }

    /// Looks up the sectors `start + from .. start + to` of `inode`, as far as they fit.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if `nonblock` and it would have to wait; others if the index cannot be read.
    pub(super) fn lookup(
        set: &CacheSet,
        inode: u32,
        start: u64,
        range: (u32, u32),
        nonblock: bool,
    ) -> Result<Self> {
        let (from, to) = range;
        let mut plan = Self::new(from);
        let begin = start.saturating_add(u64::from(from));
        let end = start.saturating_add(u64::from(to));
        set.btree_lookup(
            Pos::new(inode, begin),
            Pos::new(inode, end),
            nonblock,
            &mut |k| plan.add_key(set, start, k, end),
        )?;
        if plan.room() {
            plan.push(to.saturating_sub(plan.end), Source::Backing);
        }
        Ok(plan)
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
            self.push(u32::try_from(gap).unwrap_or(u32::MAX), Source::Backing);
        }
        if !self.room() {
            return false;
        }
        set.touch_bucket(ptr);
        self.dirty |= k.dirty();
        self.push(k.size(), Source::Cache(ptr));
        self.room()
    }

    fn room(&self) -> bool {
        self.len < MAX_PIECES
    }

    /// Adds a piece at the end; nothing happens if it is empty.
    fn push(&mut self, sectors: u32, source: Source) {
        if sectors == 0 {
            return;
        }
        if let Some(slot) = self.pieces.get_mut(self.len) {
            *slot = Piece {
                skip: self.end,
                sectors,
                source,
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
        self.pieces()
            .iter()
            .find(|p| p.source == Source::Backing)
            .copied()
    }

    /// The pointer, if all `sectors` of the request are one piece of the cache.
    pub(super) fn single_hit(&self, sectors: u32) -> Option<Ptr> {
        match self.pieces() {
            [Piece {
                skip: 0,
                sectors: n,
                source: Source::Cache(ptr),
            }] if *n == sectors => Some(*ptr),
            _ => None,
        }
    }
}

impl CacheSet {
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
