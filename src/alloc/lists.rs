// SPDX-License-Identifier: GPL-2.0

//! The lists of buckets that may be overwritten at once.
//!
//! C: `free[RESERVE_NR]` of `struct cache`, `bch_allocator_push`.

use super::{
    order::Order,
    Reserve, //
};
use bcache_core::{
    alloc::{
        fifo::Fifo,
        prio::ReserveSizes, //
    },
    geometry::Geometry,
    num::{
        u32_from_usize_sat,
        BucketNr, //
    }, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// A ring of bucket numbers.
pub(super) type Ring = Fifo<KVVec<u32>>;

/// An empty ring for `n` buckets.
pub(super) fn ring(n: usize) -> Result<Ring> {
    Ok(Fifo::new(KVVec::from_elem(0u32, n, GFP_KERNEL)?))
}

/// The sizes of all lists of a cache of this geometry.
///
/// # Errors
///
/// `EPERM` if there are too few buckets.
pub(super) fn sizes(geo: &Geometry) -> Result<ReserveSizes> {
    ReserveSizes::derive(u64::from(geo.nbuckets()), geo.prio_buckets()).ok_or(EPERM)
}

/// What the allocator mutex guards. Every bucket in a list has one pin that the list owns.
pub(super) struct Lists {
    btree: Ring,
    prio: Ring,
    moving_gc: Ring,
    none: Ring,
    pub(super) order: Order,
    /// The marks are those of a complete gc; while one runs only buckets noted before it may be
    /// reused.
    pub(super) marks_valid: bool,
}

impl Lists {
    /// Empty lists.
    pub(super) fn new(geo: &Geometry) -> Result<Self> {
        let s = sizes(geo)?;
        Ok(Self {
            btree: ring(s.btree)?,
            prio: ring(s.prio)?,
            moving_gc: ring(s.moving_gc)?,
            none: ring(s.none)?,
            order: Order::new(geo)?,
            marks_valid: false,
        })
    }

    fn list(&mut self, r: Reserve) -> &mut Ring {
        match r {
            Reserve::Btree => &mut self.btree,
            Reserve::MovingGc => &mut self.moving_gc,
            Reserve::None => &mut self.none,
        }
    }

    /// Buckets in a list.
    pub(super) fn len(&mut self, r: Reserve) -> usize {
        self.list(r).len()
    }

    /// Buckets for btree nodes.
    pub(super) fn btree_len(&self) -> u32 {
        u32_from_usize_sat(self.btree.len())
    }

    /// Buckets that the priorities may have.
    pub(super) fn prio_len(&self) -> usize {
        self.prio.len().saturating_add(self.none.len())
    }

    /// A bucket that anybody may have, else one set aside for `r`.
    pub(super) fn pop(&mut self, r: Reserve) -> Option<BucketNr> {
        let nr = self.none.pop().or_else(|| self.list(r).pop());
        nr.map(BucketNr)
    }

    /// A bucket set aside for the priorities, else one that anybody may have.
    pub(super) fn pop_prio(&mut self) -> Option<BucketNr> {
        self.prio.pop().or_else(|| self.none.pop()).map(BucketNr)
    }

    /// Sets a bucket aside for the priorities; false if there are enough.
    pub(super) fn push_prio(&mut self, nr: BucketNr) -> bool {
        self.prio.push(nr.0).is_ok()
    }

    /// Sets a bucket aside for btree nodes; false if there are enough.
    pub(super) fn push_btree(&mut self, nr: BucketNr) -> bool {
        self.btree.push(nr.0).is_ok()
    }

    /// Puts a bucket where one is missing, priorities first; false if all lists are full.
    pub(super) fn push(&mut self, nr: BucketNr) -> bool {
        [
            &mut self.prio,
            &mut self.btree,
            &mut self.moving_gc,
            &mut self.none,
        ]
        .into_iter()
        .any(|list| list.push(nr.0).is_ok())
    }
}
