// SPDX-License-Identifier: GPL-2.0

//! The bucket table: priority, generation, pins and gc mark of every bucket.
//!
//! C: `struct bucket` in `bcache.h`, the inline helpers of `alloc.c` and `btree.h`. C updates the
//! fields one by one under `bucket_lock` and reads them without it; here the fields that decide
//! together whether a pointer is valid and its bucket in use (generation, last generation seen by
//! gc, priority, pins) share one 64-bit word that changes by compare-and-exchange only. So "pin the
//! bucket if this pointer is still valid" and "invalidate the bucket if nobody pins it" exclude
//! each other without a lock.
//!
//! Priorities age without a walk over the table: see `bcache_core::alloc::age`.
//!
//! The gc mark lives in a second word. Who changes it: the allocator when it hands a bucket out
//! (the bucket is pinned then), the holder of a pin (dirty data), gc.

mod pin;
mod target;
mod word;

use bcache_core::{
    alloc::{
        age::{
            self,
            Epoch, //
        },
        bucket::State,
        prio::{
            can_inc_gen,
            INITIAL_PRIO, //
        }, //
    },
    geometry::Geometry,
    key::Ptr,
    num::BucketNr, //
};
use bcache_kernel::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    zeroed, //
};
use core::ops::Range;
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::Arc, //
};
pub(crate) use pin::BucketPin;
pub(crate) use target::Target;
pub(crate) use word::Mark;
use word::{
    GcCell,
    GcWord,
    StateCell, //
};

/// How far the generations of keys may be ahead of the priorities on the device. These are written
/// before a bucket is reused; only a freed node, and a bucket that was known to be empty, get a new
/// generation without that.
const MAX_NEWER: u8 = 16;

/// What the pins keep alive.
struct Table {
    geo: Geometry,
    dev: u16,
    /// Rounds of aging so far; wraps.
    rounds: Atomic<u32>,
    /// Those at the beginning of the last walk that settled what reached priority 0.
    walked: Atomic<u32>,
    /// The words of a bucket ([`StateCell`], [`GcCell`]) are apart: together they would take up 16 bytes instead of 12.
    states: KVVec<Atomic<u64>>,
    gcs: KVVec<Atomic<u32>>,
}

impl Table {
    /// What priorities are counted from now.
    fn now(&self) -> Epoch {
        Epoch::new(self.rounds.load(Relaxed))
    }

    fn state(&self, b: BucketNr) -> Option<StateCell<'_>> {
        self.states.get(b.index()).map(StateCell)
    }

    fn gc(&self, b: BucketNr) -> Option<GcCell<'_>> {
        self.gcs.get(b.index()).map(GcCell)
    }

    /// The first words of the buckets with these numbers, as far as there are such.
    fn states(&self, numbers: Range<usize>) -> impl Iterator<Item = StateCell<'_>> {
        let end = numbers.end.min(self.states.len());
        let states = self.states.get(numbers.start..end).unwrap_or(&[]);
        states.iter().map(StateCell)
    }

    /// Both words of these buckets.
    fn cells(&self, numbers: Range<usize>) -> impl Iterator<Item = (StateCell<'_>, GcCell<'_>)> {
        let end = numbers.end.min(self.gcs.len());
        let gcs = self.gcs.get(numbers.start..end).unwrap_or(&[]);
        self.states(numbers).zip(gcs.iter().map(GcCell))
    }

    /// That of a bucket that can hold data; the superblock is in one before the first.
    fn data_state(&self, b: BucketNr) -> Option<StateCell<'_>> {
        if b < self.geo.first_bucket() {
            return None;
        }
        self.state(b)
    }

    /// Both words of a bucket that can hold data.
    fn data(&self, b: BucketNr) -> Option<(StateCell<'_>, GcCell<'_>)> {
        Some((self.data_state(b)?, self.gc(b)?))
    }

    /// The bucket a pointer leads to, if it leads into the cache.
    fn of(&self, p: Ptr) -> Option<(BucketNr, StateCell<'_>)> {
        if !p.is_available() {
            return None;
        }
        let nr = self.geo.bucket_of(p.sector())?;
        Some((nr, self.data_state(nr)?))
    }
}

/// Whether a bucket may get a new generation and new content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// No. Only gc, or an owner that gives it up, can change that.
    No,
    /// Not as long as it is pinned.
    Claimed,
    /// Yes.
    Yes {
        /// Its priority.
        prio: u16,
        /// Its sectors of live data as of the last gc.
        sectors: u32,
    },
}

/// The buckets of a cache device. All methods may be called in any context; numbers outside of the
/// device read as unused buckets and changing them does nothing.
pub(crate) struct BucketTable(Arc<Table>);

impl BucketTable {
    /// A table of unused buckets of generation 0. `dev` is the number of the cache device in its
    /// set.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(geo: &Geometry, dev: u16) -> Result<Self> {
        let n = BucketNr(geo.nbuckets()).index();
        let table = Table {
            geo: *geo,
            dev,
            rounds: Atomic::new(0),
            walked: Atomic::new(0),
            states: zeroed::table(n)?,
            gcs: zeroed::table(n)?,
        };
        Ok(Self(Arc::new(table, GFP_KERNEL)?))
    }

    fn state(&self, b: BucketNr) -> State {
        self.0.state(b).map_or(State::UNUSED, |state| state.get())
    }

    /// Rounds of aging so far; wraps.
    pub(crate) fn rounds(&self) -> u32 {
        self.0.rounds.load(Relaxed)
    }

    /// Priority; see `bcache_core::alloc::prio`.
    pub(crate) fn prio(&self, b: BucketNr) -> u16 {
        self.state(b).prio(self.0.now())
    }

    /// Priorities and generations of the buckets with these numbers, as far as there are such.
    pub(crate) fn prio_gens(&self, numbers: Range<usize>) -> impl Iterator<Item = (u16, u8)> + '_ {
        let now = self.0.now();
        self.0.states(numbers).map(move |cell| {
            let s = cell.get();
            (s.prio(now), s.gen())
        })
    }

    /// Priority, mark, and whether somebody pins it, of each bucket with one of these numbers.
    pub(crate) fn overview(
        &self,
        numbers: Range<usize>,
    ) -> impl Iterator<Item = (u16, Mark, bool)> + '_ {
        let now = self.0.now();
        self.0.cells(numbers).map(move |(state, gc)| {
            let s = state.get();
            (s.prio(now), gc.get().mark(), s.pins() != 0)
        })
    }

    /// Whether somebody pins the bucket.
    pub(crate) fn pinned(&self, b: BucketNr) -> bool {
        self.state(b).pins() != 0
    }

    /// The mark gc or the allocator gave it.
    pub(crate) fn mark(&self, b: BucketNr) -> Mark {
        self.0.gc(b).map_or(Mark::Free, |gc| gc.get().mark())
    }

    /// Sectors of live data as of the last gc; the whole bucket if it was allocated since.
    pub(crate) fn sectors_used(&self, b: BucketNr) -> u32 {
        self.0.gc(b).map_or(0, |gc| gc.get().sectors())
    }

    /// The bucket a pointer leads to.
    pub(crate) fn bucket_of(&self, p: Ptr) -> Option<BucketNr> {
        self.0.of(p).map(|(nr, _)| nr)
    }

    /// How many generations ago a pointer was valid: 0 if it is, 255 if it leads nowhere.
    ///
    /// C takes a pointer for valid, too, whose generation seems newer, which at run time can only
    /// be one so old that the difference wrapped.
    pub(crate) fn ptr_stale(&self, p: Ptr) -> u8 {
        match self.0.of(p) {
            Some((_, state)) => state.get().gen().wrapping_sub(p.gen()),
            None => u8::MAX,
        }
    }

    /// The data was used: the bucket becomes young.
    pub(crate) fn touch(&self, b: BucketNr) {
        // Mostly it is young already; then nothing is written and no cache line moves.
        self.set_prio(b, INITIAL_PRIO);
    }

    /// Sets the priority.
    pub(crate) fn set_prio(&self, b: BucketNr, prio: u16) {
        if let Some(state) = self.0.state(b) {
            let now = self.0.now();
            state.update(|s| Some(s.with_prio(prio, now)).filter(|new| *new != s));
        }
    }

    /// Lowers the priority of every bucket `rounds` times; each of those that age, and none below
    /// 0. Gives whether [`Self::settle`] is due.
    pub(crate) fn age(&self, rounds: u32) -> bool {
        let so_far = self.0.rounds.load(Relaxed);
        let walked = self.0.walked.load(Relaxed);
        let rounds = age::rounds_allowed(rounds, so_far, walked);
        self.0.rounds.add(rounds, Relaxed);
        age::walk_due(so_far, walked)
    }

    /// Looks at all buckets, if there were very many rounds since it last did: a priority of 0
    /// must not become a high one when the epoch wraps. Allocator thread only.
    pub(crate) fn settle(&self) {
        let rounds = self.0.rounds.load(Relaxed);
        if !age::walk_due(rounds, self.0.walked.load(Relaxed)) {
            return;
        }
        for state in self.0.states(0..usize::MAX) {
            let now = self.0.now();
            state.update(|s| Some(s.settled(now)).filter(|new| *new != s));
        }
        self.0.walked.store(rounds, Relaxed);
    }

    /// Dirty data goes into the bucket. The caller holds a pin.
    pub(crate) fn mark_dirty(&self, b: BucketNr) {
        if let Some(gc) = self.0.gc(b) {
            gc.update(|g| (g.mark() != Mark::Dirty).then(|| g.with_mark(Mark::Dirty)));
        }
    }

    /// Sets mark and sectors used, forgets the rest of what gc knew.
    pub(crate) fn set_mark(&self, b: BucketNr, mark: Mark, sectors: u32) {
        if let Some(gc) = self.0.gc(b) {
            gc.update(|_| Some(GcWord::new(mark, sectors)));
        }
    }

    /// Only raises the mark to metadata, sectors stay.
    pub(crate) fn mark_metadata(&self, b: BucketNr) {
        if let Some(gc) = self.0.gc(b) {
            gc.update(|g| Some(g.with_mark(Mark::Metadata)));
        }
    }

    /// The next generation: every pointer into the bucket is stale from now on. Gives it.
    pub(crate) fn inc_gen(&self, b: BucketNr) -> u8 {
        self.0
            .state(b)
            .and_then(|state| state.update(|s| Some(s.with_gen(s.gen().wrapping_add(1)))))
            .map_or(0, |old| old.gen().wrapping_add(1))
    }

    /// Start-up, when nobody has a pin: priorities and generations of the buckets from `first` on, as read from the device.
    pub(crate) fn load(&self, first: BucketNr, entries: impl Iterator<Item = (u16, u8)>) {
        let now = self.0.now();
        let cells = self.0.states(first.index()..usize::MAX);
        for (state, (prio, gen)) in cells.zip(entries) {
            state.change(|_| {
                State::UNUSED
                    .with_prio(prio, now)
                    .with_gen(gen)
                    .with_last_gc(gen)
            });
        }
    }

    /// Whether the bucket may get a new generation and new content; never one before the first for
    /// data. Allocator mutex held.
    pub(crate) fn reuse(&self, b: BucketNr, marks_valid: bool) -> Reuse {
        let Some((state, gc)) = self.0.data(b) else {
            return Reuse::No;
        };
        let (state, gc) = (state.get(), gc.get());
        let possible = (marks_valid || gc.has(GcWord::RECLAIMABLE_IN_GC))
            && matches!(gc.mark(), Mark::Free | Mark::Reclaimable)
            && can_inc_gen(state.gen(), state.last_gc());
        match (possible, state.pins()) {
            (false, _) => Reuse::No,
            (true, 0) => Reuse::Yes {
                prio: state.prio(self.0.now()),
                sectors: gc.sectors(),
            },
            (true, _) => Reuse::Claimed,
        }
    }

    /// Whether that is so now.
    pub(crate) fn can_invalidate(&self, b: BucketNr, marks_valid: bool) -> bool {
        matches!(self.reuse(b, marks_valid), Reuse::Yes { .. })
    }

    /// Takes the bucket away from its content: next generation, young, one pin for the new owner.
    ///
    /// Gives the pin, or `None` if [`Self::can_invalidate`] is not (any more) true. Allocator mutex
    /// held.
    pub(crate) fn invalidate(&self, b: BucketNr, marks_valid: bool) -> Option<BucketPin> {
        if !self.can_invalidate(b, marks_valid) {
            return None;
        }
        let (state, gc) = self.0.data(b)?;
        let now = self.0.now();
        state.update(|s| {
            (s.pins() == 0 && can_inc_gen(s.gen(), s.last_gc())).then(|| {
                s.with_gen(s.gen().wrapping_add(1))
                    .pinned(now)
                    .with_prio(INITIAL_PRIO, now)
            })
        })?;
        gc.update(|g| Some(g.with(GcWord::RECLAIMABLE_IN_GC, false)));
        Some(BucketPin::new(&self.0, b))
    }

    /// First half of a gc start, while the marks are valid: notes what may be reused while gc runs. What is empty goes first
    /// then, too: as only its priority will tell, that becomes 0. Numbers are those of buckets for data. Allocator mutex held.
    pub(crate) fn gc_note(&self, numbers: Range<usize>) {
        let now = self.0.now();
        for (state, gc) in self.0.cells(numbers) {
            // It can have a new generation now, so that mark and pins decide (see `reuse`).
            let s = state.change(|s| s.with_last_gc(s.gen()));
            let g = gc.get();
            let yes = matches!(g.mark(), Mark::Free | Mark::Reclaimable) && s.pins() == 0;
            if yes && g.sectors() == 0 {
                state.change(|s| s.with_prio(0, now));
            }
            if g.has(GcWord::RECLAIMABLE_IN_GC) != yes {
                gc.update(|g| Some(g.with(GcWord::RECLAIMABLE_IN_GC, yes)));
            }
        }
    }

    /// Second half: forgets the marks of buckets that nobody pins. Allocator mutex held.
    pub(crate) fn gc_forget(&self, numbers: Range<usize>) {
        const MARK: u32 = !GcWord::RECLAIMABLE_IN_GC;
        for (state, gc) in self.0.cells(numbers) {
            let forgets = |g: GcWord| g.has(MARK) && state.get().pins() == 0;
            gc.update(|g| forgets(g).then(|| g.with(MARK, false)));
        }
    }

    /// Pins the bucket a pointer leads to, unless the pointer is stale. Atomic: as long as the pin
    /// lives the bucket is not given to somebody else.
    pub(crate) fn pin_valid(&self, p: Ptr) -> Option<BucketPin> {
        let (nr, state) = self.0.of(p)?;
        let now = self.0.now();
        state.update(|s| (s.gen() == p.gen()).then(|| s.pinned(now)))?;
        Some(BucketPin::new(&self.0, nr))
    }

    /// Makes a value of a claim that [`BucketPin::into_nr`] or the free lists hold.
    pub(crate) fn adopt(&self, b: BucketNr) -> BucketPin {
        BucketPin::new(&self.0, b)
    }

    /// Takes back one claim that is no value.
    pub(crate) fn unpin(&self, b: BucketNr) {
        if let Some(state) = self.0.state(b) {
            let now = self.0.now();
            state.update(|s| Some(s.unpinned(now)));
        }
    }

    /// All bucket numbers that can be in use.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = BucketNr> {
        let geo = &self.0.geo;
        (geo.first_bucket().0..geo.nbuckets()).map(BucketNr)
    }

    /// The same, `step` at a time.
    pub(crate) fn steps(&self, step: usize) -> impl Iterator<Item = Range<usize>> {
        let geo = &self.0.geo;
        let (first, end) = (geo.first_bucket().index(), BucketNr(geo.nbuckets()).index());
        (first..end)
            .step_by(step.max(1))
            .map(move |from| from..from.saturating_add(step).min(end))
    }
}
