// SPDX-License-Identifier: GPL-2.0

//! What is appended to a leaf, against what the C driver makes of it when it reads the node.
//!
//! C merges all sets of a node in a buffer of the node's size and then puts an empty set behind the blocks that were written:
//! over merged keys, if these are longer than the sets were.

use bcache_core::key::{Key, Pos, Ptr, MAX_SIZE};
use bcache_core::keymap::{Change, KeyMap, CHANGE_WORDS};
use model::chunks::VecChunks;
use proptest::prelude::*;

const SECTORS: u64 = 400;
/// No pointer of the tests leads across the end of one.
const BUCKET: u32 = 512;
const END: Pos = Pos::new(1, SECTORS - 50);

/// A leaf with its node on disk.
struct Leaf {
    keys: KeyMap<VecChunks>,
    pending: KeyMap<VecChunks>,
    erased: bool,
    sets: Vec<Vec<Key>>,
}

fn map() -> KeyMap<VecChunks> {
    KeyMap::new(VecChunks::default())
}

/// Pointers of this generation are stale.
const STALE: u64 = 0;

fn is_live(k: &Key) -> bool {
    k.ptr()
        .is_some_and(|p| p.is_available() && u64::from(p.gen()) != STALE)
}

impl Leaf {
    fn new(sets: Vec<Vec<Key>>) -> Self {
        let mut leaf = Self {
            keys: map(),
            pending: map(),
            erased: false,
            sets,
        };
        leaf.read();
        leaf
    }

    /// As the driver reads a node.
    fn read(&mut self) {
        self.keys = map();
        self.erased = false;
        for k in self.sets.iter().flatten() {
            if k.ptr().is_some_and(|p| p.is_available()) {
                self.keys.insert(k, BUCKET, |_| ()).unwrap();
            } else {
                self.erased = true;
                self.keys
                    .erase(k.inode(), k.start(), k.end(), |_| ())
                    .unwrap();
            }
        }
    }

    fn write(&mut self) {
        if !self.pending.is_empty() {
            self.sets.push(self.pending.iter().copied().collect());
        }
        self.pending.clear();
    }

    fn change(&mut self) -> Change<'_, VecChunks> {
        Change {
            keys: &mut self.keys,
            pending: &mut self.pending,
            erased: &mut self.erased,
            end: END,
            bucket_sectors: BUCKET,
        }
    }

    fn step(&mut self, op: &Op) {
        let words = self.pending.words();
        match *op {
            Op::Put(k) => self.change().put(&k, |_| ()).unwrap(),
            Op::Replace(k, e) => {
                let mut rest = k;
                while rest.size() != 0 {
                    let words = self.pending.words();
                    self.change()
                        .replace(&mut rest, &e, |_| (), |_| ())
                        .unwrap();
                    assert!(self.pending.words() <= words + CHANGE_WORDS);
                }
                return;
            }
            Op::Check(k, full) => {
                let there = self.keys.seek(k.start_pos());
                let there: Vec<_> = there
                    .take_while(|old| old.start_pos() < k.pos())
                    .copied()
                    .collect();
                if there.iter().any(is_live) {
                    return;
                }
                let stale = there
                    .iter()
                    .any(|old| old.ptr().is_some_and(|p| p.is_available()));
                if full && stale {
                    // Nothing is put into it any more.
                    return;
                }
                self.change().check(&k, stale, |_| ()).unwrap();
            }
            Op::Write => self.write(),
            Op::Read => {
                self.write();
                self.read();
            }
        }
        assert!(self.pending.words() <= words + CHANGE_WORDS);
    }

    /// The key that says what a sector is, of those written, by set and place in it: the last one.
    fn seen(&self, inode: u32) -> Vec<Option<(usize, usize, Key)>> {
        let end = self.sets.iter().flatten().map(Key::end).max();
        let mut seen = vec![None; 1 + end.unwrap_or(0) as usize];
        for (i, set) in self.sets.iter().enumerate() {
            for (j, k) in set.iter().enumerate().filter(|(_, k)| k.inode() == inode) {
                assert!(k.pos() <= END, "{k}");
                for s in k.start()..k.end() {
                    seen[s as usize] = Some((i, j, *k));
                }
            }
        }
        seen
    }

    /// The keys that C makes of the sets: what is seen of each, joined with what it goes on with (`btree_mergesort`).
    fn merged(&self) -> Vec<Key> {
        let mut merged: Vec<Key> = Vec::new();
        for inode in 0..2 {
            let seen = self.seen(inode);
            let id = |s: usize| seen[s].map(|(i, j, _)| (i, j));
            let mut start = 0;
            for s in 1..seen.len() {
                if id(s) == id(start) {
                    continue;
                }
                if let Some((.., k)) = seen[start] {
                    let piece = k.piece(start as u64, s as u64);
                    let joined = merged
                        .last_mut()
                        .is_some_and(|last| last.try_merge(&piece, BUCKET));
                    if !joined {
                        merged.push(piece);
                    }
                }
                start = s;
            }
        }
        merged
    }

    /// C's keys are no longer than those that were written, and say what the leaf says.
    fn check(&self) {
        let words = |keys: &[Key]| keys.iter().map(Key::words).sum::<usize>();
        let written: usize = self.sets.iter().map(|set| words(set)).sum();
        let merged = self.merged();
        assert!(
            words(&merged) <= written,
            "{} of {written} words: {merged:?}",
            words(&merged)
        );
        for inode in 0..2 {
            for (s, cell) in self.seen(inode).iter().enumerate().take(SECTORS as usize) {
                let stored = cell.map(|(.., k)| k).filter(is_live);
                let p = Pos::new(inode, s as u64);
                let said = self.keys.seek(p).next().filter(|k| k.start_pos() <= p);
                let said = said.filter(|k| is_live(k));
                let at = |k: &Key| (k.ptr().unwrap().advance(s as u64 - k.start()), k.dirty());
                assert_eq!(stored.as_ref().map(at), said.map(at), "sector {s}");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(Key),
    Replace(Key, Key),
    /// Whether the leaf is full.
    Check(Key, bool),
    Write,
    Read,
}

fn place() -> impl Strategy<Value = (u32, u64, u32)> {
    let size = prop_oneof![4 => 1..8u32, 2 => 8..60u32, 1 => 100..300u32];
    (0..2u32, 0..SECTORS - 51, size).prop_map(|(inode, start, size)| {
        let end = if inode == END.inode {
            END.sector
        } else {
            SECTORS
        };
        (inode, start, size.min((end - start) as u32))
    })
}

fn live() -> impl Strategy<Value = Key> {
    (place(), 0..3u64, any::<bool>()).prop_map(|((inode, start, size), gen, dirty)| {
        let ptr = Ptr::new(0, 4096 * (gen + 1) + start, gen as u8);
        Key::extent(inode, start, size, dirty, Some(ptr))
    })
}

fn erase() -> impl Strategy<Value = Key> {
    place().prop_map(|(inode, start, size)| Key::extent(inode, start, size, false, None))
}

fn check() -> impl Strategy<Value = Key> {
    (place(), any::<u64>()).prop_map(|((inode, start, size), random)| {
        Key::extent(inode, start, size, false, Some(Ptr::check(random)))
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => live().prop_map(Op::Put),
        3 => erase().prop_map(Op::Put),
        // What was put at this place is put elsewhere, a part of it at least.
        3 => (live(), 0..60u64, 1..60u64).prop_map(|(e, from, n)| {
            let piece = e.piece(e.start() + from, e.start() + from + n);
            let ptr = Ptr::new(0, 1 << 20 | piece.start(), 7);
            let k = Key::extent(piece.inode(), piece.start(), piece.size(), false, Some(ptr));
            Op::Replace(k, e)
        }),
        2 => (check(), any::<bool>()).prop_map(|(k, full)| Op::Check(k, full)),
        2 => check().prop_flat_map(|k| live().prop_map(move |e| {
            // A fill of what a check key was put for.
            Op::Replace(Key::extent(k.inode(), k.start(), k.size(), false, e.ptr()), k)
        })),
        2 => Just(Op::Write),
        1 => Just(Op::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn merges_into_what_was_written(
        first in prop::collection::vec(prop_oneof![3 => live(), 1 => erase()], 0..20),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        // One set, of keys that do not overlap: a leaf of the C driver.
        let mut set = map();
        for k in &first {
            set.insert(k, BUCKET, |_| ()).unwrap();
        }
        let mut leaf = Leaf::new(vec![set.iter().copied().collect()]);
        for op in &ops {
            leaf.step(op);
            if matches!(op, Op::Write | Op::Read) {
                leaf.check();
            }
        }
        leaf.write();
        leaf.check();
    }
}

/// Large extents, and small ones over the middle of each: what is appended is as long as what C makes of it.
#[test]
fn middles_of_large_keys() {
    let large = |i: u64| Key::extent(0, i * 128, 128, true, Some(Ptr::new(0, 1024 * (i + 1), 1)));
    let small = |i: u64| Key::extent(0, i * 128 + 56, 8, true, Some(Ptr::new(0, i * 8, 2)));
    let mut leaf = Leaf::new(vec![(0..100).map(large).collect()]);
    for i in 0..100 {
        leaf.step(&Op::Put(small(i)));
    }
    leaf.write();
    assert_eq!(leaf.sets[1].len(), 200);
    assert_eq!((leaf.keys.len(), leaf.merged().len()), (300, 300));
}

/// A key within a range that was erased: what remains of it goes up to the next key, and no further than such a range can.
#[test]
fn middle_of_an_erased_range() {
    let hole = Key::extent(0, 1000, 2000, false, None);
    let at = |start| Key::extent(0, start, 8, true, Some(Ptr::new(0, start, 1)));
    let mut leaf = Leaf::new(vec![vec![hole, at(5000)]]);
    leaf.step(&Op::Put(at(2000)));
    let pending: Vec<_> = leaf
        .pending
        .iter()
        .map(|k| (k.start(), k.end(), k.ptrs()))
        .collect();
    assert_eq!(pending, [(2000, 2008, 1), (2008, 5000, 0)]);
    leaf.step(&Op::Put(at(6000)));
    let last = leaf.pending.last().unwrap();
    assert_eq!(
        (last.start(), last.size(), last.ptrs()),
        (6008, MAX_SIZE, 0)
    );
}
