// SPDX-License-Identifier: GPL-2.0

//! The order in which buckets lose their content, kept up to date.
//!
//! C has none: see `bcache_core::alloc::search`. Who files a shelf: the end of each gc, and a search
//! when there was none for long, all of them;
//! [`CacheSet::bucket_alloc`](crate::cache_set::CacheSet::bucket_alloc) and `bucket_free`, that of their
//! bucket; and a search, those that it looks at. So a bucket that can be reused is on a filed
//! shelf, and not under a worse class than its own. Exceptions, which come late or last until the next
//! gc ends:
//!
//! - what was pinned when its shelf was looked at, by a search or by the end of a gc: the shelf is filed
//!   by its other buckets, or waits behind all others;
//! - what had used up its generations: gc allows it more as it begins (`gc_note`), and files it as it
//!   ends;
//! - what became so old that its priority is 0 (see `Scale::key`): until there is a new scale.

use super::lists::{
    Lists,
    Ring, //
};
use crate::buckets::{
    BucketPin,
    BucketTable,
    Mark,
    Reuse, //
};
use bcache_core::{
    alloc::{
        class::{
            Class,
            Scale, //
        },
        prio::INITIAL_PRIO,
        search::{
            file_anew,
            Look,
            Search,
            Step,
            Table,
            Took, //
        },
        shelves::{
            slots_for,
            Ends,
            ShelfNr,
            Shelves,
            Slot,
            LISTS, //
        }, //
    },
    geometry::Geometry,
    num::BucketNr, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// Shelves per hold of the allocator mutex.
pub(super) const SHELVES: usize = 64;

/// The shelves of a cache device, and what their classes are counted from.
pub(super) struct Order {
    shelves: Shelves<KVVec<Slot>, KVVec<Ends>>,
    scale: Scale,
    bucket_sectors: u32,
}

impl Order {
    /// Nothing is filed.
    pub(super) fn new(geo: &Geometry) -> Result<Self> {
        let n = geo.nbuckets();
        let slots = KVVec::from_elem(Slot::UNFILED, slots_for(n), GFP_KERNEL)?;
        let lists = KVVec::from_elem(Ends::EMPTY, LISTS, GFP_KERNEL)?;
        Ok(Self {
            shelves: Shelves::new(slots, lists, geo.first_bucket(), n),
            scale: Scale::new(INITIAL_PRIO, 0),
            bucket_sectors: geo.bucket_sectors(),
        })
    }

    /// Whether keys have counted from the same time for too long: they tell buckets apart by steps of that time.
    pub(super) fn is_old(&self, buckets: &BucketTable) -> bool {
        self.scale.is_old(buckets.rounds())
    }

    /// From now on keys count from here. The caller files all shelves next.
    pub(super) fn begin(&mut self, min_prio: u16, buckets: &BucketTable) {
        self.scale = Scale::new(min_prio, buckets.rounds());
    }

    /// All shelves.
    pub(super) fn all(&self) -> impl Iterator<Item = ShelfNr> {
        self.shelves.all()
    }

    /// The bucket was given to somebody: full, young, and to be found as soon as nobody pins it.
    pub(super) fn given_out(&mut self, b: BucketNr, buckets: &BucketTable) {
        let rounds = buckets.rounds();
        let class = self.scale.class(INITIAL_PRIO, rounds, self.bucket_sectors);
        self.shelves.improve(ShelfNr::of(b), class);
    }

    /// Nothing is in the bucket any more.
    pub(super) fn emptied(&mut self, b: BucketNr) {
        self.shelves.improve(ShelfNr::of(b), Class::FIRST);
    }
}

/// The bucket table as a search sees it. Allocator mutex held.
struct View<'a> {
    buckets: &'a BucketTable,
    scale: Scale,
    bucket_sectors: u32,
    marks_valid: bool,
    /// Gets what is taken.
    inc: Option<&'a mut Ring>,
}

impl View<'_> {
    /// While gc runs nobody knows how much is in a bucket: then the oldest go first. A shelf that was filed by more than that
    /// is looked at once, and filed anew.
    fn class(&self, prio: u16, sectors: u32) -> Class {
        let rounds = self.buckets.rounds();
        if self.marks_valid {
            self.scale.class(prio, rounds, sectors)
        } else {
            self.scale.class_in_gc(prio, rounds, self.bucket_sectors)
        }
    }

    /// Takes the bucket away from its content, if that is allowed.
    ///
    /// While gc runs its mark may have been forgotten. It must not be taken for empty then (see `lend_empty_to_prio`), as
    /// durable keys can lead to it. gc leaves a pinned bucket alone, and the keys that it finds are stale by now.
    fn invalidate(&self, b: BucketNr) -> Option<BucketPin> {
        let pin = self.buckets.invalidate(b, self.marks_valid)?;
        if !self.marks_valid {
            self.buckets
                .set_mark(b, Mark::Reclaimable, self.bucket_sectors);
        }
        Some(pin)
    }
}

impl Table for View<'_> {
    fn look(&mut self, b: BucketNr) -> Look {
        match self.buckets.reuse(b, self.marks_valid) {
            Reuse::No => Look::Kept,
            Reuse::Claimed => Look::Claimed,
            Reuse::Yes { prio, sectors } => Look::Reusable(self.class(prio, sectors)),
        }
    }

    /// The best ones last, since the first ones become priorities: these are soon free, hence best,
    /// again, and if one bucket went round like that its generation would wrap.
    fn take(&mut self, b: BucketNr) -> Took {
        if self.inc.as_ref().is_none_or(|inc| inc.is_full()) {
            return Took::Full;
        }
        let Some(pin) = self.invalidate(b) else {
            return Took::Refused;
        };
        let nr = pin.into_nr();
        let inc = self.inc.as_mut();
        if inc.is_none_or(|inc| inc.push_front(nr.0).is_err()) {
            // Not reached: there was room. The bucket is lost to the cache until the next gc at worst.
            self.buckets.unpin(nr);
        }
        Took::Yes
    }
}

impl Lists {
    /// The order, and the table as it is seen now.
    fn view<'a>(
        &'a mut self,
        buckets: &'a BucketTable,
        inc: Option<&'a mut Ring>,
    ) -> (&'a mut Order, View<'a>) {
        let view = View {
            buckets,
            scale: self.order.scale,
            bucket_sectors: self.order.bucket_sectors,
            marks_valid: self.marks_valid,
            inc,
        };
        (&mut self.order, view)
    }

    /// Takes the bucket away from its content, if that is allowed: next generation, young, one pin for the new owner.
    pub(super) fn invalidate(&mut self, b: BucketNr, buckets: &BucketTable) -> Option<BucketPin> {
        let (_, view) = self.view(buckets, None);
        view.invalidate(b)
    }

    /// Looks at the buckets of a shelf and files it.
    pub(super) fn file(&mut self, s: ShelfNr, buckets: &BucketTable) {
        let (order, mut view) = self.view(buckets, None);
        file_anew(&mut order.shelves, s, &mut view);
    }

    /// Begins a search.
    pub(super) fn search(&self) -> Search {
        Search::new(&self.order.shelves)
    }

    /// Invalidates buckets into `inc`, which may become full, from at most [`SHELVES`] shelves.
    pub(super) fn search_on(
        &mut self,
        search: &mut Search,
        buckets: &BucketTable,
        inc: &mut Ring,
    ) -> Step {
        let (order, mut view) = self.view(buckets, Some(inc));
        for _ in 0..SHELVES {
            if view.inc.as_ref().is_none_or(|inc| inc.is_full()) {
                return Step::Full;
            }
            let step = search.step(&mut order.shelves, &mut view);
            if step != Step::Looked {
                return step;
            }
        }
        Step::Looked
    }

    /// The first filed shelf at or behind that of `b`, among the next [`SHELVES`]: the bucket to go on
    /// with, and whether its shelf is filed.
    pub(super) fn next_filed(&self, b: BucketNr) -> (BucketNr, bool) {
        let mut at = b;
        for _ in 0..SHELVES {
            let shelf = ShelfNr::of(at);
            if self.order.shelves.class(shelf).is_some() {
                return (at, true);
            }
            at = shelf.end();
        }
        (at, false)
    }
}
