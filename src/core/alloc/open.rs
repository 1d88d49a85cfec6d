// SPDX-License-Identifier: GPL-2.0

//! Which of the open buckets new data goes into.
//!
//! C: `pick_data_bucket` in `alloc.c`, which goes through all of them for each write. Here they are found by where their
//! last data ended, and by who wrote it.

use super::chains::Chains;
use crate::{
    key::Pos,
    num::low_u8, //
};

/// Buckets open at a time.
pub const OPEN_BUCKETS: usize = 128;

/// Lists that ends, and writers, are spread over.
const SPREAD: usize = 128;
const SPREAD_BITS: u32 = SPREAD.trailing_zeros();

/// Data that looks for a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// Where it begins.
    pub start: Pos,
    /// Tells writers apart.
    pub write_point: u32,
    /// It is that of a volume without backing device, which shares no bucket with others.
    pub flash: bool,
}

/// What was put into a bucket last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Last {
    end: Pos,
    write_point: u32,
    flash: bool,
}

/// The open buckets, by number below [`OPEN_BUCKETS`].
///
/// # Invariants
///
/// A bucket with a `last` is in the list of its end and in that of its writer, the one used last first. All buckets are
/// in the one list of `by_use`.
pub struct OpenTable {
    last: [Option<Last>; OPEN_BUCKETS],
    by_use: Chains<1, OPEN_BUCKETS>,
    by_end: Chains<SPREAD, OPEN_BUCKETS>,
    by_writer: Chains<SPREAD, OPEN_BUCKETS>,
}

/// The top bits of a product with the golden ratio: a list out of [`SPREAD`].
fn spread(v: u64) -> u8 {
    low_u8(v.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SPREAD_BITS))
}

fn list_of_end(end: &Pos) -> u8 {
    spread(end.sector ^ u64::from(end.inode).rotate_right(16))
}

fn list_of_writer(write_point: u32) -> u8 {
    spread(u64::from(write_point))
}

impl OpenTable {
    /// All buckets are unused; bucket 0 is the first to be taken.
    pub fn new() -> Self {
        let mut by_use = Chains::new();
        for i in 0..OPEN_BUCKETS {
            by_use.push_front(0, low_u8(crate::num::u64_from_usize(i)));
        }
        Self {
            last: [None; OPEN_BUCKETS],
            by_use,
            by_end: Chains::new(),
            by_writer: Chains::new(),
        }
    }

    fn last_in(&self, i: u8) -> Option<&Last> {
        self.last.get(usize::from(i))?.as_ref()
    }

    /// The bucket to use: the one whose last data ends where this begins (of several the one used last), else of those
    /// that this writer used last the oldest, else the one not used longest.
    pub fn pick(&self, want: &Want) -> u8 {
        let ends_here = |i: &u8| {
            self.last_in(*i)
                .is_some_and(|b| b.end == want.start && b.flash == want.flash)
        };
        let of_writer = |i: &u8| {
            self.last_in(*i)
                .is_some_and(|b| b.write_point == want.write_point && b.flash == want.flash)
        };
        let (end, writer) = (list_of_end(&want.start), list_of_writer(want.write_point));
        self.by_end
            .front_to_back(end)
            .find(ends_here)
            .or_else(|| self.by_writer.back_to_front(writer).find(of_writer))
            .or_else(|| self.by_use.back_to_front(0).next())
            .unwrap_or(0)
    }

    /// Data of `want` that ends at `end` goes into bucket `i`.
    pub fn put(&mut self, i: u8, want: &Want, end: Pos) {
        let Some(slot) = self.last.get_mut(usize::from(i)) else {
            return;
        };
        let new = Last {
            end,
            write_point: want.write_point,
            flash: want.flash,
        };
        if let Some(old) = slot.replace(new) {
            self.by_end.remove(list_of_end(&old.end), i);
            self.by_writer.remove(list_of_writer(old.write_point), i);
        }
        self.by_end.push_front(list_of_end(&new.end), i);
        self.by_writer
            .push_front(list_of_writer(new.write_point), i);
        self.by_use.remove(0, i);
        self.by_use.push_front(0, i);
    }
}

impl Default for OpenTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// As C looks for it, over all buckets: number, when it was used, what was put there.
    fn pick_by_search(all: &[(u64, Option<Last>)], want: &Want) -> usize {
        let mut used: Vec<usize> = (0..all.len()).collect();
        used.sort_by_key(|i| std::cmp::Reverse(all[*i].0));
        let mut of_writer = None;
        for i in &used {
            match all[*i].1 {
                Some(b) if b.flash != want.flash => {}
                Some(b) if b.end == want.start => return *i,
                Some(b) if b.write_point == want.write_point => of_writer = Some(*i),
                _ => {}
            }
        }
        of_writer.unwrap_or_else(|| (0..all.len()).min_by_key(|i| all[*i].0).unwrap())
    }

    #[test]
    fn as_by_search() {
        for (places, writers) in [(8, 3), (1000, 1), (1 << 20, 200), (300, 1000)] {
            let mut seed = 11u64;
            let mut random = |n: u64| {
                seed = seed
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (seed >> 33) % n
            };
            let mut table = OpenTable::new();
            let mut all = std::vec![(0, None); OPEN_BUCKETS];
            let mut by_end = 0;
            for clock in 1..20_000 {
                let flash = random(10) == 0;
                let inode = u32::try_from(random(3)).unwrap();
                let want = Want {
                    start: Pos::new(inode, random(places) * 8),
                    write_point: u32::try_from(random(writers)).unwrap(),
                    flash,
                };
                let i = table.pick(&want);
                let at = usize::from(i);
                assert_eq!(at, pick_by_search(&all, &want));
                by_end += u32::from(all[at].1.is_some_and(|b: Last| b.end == want.start));
                let end = Pos::new(inode, want.start.sector + 8 * (1 + random(4)));
                table.put(i, &want, end);
                let last = Last {
                    end,
                    write_point: want.write_point,
                    flash,
                };
                all[at] = (clock, Some(last));
            }
            assert!(by_end > 0 || places == 1 << 20);
        }
    }
}
