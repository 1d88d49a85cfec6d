// SPDX-License-Identifier: GPL-2.0

//! What keys tell of the bucket that they lead to, at start-up and to gc.
//!
//! C: `__bch_btree_mark_key` and `bch_initial_mark_key` in `btree.c`.

use super::{
    word::{
        GcCell,
        Mark,
        StateCell, //
    },
    BucketTable,
    Table,
    MAX_NEWER, //
};
use bcache_core::{
    alloc::{
        bucket::State,
        prio::{
            BTREE_PRIO,
            INITIAL_PRIO, //
        }, //
    },
    key::Ptr, //
};

/// The bucket that a pointer leads to, found once for all that is to be done with it. Any context.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    table: &'a Table,
    state: StateCell<'a>,
    gc: GcCell<'a>,
    /// Generation of the pointer.
    gen: u8,
}

impl BucketTable {
    /// Where a pointer leads, if that is a bucket for data.
    #[inline]
    pub(crate) fn target(&self, p: Ptr) -> Option<Target<'_>> {
        let table: &Table = &self.0;
        let (nr, state) = table.of(p)?;
        Some(Target {
            table,
            state,
            gc: table.gc(nr)?,
            gen: p.gen(),
        })
    }
}

impl Target<'_> {
    /// How many generations ago the pointer was valid, in this state.
    #[inline]
    fn stale_in(self, s: State) -> u8 {
        s.gen().wrapping_sub(self.gen)
    }

    /// Whether the generation of the pointer may be one that the priorities on the device do not know yet.
    #[inline]
    fn may_be_newer_than(self, s: State) -> bool {
        self.gen.wrapping_sub(s.gen()) <= MAX_NEWER
    }

    /// How many generations ago the pointer was valid, 0 if it is.
    pub(crate) fn stale(self) -> u8 {
        self.stale_in(self.state.get())
    }

    /// Start-up: a claim that is no value, whatever the bucket holds; [`Self::unclaim`] takes it back.
    pub(crate) fn claim(self) {
        let now = self.table.now();
        self.state.change(|s| s.pinned(now));
    }

    /// Takes back a claim that is no value.
    pub(crate) fn unclaim(self) {
        let now = self.table.now();
        self.state.change(|s| s.unpinned(now));
    }

    /// gc saw the pointer in a key. Gives [`Self::stale`].
    #[inline]
    pub(crate) fn see(self) -> u8 {
        self.stale_in(self.state.change(|s| s.seen(self.gen)))
    }

    /// Start-up: the pointer is that of a freed node, whose generation is newer than the one that is known.
    pub(crate) fn raise_gen(self) {
        self.state.change(|s| match self.may_be_newer_than(s) {
            true => s.with_gen(self.gen),
            false => s,
        });
    }

    /// Start-up: as [`Self::see`], of a key of data or (if `node`) of a node, which may know of a newer generation, and
    /// tells what the bucket is used for.
    #[inline]
    pub(crate) fn learn(self, node: bool) -> u8 {
        let known = self.state.change(|s| match self.may_be_newer_than(s) {
            // As most are.
            true if s.gen() == self.gen && s.last_gc() == self.gen => s,
            true => s.with_gen(self.gen).seen(self.gen),
            false => s.seen(self.gen),
        });
        let stale = self.stale_in(known);
        if stale == 0 && known.is_of_index() != node {
            self.set_use(node);
        }
        stale
    }

    /// The priority is that of another use.
    #[cold]
    fn set_use(self, node: bool) {
        let prio = if node { BTREE_PRIO } else { INITIAL_PRIO };
        let now = self.table.now();
        self.state.change(|s| s.with_prio(prio, now));
    }

    /// Raises the mark as a live key of `sectors` demands; false if the key contradicts the mark.
    ///
    /// `mark` is what the key says of its bucket: metadata, dirty or reclaimable.
    #[inline]
    pub(crate) fn add_mark(self, mark: Mark, sectors: u32) -> bool {
        let marked = self.gc.update(|g| {
            let new = g.mark().raised(mark)?;
            Some(g.with_mark(new).add_sectors(sectors))
        });
        marked.is_some()
    }

    /// The mark that gc or the allocator gave the bucket.
    pub(crate) fn mark(self) -> Mark {
        self.gc.get().mark()
    }
}
