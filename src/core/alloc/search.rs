// SPDX-License-Identifier: GPL-2.0

//! Which buckets lose their content next.
//!
//! C: `invalidate_buckets_lru` in `alloc.c`, which looks at every bucket each time. Here a search goes
//! through the shelves, best first, and takes from each what is as good as it was filed for. What was
//! used since then stays, and the shelf is filed anew under the best that is left.
//!
//! What that comes to: of the buckets that can be reused, and could be when their shelf was filed, none is left whose class
//! is smaller than that of one that was taken, so the order is C's but for an eighth of the key.
//! Each look at a shelf of 16 gives a bucket, or is paid for by what happened to its best bucket
//! since it was filed (it was used, pinned, or taken); so a search for `n` buckets takes `O(n)`
//! looks, however large the device is.

use super::{
    class::Class,
    shelves::{
        Ends,
        ShelfNr,
        Shelves,
        Slot, //
    }, //
};
use crate::num::BucketNr;
use core::ops::DerefMut;

/// What can be done with a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// It cannot be reused. If that changes its shelf will be filed again.
    Kept,
    /// It could be reused if nobody claimed it; nobody says when that ends.
    Claimed,
    /// It can be reused, and is worth this much.
    Reusable(Class),
}

/// What became of an attempt to take a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// It was taken.
    Yes,
    /// It cannot be reused any more.
    Refused,
    /// No more are wanted.
    Full,
}

/// The bucket table as a search sees it.
pub trait Table {
    /// What can be done with `b`.
    fn look(&mut self, b: BucketNr) -> Look;
    /// Takes `b`, which could be reused just now.
    fn take(&mut self, b: BucketNr) -> Took;
}

/// What [`Search::step`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It goes on.
    Looked,
    /// No more buckets are wanted.
    Full,
    /// No bucket is left that can be reused.
    NothingLeft,
}

/// One search, which may be interrupted between its steps.
pub struct Search {
    /// Shelves of claimed buckets that it has not looked at: each is looked at once.
    waiting: u32,
}

impl Search {
    /// Begins a search.
    pub fn new<S, E>(shelves: &Shelves<S, E>) -> Self
    where
        S: DerefMut<Target = [Slot]>,
        E: DerefMut<Target = [Ends]>,
    {
        Self {
            waiting: shelves.waiting(),
        }
    }

    /// Looks at one shelf, 16 buckets.
    pub fn step<S, E>(&mut self, shelves: &mut Shelves<S, E>, table: &mut impl Table) -> Step
    where
        S: DerefMut<Target = [Slot]>,
        E: DerefMut<Target = [Ends]>,
    {
        let Some((shelf, class)) = shelves.best() else {
            return Step::NothingLeft;
        };
        if class == Class::WAITING {
            match self.waiting.checked_sub(1) {
                Some(left) => self.waiting = left,
                None => return Step::NothingLeft,
            }
        }
        let mut step = Step::Looked;
        let left = shelves.buckets(shelf).filter_map(|b| match table.look(b) {
            Look::Reusable(c) if c <= class => match table.take(b) {
                Took::Yes => None,
                Took::Refused => Some(Class::WAITING),
                Took::Full => {
                    step = Step::Full;
                    Some(c)
                }
            },
            other => other.class(),
        });
        let left = left.min();
        shelves.file(shelf, left);
        step
    }
}

impl Look {
    /// What a shelf with such a bucket is to be filed under, if there is no better one on it.
    fn class(self) -> Option<Class> {
        match self {
            Self::Kept => None,
            Self::Claimed => Some(Class::WAITING),
            Self::Reusable(class) => Some(class),
        }
    }
}

/// Looks at the buckets of a shelf, until there can be no better one, and files it.
pub fn file_anew<S, E>(shelves: &mut Shelves<S, E>, shelf: ShelfNr, table: &mut impl Table)
where
    S: DerefMut<Target = [Slot]>,
    E: DerefMut<Target = [Ends]>,
{
    let mut best = None;
    for b in shelves.buckets(shelf) {
        best = [best, table.look(b).class()].into_iter().flatten().min();
        if best == Some(Class::FIRST) {
            break;
        }
    }
    shelves.file(shelf, best);
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            class::{
                Scale,
                CLASSES, //
            },
            prio::INITIAL_PRIO,
            shelves::{
                slots_for,
                LISTS,
                SHELF, //
            }, //
        },
        *,
    };
    use std::{
        vec,
        vec::Vec, //
    };

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Use {
        /// Dirty or metadata.
        Kept,
        Pinned,
        Clean,
    }

    /// A cache device as simple as it can be, and its shelves.
    struct Model {
        shelves: Shelves<Vec<Slot>, Vec<Ends>>,
        device: Device,
    }

    /// `used` rounds: when the bucket was used last.
    #[derive(Clone, Copy)]
    struct Bucket {
        now: Use,
        used: u32,
        sectors: u32,
    }

    struct Device {
        first: u32,
        rounds: u32,
        scale: Scale,
        marks_valid: bool,
        buckets: Vec<Bucket>,
        wanted: usize,
        taken: Vec<(u32, u64)>,
        looks: usize,
    }

    impl Device {
        fn prio(&self, b: u32) -> u16 {
            let age = self.rounds - self.buckets[b as usize].used;
            INITIAL_PRIO.saturating_sub(u16::try_from(age).unwrap_or(u16::MAX))
        }

        fn key(&self, b: u32) -> u64 {
            let sectors = self.buckets[b as usize].sectors;
            self.scale.key(self.prio(b), self.rounds, sectors)
        }

        /// C's way: all that can be reused, sorted.
        fn sorted(&self) -> Vec<(u64, u32)> {
            let n = self.buckets.len() as u32;
            let clean = (self.first..n).filter(|b| self.buckets[*b as usize].now == Use::Clean);
            let mut all: Vec<_> = clean.map(|b| (self.key(b), b)).collect();
            all.sort_unstable();
            all
        }
    }

    impl Table for Device {
        fn look(&mut self, b: BucketNr) -> Look {
            assert!(b.0 >= self.first && b.0 < self.buckets.len() as u32);
            self.looks += 1;
            match self.buckets[b.index()].now {
                Use::Kept => Look::Kept,
                Use::Pinned => Look::Claimed,
                Use::Clean if self.marks_valid => Look::Reusable(Class::of(self.key(b.0))),
                Use::Clean => {
                    let prio = self.prio(b.0);
                    Look::Reusable(self.scale.class_in_gc(prio, self.rounds, 64))
                }
            }
        }

        fn take(&mut self, b: BucketNr) -> Took {
            if self.taken.len() == self.wanted {
                return Took::Full;
            }
            assert_eq!(self.buckets[b.index()].now, Use::Clean);
            self.taken.push((b.0, self.key(b.0)));
            self.buckets[b.index()] = Bucket {
                now: Use::Pinned,
                used: self.rounds,
                sectors: 0,
            };
            Took::Yes
        }
    }

    impl Model {
        fn new(first: u32, n: u32) -> Self {
            let (slots, lists) = (slots_for(n), LISTS);
            let (slots, lists) = (vec![Slot::UNFILED; slots], vec![Ends::EMPTY; lists]);
            let bucket = Bucket {
                now: Use::Clean,
                used: 40_000,
                sectors: 0,
            };
            let mut model = Self {
                shelves: Shelves::new(slots, lists, BucketNr(first), n),
                device: Device {
                    first,
                    rounds: 40_000,
                    scale: Scale::new(u16::MAX, 40_000),
                    marks_valid: true,
                    buckets: vec![bucket; n as usize],
                    wanted: 0,
                    taken: vec![],
                    looks: 0,
                },
            };
            model.gc();
            model
        }

        /// The end of a gc: all marks are new.
        fn gc(&mut self) {
            let d = &mut self.device;
            let prios = (d.first..d.buckets.len() as u32).map(|b| d.prio(b));
            d.scale = Scale::new(prios.fold(INITIAL_PRIO, Scale::lowest), d.rounds);
            for s in self.shelves.all() {
                file_anew(&mut self.shelves, s, &mut self.device);
            }
        }

        fn search(&mut self, wanted: usize) -> Vec<(u32, u64)> {
            if self.device.scale.is_old(self.device.rounds) {
                // A new scale, as at the end of a gc.
                self.gc();
            }
            self.device.wanted = wanted;
            self.device.looks = 0;
            let mut search = Search::new(&self.shelves);
            while search.step(&mut self.shelves, &mut self.device) == Step::Looked {
                if self.device.taken.len() == wanted {
                    break;
                }
            }
            core::mem::take(&mut self.device.taken)
        }

        /// Its new owner has filled a bucket that was taken.
        fn fill(&mut self, b: u32, sectors: u32) {
            let used = self.device.rounds;
            self.device.buckets[b as usize] = Bucket {
                now: Use::Clean,
                used,
                sectors,
            };
            let class = Class::of(self.device.key(b));
            self.shelves.improve(ShelfNr::of(BucketNr(b)), class);
        }
    }

    fn random(seed: &mut u32, below: u32) -> u32 {
        *seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
        (*seed >> 8) % below
    }

    /// Everything that happens to buckets, in any order; whatever a search takes is as good as what C
    /// would have taken, but for an eighth.
    #[test]
    fn as_good_as_a_sort() {
        let mut seed = 77;
        for (first, n) in [(1, 40), (7, 333), (17, 1000)] {
            let mut m = Model::new(first, n);
            for _ in 0..3000 {
                let b = first + random(&mut seed, n - first);
                let bucket = m.device.buckets[b as usize];
                match random(&mut seed, 16) {
                    // Used.
                    0..=5 if bucket.now != Use::Pinned => {
                        m.device.buckets[b as usize].used = m.device.rounds;
                    }
                    6 => m.device.rounds += random(&mut seed, 30),
                    // Written to.
                    7 => m.device.buckets[b as usize].now = Use::Kept,
                    8 | 9 if bucket.now == Use::Pinned => m.fill(b, 64),
                    10 => {
                        let sectors = random(&mut seed, 65);
                        if bucket.now == Use::Kept {
                            m.device.buckets[b as usize].now = Use::Clean;
                        }
                        m.device.buckets[b as usize].sectors = sectors;
                        m.gc();
                    }
                    11..=13 => {
                        let wanted = random(&mut seed, n / 8) as usize;
                        let before = m.device.sorted();
                        let got = m.search(wanted);
                        assert_eq!(got.len(), wanted.min(before.len()));
                        let after = m.device.sorted();
                        let best_left = after.first().map_or(u64::MAX, |(key, _)| *key);
                        for (b, key) in &got {
                            assert!(before.contains(&(*key, *b)));
                            assert!(Class::of(*key) <= Class::of(best_left));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// A bucket that was filed is used before the search looks at it, and again before the next one.
    /// It stays, its place is that of no other bucket, and no bucket before the first is ever
    /// looked at, let alone given out (the model asserts that).
    #[test]
    fn used_between_the_looks() {
        let (first, n) = (3, 64);
        let mut m = Model::new(first, n);
        for b in first..n {
            m.device.buckets[b as usize].sectors = 8;
            m.device.buckets[b as usize].used = 30_000 + b;
        }
        m.gc();
        // The very ones that are filed as the best of their shelves.
        let best = [first, SHELF, 2 * SHELF, 3 * SHELF];
        for round in 1..6 {
            m.device.rounds += 1;
            for b in best {
                m.device.buckets[b as usize].used = m.device.rounds;
            }
            let got = m.search(2);
            assert_eq!(got.len(), 2, "{round}");
            for (b, _) in got {
                assert!(b >= first && b < n && !best.contains(&b));
                m.fill(b, 8);
            }
        }
        // All of a shelf used, all of it pinned, and all of it dirty: the shelf itself is no bucket.
        for now in [Use::Clean, Use::Pinned, Use::Kept] {
            m.device.rounds += 1;
            for b in first..n {
                m.device.buckets[b as usize].used = m.device.rounds;
                if b < SHELF {
                    m.device.buckets[b as usize].now = now;
                }
            }
            let got = m.search(n as usize);
            assert!(got.iter().all(|(b, _)| *b >= first));
            let clean = if now == Use::Clean { first } else { SHELF };
            assert_eq!(got.len(), (n - clean) as usize);
            for (b, _) in got {
                m.fill(b, 8);
            }
        }
    }

    /// Buckets are hit all the time, and gc does not run: what was used lately is still told from what was not.
    #[test]
    fn without_gc() {
        let (first, n) = (1, 400);
        let mut m = Model::new(first, n);
        let mut seed = 9;
        for b in first..n {
            m.fill(b, 64);
        }
        m.gc();
        for _ in 0..4 {
            m.device.rounds += 70_000;
            for b in first..n {
                m.device.buckets[b as usize].used = m.device.rounds - random(&mut seed, 30_000);
            }
            let got = m.search(100);
            assert_eq!(got.len(), 100);
            let taken = got.iter().map(|(_, key)| *key).max().unwrap();
            let left = m.device.sorted()[0].0;
            // The sectors, and rounds: a sixth of a life.
            assert!(taken - left.min(taken) < 64 * 5632);
            for (b, _) in got {
                m.fill(b, 64);
            }
        }
    }

    /// While gc runs a cold bucket loses its content, and its warmer neighbours do not.
    #[test]
    fn alone_in_gc() {
        let n = 40 * SHELF;
        let mut m = Model::new(0, n);
        let cold = |b: u32| b % SHELF == 5;
        for b in 0..n {
            m.device.buckets[b as usize].used = if cold(b) { 10_000 } else { 30_000 };
            // Little data makes a bucket no better: this is forgotten.
            m.device.buckets[b as usize].sectors = if cold(b) { 64 } else { 1 };
        }
        m.gc();
        m.device.marks_valid = false;
        m.device.rounds += 100;
        let mut got = m.search(30);
        // A shelf is looked at once more when what was known of it is forgotten.
        assert!(m.device.looks <= 2 * n as usize);
        got.append(&mut m.search(10));
        assert!(got.len() == 40 && got.iter().all(|(b, _)| cold(*b)));
        assert_eq!(m.search(3).len(), 3);
    }

    /// Nothing to be had: a search ends, and soon.
    #[test]
    fn ends_when_nothing_is_left() {
        for now in [Use::Pinned, Use::Kept] {
            let mut m = Model::new(1, 640);
            for b in &mut m.device.buckets {
                b.now = now;
            }
            for _ in 0..3 {
                assert_eq!(m.search(5), []);
                assert!(m.device.looks < 640 * 2);
            }
            if now == Use::Kept {
                assert_eq!(m.search(5), []);
                assert_eq!(m.device.looks, 0);
            } else {
                // Found without being filed anew.
                m.device.buckets[100].now = Use::Clean;
                assert_eq!(m.search(5).len(), 1);
            }
        }
    }

    /// A million buckets, used at random, and filled as they are taken: looks per bucket.
    #[test]
    fn few_looks() {
        let n = 1 << 20;
        let mut m = Model::new(8, n);
        let mut seed = 5;
        for b in 8..n {
            let used = 20_000 + random(&mut seed, 20_000);
            let sectors = 1 + random(&mut seed, 1024);
            m.device.buckets[b as usize].used = used;
            m.device.buckets[b as usize].sectors = sectors;
        }
        m.gc();
        let wanted = 4095;
        for _ in 0..16 {
            m.device.rounds += 4;
            for _ in 0..wanted {
                let b = 8 + random(&mut seed, n - 8);
                m.device.buckets[b as usize].used = m.device.rounds;
            }
            let got = m.search(wanted);
            assert_eq!(got.len(), wanted);
            // C: n.
            assert!(m.device.looks < n as usize / 10, "{}", m.device.looks);
            for (b, _) in got {
                m.fill(b, 1024);
            }
        }
        assert!(CLASSES < 512);
    }
}
