// SPDX-License-Identifier: GPL-2.0

//! `KeyMap` against a model that knows every sector.

use bcache_core::key::{Key, Pos, Ptr};
use bcache_core::keymap::{KeyMap, NoMem, Replaced};
use model::chunks::VecChunks;
use proptest::prelude::*;

const INODES: usize = 2;
const SECTORS: usize = 512;
const BUCKET: u32 = 64;

type Map = KeyMap<VecChunks>;

/// What a sector is mapped to.
type Cell = Option<(Option<u64>, bool)>;
type Model = Vec<Vec<Cell>>;

fn cell(k: &Key, sector: u64) -> Cell {
    let ptr = k.ptr().map(|p| p.advance(sector - k.start()).0);
    Some((ptr, k.dirty()))
}

fn paint(m: &mut Model, k: &Key) {
    for s in k.start()..k.end() {
        m[k.inode() as usize][s as usize] = cell(k, s);
    }
}

fn empty() -> Model {
    vec![vec![None; SECTORS]; INODES]
}

/// Checks every promise of the map and gives its content sector by sector.
fn content(map: &Map) -> Model {
    let mut m = empty();
    let mut last = Pos::MIN;
    let (mut len, mut words) = (0, 0);
    for k in map {
        assert!(k.size() > 0);
        assert_eq!(k.high >> 63, 1);
        assert!(k.start_pos() >= last, "{k} at {last:?}");
        last = k.pos();
        len += 1;
        words += k.words();
        paint(&mut m, k);
    }
    assert_eq!((len, words), (map.len(), map.words()));
    assert!(map.chunks().list.iter().all(|c| !c.is_empty()));
    let lens: Vec<_> = map.chunks().list.iter().map(|c| c.len()).collect();
    assert_eq!(lens.iter().sum::<usize>(), len);
    m
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Key),
    /// The key of this number, if there are as many, once more.
    Again(usize),
    Erase(u32, u64, u64),
    Replace(Key, Key),
    /// Fails for memory from now on, or not.
    Dry(bool),
}

/// Edges of buckets and of earlier keys are hit often.
fn sector() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (0..SECTORS as u64 / 8).prop_map(|s| s * 8),
        1 => (0..SECTORS as u64 / 64).prop_map(|s| s * 64),
        3 => 0..SECTORS as u64,
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let size = prop_oneof![4 => 1..4u32, 3 => Just(8u32), 1 => 1..64u32, 1 => 100..300u32];
    // Place 0..3: the cache sectors go along with those of the device, so that neighbours can be
    // joined.
    (
        0..INODES as u32,
        sector(),
        size,
        any::<bool>(),
        0..6u64,
        0..2u8,
    )
        .prop_map(|(inode, start, size, dirty, place, gen)| {
            let size = size.min(SECTORS as u32 - start as u32);
            let ptr = match place {
                0..=2 => Some(Ptr::new(0, 4096 * (place + 1) + start, gen)),
                3 => Some(Ptr::check(start.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
                4 => Some(Ptr::new(0, 1 << 20, gen)),
                _ => None,
            };
            Key::extent(inode, start, size, dirty && ptr.is_some(), ptr)
        })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => key().prop_map(Op::Insert),
        2 => (0..64usize).prop_map(Op::Again),
        2 => (0..INODES as u32, sector(), 0..80u64)
            .prop_map(|(i, s, n)| Op::Erase(i, s, (s + n).min(SECTORS as u64))),
        3 => (key(), key()).prop_map(|(k, e)| Op::Replace(k, e)),
        4 => (key(), sector(), 1..40u64, any::<bool>()).prop_map(|(e, s, n, dirty)| {
            // A part of what may be there, put elsewhere.
            let mut k = e.piece(s, s + n);
            k = Key::extent(k.inode(), k.start(), k.size(), dirty, Some(Ptr::new(0, 8192 + s, 9)));
            Op::Replace(k, e)
        }),
        1 => any::<bool>().prop_map(Op::Dry),
    ]
}

/// Old cells of the sectors that change, as a model of its own.
fn overwritten(before: &Model, inode: u32, range: std::ops::Range<u64>) -> Model {
    let mut m = empty();
    for s in range {
        m[inode as usize][s as usize] = before[inode as usize][s as usize];
    }
    m
}

fn step(map: &mut Map, model: &mut Model, op: &Op) -> Result<(), NoMem> {
    let before = model.clone();
    let mut gone = empty();
    let mut order = Pos::MIN;
    let mut see = |k: &Key| {
        assert!(k.size() > 0 && k.start_pos() >= order);
        order = k.pos();
        paint(&mut gone, k);
    };
    match *op {
        Op::Again(n) => {
            let Some(k) = map.iter().nth(n).copied() else {
                return Ok(());
            };
            return step(map, model, &Op::Insert(k));
        }
        Op::Insert(k) => {
            let there = map.iter().any(|old| *old == k);
            assert_eq!(map.has(&k), there);
            map.insert(&k, BUCKET, &mut see)?;
            paint(model, &k);
            assert_eq!(gone, overwritten(&before, k.inode(), k.start()..k.end()));
        }
        Op::Erase(inode, start, end) => {
            map.erase(inode, start, end, &mut see)?;
            for s in start..end {
                model[inode as usize][s as usize] = None;
            }
            assert_eq!(gone, overwritten(&before, inode, start..end));
        }
        Op::Replace(k, expected) => {
            let mut put = empty();
            let n = map.replace(&k, &expected, BUCKET, |p| paint(&mut put, p), &mut see)?;
            let n = n.sectors;
            let (mut count, mut want_put, mut want_gone) = (0, empty(), empty());
            for s in k.start().max(expected.start())..k.end().min(expected.end()) {
                let i = k.inode() as usize;
                let have = before[i][s as usize];
                let same = k.inode() == expected.inode()
                    && expected.ptrs() != 0
                    && k.size() != 0
                    && have == cell(&expected, s);
                if same {
                    count += 1;
                    want_put[i][s as usize] = cell(&k, s);
                    want_gone[i][s as usize] = have;
                    model[i][s as usize] = cell(&k, s);
                }
            }
            assert_eq!(n, count);
            assert_eq!(put, want_put);
            assert_eq!(gone, want_gone);
        }
        Op::Dry(_) => {}
    }
    Ok(())
}

fn check_seek(map: &Map) {
    let all: Vec<Key> = map.iter().copied().collect();
    for inode in 0..=INODES as u32 {
        for s in (0..=SECTORS as u64).step_by(7) {
            let p = Pos::new(inode, s);
            let want: Vec<_> = all.iter().filter(|k| k.pos() > p).take(3).collect();
            let have: Vec<_> = map.seek(p).take(3).collect();
            assert_eq!(want, have);
        }
    }
    assert_eq!(map.first(), all.first());
    assert_eq!(map.last(), all.last());
}

fn run(ops: &[Op]) {
    let mut map = Map::new(VecChunks::default());
    let mut model = empty();
    let mut dry = false;
    for op in ops {
        if let Op::Dry(d) = op {
            dry = *d;
        }
        if dry {
            // A twin that runs dry at once: either it succeeds like the other, or nothing happens
            // to it.
            let mut twin = Map::new(VecChunks::default());
            for k in &map {
                twin.insert(k, 0, |_| ()).unwrap();
            }
            let mut twin_model = model.clone();
            let mut chunks = 0;
            loop {
                let keys = content(&twin);
                set_budget(&mut twin, chunks);
                match step(&mut twin, &mut twin_model, op) {
                    Ok(()) => break,
                    Err(NoMem) => assert_eq!(content(&twin), keys),
                }
                chunks += 1;
                assert!(chunks <= 2);
            }
            assert_eq!(content(&twin), twin_model);
        }
        map.reserve(if matches!(op, Op::Replace(..)) { 2 } else { 1 })
            .unwrap();
        set_budget(&mut map, 0);
        step(&mut map, &mut model, op).unwrap();
        lift_budget(&mut map);
        assert_eq!(content(&map), model);
    }
    check_seek(&map);
}

fn set_budget(map: &mut Map, n: usize) {
    map.chunks_mut().budget = Some(n);
}

fn lift_budget(map: &mut Map) {
    map.chunks_mut().budget = None;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_model(ops in prop::collection::vec(op(), 1..120)) {
        run(&ops);
    }

    /// Many small keys first, so that there are several chunks.
    #[test]
    fn behaves_with_many_chunks(
        step in 1..4u64,
        from_end in any::<bool>(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut all: Vec<Op> = (0..SECTORS as u64 / step)
            .map(|i| Op::Insert(Key::extent(0, i * step, 1, i % 3 == 0, Some(Ptr::new(0, i * 999, 1)))))
            .collect();
        if from_end {
            all.reverse();
        }
        all.extend(ops);
        run(&all);
    }
}

#[test]
fn sequential_keys_join() {
    let mut map = Map::new(VecChunks::default());
    for i in 0..8 {
        let k = Key::extent(1, 16 + i * 8, 8, true, Some(Ptr::new(0, 128 + i * 8, 3)));
        map.insert(&k, BUCKET, |_| panic!("nothing was there"))
            .unwrap();
    }
    // 128 is the start of a bucket, 192 that of the next.
    assert_eq!(map.len(), 1);
    assert_eq!(map.first().unwrap().size(), 64);
    let k = Key::extent(1, 80, 8, true, Some(Ptr::new(0, 192, 3)));
    map.insert(&k, BUCKET, |_| ()).unwrap();
    assert_eq!(map.len(), 2);
}

#[test]
fn appending_fills_chunks() {
    let mut map = Map::new(VecChunks::default());
    for i in 0..4200u64 {
        map.insert(
            &Key::extent(0, i * 8, 4, false, Some(Ptr::new(0, i * 8, 0))),
            1024,
            |_| (),
        )
        .unwrap();
    }
    assert_eq!(map.chunks().list.len(), 100);
    map.erase(0, 0, 4200 * 8 - 8, |_| ()).unwrap();
    assert_eq!((map.len(), map.chunks().list.len()), (1, 1));
    map.clear();
    assert!(map.is_empty() && map.words() == 0 && map.first().is_none());
}

#[test]
fn appending_without_memory() {
    let mut map = touching(42);
    let before: Vec<Key> = map.iter().copied().collect();
    set_budget(&mut map, 0);
    let next = |sector| Key::extent(0, 168, 4, false, Some(Ptr::new(0, sector, 0)));
    // A bucket of its own would need a chunk; what goes on in the bucket of the last key does not.
    let nothing = |_: &Key| panic!("nothing was there");
    assert_eq!(map.insert(&next(168), 4, nothing), Err(NoMem));
    assert!(map.iter().copied().eq(before));
    assert_eq!(map.insert(&next(168), 1024, nothing), Ok(None));
    assert_eq!((map.len(), map.chunks().list.len()), (42, 1));
    assert_eq!(map.last().unwrap().size(), 8);
    content(&map);
}

/// Keys of 4 sectors that follow each other everywhere but are not joined: each is a bucket of its
/// own.
fn touching(n: u64) -> Map {
    let mut map = Map::new(VecChunks::default());
    for i in 0..n {
        let k = Key::extent(0, i * 4, 4, false, Some(Ptr::new(0, i * 4, 0)));
        map.insert(&k, 4, |_| ()).unwrap();
    }
    assert_eq!(map.len() as u64, n);
    map
}

#[test]
fn replace_happens_whole_or_not_at_all() {
    // Both ends of the range lie inside of keys in full chunks.
    let expected = Key::extent(0, 0, 504, false, Some(Ptr::new(0, 0, 0)));
    let k = Key::extent(0, 2, 500, true, Some(Ptr::new(0, 1 << 20, 0)));
    for (budget, whole) in [(0, false), (1, false), (2, true)] {
        let mut map = touching(126);
        let before: Vec<Key> = map.iter().copied().collect();
        set_budget(&mut map, budget);
        let mut calls = 0;
        let done = map.replace(&k, &expected, 4, |_| calls += 1, |_| ());
        if whole {
            let rest = None;
            assert_eq!((done, calls), (Ok(Replaced { sectors: 500, rest }), 126));
            content(&map);
        } else {
            assert_eq!((done, calls), (Err(NoMem), 0));
            assert!(map.iter().copied().eq(before));
        }
    }
}

#[test]
fn small_chunks_are_joined() {
    let mut map = touching(4200);
    assert_eq!(map.chunks().list.len(), 100);
    for i in (0..4200u64).filter(|i| i % 20 != 0) {
        map.erase(0, i * 4, i * 4 + 4, |_| ()).unwrap();
    }
    assert_eq!(map.len(), 210);
    let chunks = map.chunks().list.len();
    assert!(chunks <= 15, "{chunks}");
}

#[test]
fn overwriting_joins_on_both_sides() {
    let key = |start, size, dirty| Key::extent(0, start, size, dirty, Some(Ptr::new(0, start, 0)));
    let mut map = Map::new(VecChunks::default());
    for k in [key(0, 8, true), key(8, 8, false), key(16, 8, true)] {
        map.insert(&k, BUCKET, |_| ()).unwrap();
    }
    assert_eq!(map.len(), 3);
    map.insert(&key(8, 8, true), BUCKET, |_| ()).unwrap();
    assert_eq!(map.iter().copied().collect::<Vec<_>>(), [key(0, 24, true)]);
}

#[test]
fn joining_removes_the_chunk_it_empties() {
    // A chunk of 42 keys and one of a single key that is joined to the last of them.
    let mut map = touching(42);
    let next = |start, size| Key::extent(0, start, size, false, Some(Ptr::new(0, start, 0)));
    map.insert(&next(170, 2), 4, |_| ()).unwrap();
    assert_eq!(map.chunks().list.len(), 2);
    map.insert(&next(168, 2), 1024, |_| ()).unwrap();
    assert_eq!((map.len(), map.chunks().list.len()), (42, 1));
    assert_eq!(map.last(), Some(&next(164, 8)));
    content(&map);
}
