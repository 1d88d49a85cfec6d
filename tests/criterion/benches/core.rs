// SPDX-License-Identifier: GPL-2.0

//! Times of what a request meets in `src/core`: look-up, insert, a node that is read, a journal entry that is parsed, the
//! checksum, a step of the controller. To compare two states of the tree on one quiet machine; instructions per
//! request are what docs/bench.md has.

use bcache_core::geometry::Geometry;
use bcache_core::key::{Key, Pos, Ptr};
use bcache_core::keymap::{Chunk, Chunks, KeyMap, NoMem};
use bcache_core::ondisk::bkey::to_words;
use bcache_core::ondisk::bset::{encode_bset, parse_node, NodeKind};
use bcache_core::ondisk::crc64::crc64_be;
use bcache_core::ondisk::jset::{encode_jset, parse_jset, JsetFields};
use bcache_core::writeback::control::{Control, Input, Law};
use criterion::{black_box, criterion_group, criterion_main, BatchSize, Criterion, Throughput};

const MAGIC: u64 = 0x1234_5678_9abc_def0;
const BUCKET: u32 = 1024;
const KEYS: u64 = 8192;

#[derive(Default)]
struct VecChunks(Vec<Box<Chunk>>);

impl Chunks for VecChunks {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, i: usize) -> Option<&Chunk> {
        self.0.get(i).map(|c| &**c)
    }
    fn get_mut(&mut self, i: usize) -> Option<&mut Chunk> {
        self.0.get_mut(i).map(|c| &mut **c)
    }
    fn neighbours(&mut self, i: usize) -> Option<(&mut Chunk, &mut Chunk)> {
        let (head, tail) = self.0.split_at_mut_checked(i + 1)?;
        Some((head.last_mut()?, tail.first_mut()?))
    }
    fn partition(&self, before: impl Fn(&Chunk) -> bool) -> usize {
        self.0.partition_point(|c| before(c))
    }
    fn insert(&mut self, i: usize) -> Result<&mut Chunk, NoMem> {
        self.0.insert(i, Box::default());
        Ok(&mut self.0[i])
    }
    fn remove(&mut self, i: usize) {
        self.0.remove(i);
    }
    fn reserve(&mut self, _: usize) -> Result<(), NoMem> {
        Ok(())
    }
}

/// Numbers without an order, the same each time.
fn scrambled(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33
}

/// An extent of 4 KiB at a place out of twice as many as there are keys.
fn key(i: u64) -> Key {
    let place = scrambled(i) % (2 * KEYS);
    Key::extent(
        0,
        place * 16,
        8,
        true,
        Some(Ptr::new(0, 32768 + i % KEYS * 8, 1)),
    )
}

fn filled() -> KeyMap<VecChunks> {
    let mut map = KeyMap::new(VecChunks::default());
    for i in 0..KEYS {
        map.insert(&key(i), BUCKET, |_| {}).unwrap();
    }
    map
}

fn look_up(c: &mut Criterion) {
    let map = filled();
    let mut i = 0;
    c.bench_function("leaf: look-up", |b| {
        b.iter(|| {
            i += 1;
            let at = Pos::new(0, scrambled(i) % (2 * KEYS) * 16);
            black_box(map.seek(at).next().map(Key::start))
        });
    });
}

fn insert(c: &mut Criterion) {
    let mut map = filled();
    let mut i = 0;
    c.bench_function("leaf: insert over 8192 keys", |b| {
        b.iter(|| {
            i += 1;
            map.insert(&key(i), BUCKET, |old| {
                black_box(old);
            })
        });
    });
}

/// A node whose log holds four sorted sets: what C merges by a sort, and this driver by inserts in order.
fn merge(c: &mut Criterion) {
    let geo = Geometry::new(8192, BUCKET, 8, 16).unwrap();
    let ptr = Ptr::new(0, 65536, 0);
    let mut node = vec![0; 512 << 10];
    let mut used = 0;
    for set in 0..4 {
        let mut keys: Vec<Key> = (0..KEYS / 4).map(|i| key(set * (KEYS / 4) + i)).collect();
        keys.sort_by_key(Key::pos);
        used += encode_bset(crc64_be, &mut node[used..], 7, ptr, MAGIC, keys, 4096).unwrap();
    }
    let mut group = c.benchmark_group("node");
    group.throughput(Throughput::Elements(KEYS));
    group.bench_function("read, four sets merged", |b| {
        b.iter_batched(
            || KeyMap::new(VecChunks::default()),
            |mut map| {
                let info = parse_node(crc64_be, &node, &geo, ptr, MAGIC, NodeKind::Leaf, |k| {
                    map.insert(k, BUCKET, |_| {}).unwrap();
                });
                assert_eq!(info.unwrap().invalid, 0);
                map
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn journal(c: &mut Criterion) {
    let words: Vec<u64> = (0..500).flat_map(|i| to_words(&key(i))).collect();
    let fields = JsetFields {
        set_magic: MAGIC,
        seq: 9,
        last_seq: 3,
        uuid_bucket: key(1),
        btree_root: key(2),
        btree_level: 1,
        prio_bucket: [0; 8],
    };
    let mut entry = vec![0; 64 << 10];
    let bytes = encode_jset(crc64_be, &mut entry, &fields, &words).unwrap();
    let mut group = c.benchmark_group("journal entry");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("parse, 500 keys", |b| {
        b.iter(|| {
            parse_jset(crc64_be, &entry, MAGIC, entry.len())
                .unwrap()
                .keys()
                .count()
        });
    });
    group.finish();
}

fn checksum(c: &mut Criterion) {
    let data = vec![0xa5; 4096];
    let mut group = c.benchmark_group("crc64");
    group.throughput(Throughput::Bytes(4096));
    group.bench_function("4 KiB", |b| b.iter(|| crc64_be(!0, black_box(&data))));
    group.finish();
}

fn controller(c: &mut Criterion) {
    for law in [Law::Pi, Law::Adaptive, Law::Latency] {
        let mut control = Control::default();
        let mut input = Input {
            law,
            maximum: u32::MAX,
            ..Input::default()
        };
        input.pi.nbuckets = 8192;
        input.pi.bucket_sectors = BUCKET;
        input.pi.bdev_sectors = 1 << 21;
        input.pi.cached_dev_sectors = 1 << 21;
        input.pi.percent = 10;
        input.pi.update_seconds = 5;
        input.pi.p_inverse = 40;
        input.pi.i_inverse = 10_000;
        c.bench_function(&format!("controller: a step of {law:?}"), |b| {
            b.iter(|| {
                input.pi.now_ns += 5_000_000_000;
                input.pi.dirty = (input.pi.dirty + 12_345) % (1 << 20);
                control.step(&input).out.rate
            });
        });
    }
}

criterion_group!(core, look_up, insert, merge, journal, checksum, controller);
criterion_main!(core);
