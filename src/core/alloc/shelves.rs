// SPDX-License-Identifier: GPL-2.0

//! Buckets in the order in which they should lose their content, sixteen neighbours at a time.
//!
//! C has no such order: each search looks at all buckets. Here neighbours share a *shelf*, which is in
//! the list of the class of its best bucket. It costs 12 bytes per 16 buckets. Nothing is moved
//! when a bucket is used: a shelf is then filed under too good a class, which the next look at it
//! finds out (see `search`).

use super::class::{
    Class,
    CLASSES, //
};
use crate::num::{
    usize_from_u32,
    BucketNr, //
};
use core::{
    num::NonZeroU32,
    ops::{
        DerefMut,
        Range, //
    }, //
};

/// Buckets of a shelf.
pub const SHELF: u32 = 16;

/// A shelf. No number of a bucket, and "no shelf" is no value of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShelfNr(NonZeroU32);

impl ShelfNr {
    /// The one that holds the bucket.
    #[inline]
    pub fn of(b: BucketNr) -> Self {
        Self(NonZeroU32::MIN.saturating_add(b.0 / SHELF))
    }

    /// The first bucket behind it.
    pub fn end(self) -> BucketNr {
        BucketNr(self.0.get().saturating_mul(SHELF))
    }

    fn below(self) -> u32 {
        self.0.get().saturating_sub(1)
    }

    fn index(self) -> usize {
        usize_from_u32(self.below())
    }
}

/// Where a shelf is filed.
#[derive(Clone, Copy)]
pub struct Slot {
    before: Option<ShelfNr>,
    after: Option<ShelfNr>,
    class: Option<Class>,
}

const _: () = assert!(size_of::<Slot>() == 12);

impl Slot {
    /// Not filed.
    pub const UNFILED: Self = Self {
        before: None,
        after: None,
        class: None,
    };
}

/// The ends of a list.
#[derive(Clone, Copy)]
pub struct Ends {
    first: Option<ShelfNr>,
    last: Option<ShelfNr>,
}

impl Ends {
    /// Those of an empty list.
    pub const EMPTY: Self = Self {
        first: None,
        last: None,
    };
}

/// The shelves of a cache device, in two slices (`KVVec`, `Vec`) from outside.
///
/// # Invariants
///
/// A shelf with a class is in the list of that class and in no other; one without is in none. All
/// classes below `best` have empty lists. `waiting` is the length of the list of
/// [`Class::WAITING`].
pub struct Shelves<S, E> {
    slots: S,
    lists: E,
    /// Numbers of the buckets that can hold data.
    buckets: Range<u32>,
    best: Class,
    waiting: u32,
}

/// How many slots [`Shelves::new`] needs for `nbuckets`.
pub fn slots_for(nbuckets: u32) -> usize {
    usize_from_u32(nbuckets.div_ceil(SHELF))
}

/// How many lists it needs.
pub const LISTS: usize = CLASSES;

impl<S: DerefMut<Target = [Slot]>, E: DerefMut<Target = [Ends]>> Shelves<S, E> {
    /// Nothing is filed. `slots` are unfiled and as many as [`slots_for`] says, `lists` are empty ones,
    /// [`LISTS`] of them; with fewer, some shelves are never filed. Buckets outside of `first..n`
    /// are on no shelf.
    pub fn new(slots: S, lists: E, first: BucketNr, n: u32) -> Self {
        Self {
            slots,
            lists,
            buckets: first.0..n,
            best: Class::FIRST,
            waiting: 0,
        }
    }

    /// All shelves.
    pub fn all(&self) -> impl Iterator<Item = ShelfNr> {
        let Range { start, end } = self.buckets;
        let shelves = start / SHELF..end.div_ceil(SHELF);
        shelves.map(|i| ShelfNr(NonZeroU32::MIN.saturating_add(i)))
    }

    /// The buckets of a shelf that can hold data.
    pub fn buckets(&self, s: ShelfNr) -> impl Iterator<Item = BucketNr> {
        let start = s.below().saturating_mul(SHELF);
        let end = start.saturating_add(SHELF).min(self.buckets.end);
        (start.max(self.buckets.start)..end).map(BucketNr)
    }

    /// What the shelf is filed under.
    pub fn class(&self, s: ShelfNr) -> Option<Class> {
        self.slots.get(s.index())?.class
    }

    /// Shelves filed under [`Class::WAITING`].
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// The shelf to be looked at first, and its class.
    pub fn best(&mut self) -> Option<(ShelfNr, Class)> {
        loop {
            let list = self.lists.get(self.best.index())?;
            if let Some(s) = list.first {
                return Some((s, self.best));
            }
            self.best = self.best.next()?;
        }
    }

    /// Files a shelf under `class`, behind those that are there, or not at all.
    pub fn file(&mut self, s: ShelfNr, class: Option<Class>) {
        self.remove(s);
        if let Some(class) = class {
            self.append(s, class);
        }
    }

    /// The shelf has a bucket of `class` now: files it if that is better than what it is filed under.
    pub fn improve(&mut self, s: ShelfNr, class: Class) {
        if self.class(s).is_none_or(|c| class < c) {
            self.file(s, Some(class));
        }
    }

    /// A shelf that is in no list goes to the end of one.
    fn append(&mut self, s: ShelfNr, class: Class) {
        let Some(list) = self.lists.get_mut(class.index()) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(s.index()) else {
            return;
        };
        let before = list.last.replace(s);
        *slot = Slot {
            before,
            after: None,
            class: Some(class),
        };
        match before.and_then(|b| self.slots.get_mut(b.index())) {
            Some(slot) => slot.after = Some(s),
            None => list.first = Some(s),
        }
        self.best = self.best.min(class);
        if class == Class::WAITING {
            self.waiting = self.waiting.saturating_add(1);
        }
    }

    /// Takes a shelf out of its list, if it is in one.
    fn remove(&mut self, s: ShelfNr) {
        let Some(slot) = self.slots.get_mut(s.index()) else {
            return;
        };
        let Slot {
            before,
            after,
            class,
        } = core::mem::replace(slot, Slot::UNFILED);
        let Some(class) = class else { return };
        let Some(list) = self.lists.get_mut(class.index()) else {
            return;
        };
        match before.and_then(|b| self.slots.get_mut(b.index())) {
            Some(slot) => slot.after = after,
            None => list.first = after,
        }
        match after.and_then(|a| self.slots.get_mut(a.index())) {
            Some(slot) => slot.before = before,
            None => list.last = before,
        }
        if class == Class::WAITING {
            self.waiting = self.waiting.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::VecDeque,
        vec::Vec, //
    };

    #[test]
    fn equals_deques() {
        let classes = [0, 1, 9, 4000, 1 << 39].map(Class::of);
        let classes = [&classes[..], &[Class::WAITING]].concat();
        let (slots, lists) = ([Slot::UNFILED; 9], [Ends::EMPTY; LISTS]);
        let mut slots = slots;
        let mut lists = lists;
        let mut shelves = Shelves::new(&mut slots[..], &mut lists[..], BucketNr(18), 133);
        let all: Vec<ShelfNr> = shelves.all().collect();
        assert_eq!((all.len(), slots_for(133)), (8, 9));
        let mut want = std::vec![VecDeque::new(); classes.len()];
        let mut seed = 5u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            let (s, to) = (all[(seed >> 20) as usize % 8], (seed >> 26) as usize % 8);
            let improve = seed >> 31 != 0;
            let at = want.iter().position(|l| l.contains(&s));
            if improve && to < classes.len() {
                shelves.improve(s, classes[to]);
            } else {
                shelves.file(s, classes.get(to).copied());
            }
            if !improve || to >= classes.len() || at.is_none_or(|at| to < at) {
                want.iter_mut().for_each(|l| l.retain(|x| *x != s));
                if let Some(l) = want.get_mut(to) {
                    l.push_back(s);
                }
            }
            let first = want.iter().zip(&classes).find(|(l, _)| !l.is_empty());
            assert_eq!(shelves.best(), first.map(|(l, c)| (l[0], *c)));
            assert_eq!(shelves.waiting() as usize, want[5].len());
        }
        // Emptied from the front, in order.
        let want: Vec<ShelfNr> = want.into_iter().flatten().collect();
        let got = core::iter::from_fn(|| {
            let (s, _) = shelves.best()?;
            shelves.file(s, None);
            Some(s)
        });
        assert_eq!(got.collect::<Vec<_>>(), want);
    }

    #[test]
    fn only_buckets_with_data() {
        let (mut slots, mut lists) = ([Slot::UNFILED; 3], [Ends::EMPTY; LISTS]);
        let shelves = Shelves::new(&mut slots[..], &mut lists[..], BucketNr(5), 37);
        let on_shelves = shelves.all().flat_map(|s| shelves.buckets(s));
        assert!(on_shelves.eq((5..37).map(BucketNr)));
        assert_eq!(
            shelves.buckets(ShelfNr::of(BucketNr(37 + SHELF))).count(),
            0
        );
        for s in shelves.all() {
            assert!(shelves.buckets(s).all(|b| ShelfNr::of(b) == s));
        }
    }
}
