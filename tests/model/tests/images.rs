// SPDX-License-Identifier: GPL-2.0

//! Devices written by the C driver, decoded to the same facts as an independent decoder found.
//! See `tests/fixtures/README`.

use std::fmt::Write;
use std::io::Read;
use std::path::PathBuf;

use bcache_core::geometry::{Geometry, MAX_JSET_BYTES};
use bcache_core::key::{Key, Ptr};
use bcache_core::keymap::KeyMap;
use bcache_core::num::BucketNr;
use bcache_core::ondisk::bset::{parse_node, NodeKind, BSET_HEADER_BYTES};
use bcache_core::ondisk::crc64::crc64_be;
use bcache_core::ondisk::jset::{parse_jset, BadJset, Jset};
use bcache_core::ondisk::prio::parse_prio_set;
use bcache_core::ondisk::superblock::{BdevState, CacheMode, Superblock, SB_BYTES};
use bcache_core::ondisk::uuid;
use model::chunks::VecChunks;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "fixtures", name]
        .iter()
        .collect()
}

fn image(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(fixture(name)).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn page(image: &[u8]) -> &[u8; SB_BYTES] {
    image[4096..8192].try_into().unwrap()
}

/// A key as the Python decoder prints it.
fn show(k: &Key) -> String {
    let start = if u64::from(k.size()) <= k.end() {
        k.start() as i64
    } else {
        -1
    };
    let dirty = if k.dirty() { " dirty" } else { "" };
    let ptrs: Vec<_> = k
        .ptr()
        .iter()
        .map(|p| format!("({}, {}, {})", p.dev(), p.sector(), p.gen()))
        .collect();
    format!(
        "{}:{start} len {}{dirty} -> [{}] b63={}",
        k.inode(),
        k.size(),
        ptrs.join(", "),
        k.high >> 63
    )
}

/// Bytes as Python prints them.
fn bytes_repr(b: &[u8]) -> String {
    let mut s = String::from("b'");
    for &c in b {
        match c {
            b'\n' => s.push_str("\\n"),
            b' '..=b'~' => s.push(char::from(c)),
            _ => write!(s, "\\x{c:02x}").unwrap(),
        }
    }
    s + "'"
}

/// The five most frequent values, the earlier first where there is a tie.
fn most_common<T: PartialEq + std::fmt::Display>(values: impl Iterator<Item = T>) -> String {
    let mut counts: Vec<(T, usize)> = Vec::new();
    for v in values {
        match counts.iter_mut().find(|(have, _)| *have == v) {
            Some((_, n)) => *n += 1,
            None => counts.push((v, 1)),
        }
    }
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let list: Vec<_> = counts
        .iter()
        .take(5)
        .map(|(v, n)| format!("({v}, {n})"))
        .collect();
    format!("[{}]", list.join(", "))
}

/// A journal entry, index of its bucket and its block there.
type Entry<'a> = (Jset<'a>, usize, usize);

fn journal<'a>(image: &'a [u8], sb: &Superblock, geo: &Geometry) -> Vec<Entry<'a>> {
    let bucket_bytes = geo.bucket_sectors() as usize * 512;
    let mut list = Vec::new();
    for (i, b) in sb.d[..usize::from(sb.keys)].iter().enumerate() {
        let bucket = &image[*b as usize * bucket_bytes..][..bucket_bytes];
        let mut at = 0;
        while at < bucket_bytes {
            match parse_jset(crc64_be, &bucket[at..], sb.set_magic(), MAX_JSET_BYTES) {
                Ok(j) => {
                    let bytes = j.bytes_rounded(geo.block_bytes());
                    list.push((j, i, at / geo.block_bytes()));
                    at += bytes;
                }
                Err(BadJset::Magic) => break,
                Err(e) => panic!("{e}"),
            }
        }
    }
    list.sort_by_key(|(j, ..)| j.seq);
    list
}

fn tell_superblock(out: &mut String, sb: &Superblock) {
    let d = &sb.d[..usize::from(sb.keys)];
    writeln!(
        out,
        "SB ver {} csum ok True flags {:x} seq {} nb {} block {} bucket {} first {} njournal {} d ({}, {}, {}) last_mount {}",
        sb.version, sb.flags, sb.seq, sb.nbuckets, sb.block_size, sb.bucket_size, sb.first_bucket,
        sb.keys, d[0], d[1], d[2], sb.last_mount
    )
    .unwrap();
}

fn tell_journal(out: &mut String, entries: &[Entry<'_>]) {
    writeln!(out, "journal entries {} bad []", entries.len()).unwrap();
    for (j, bucket, block) in &entries[entries.len() - 8..] {
        let (seq, last, words, ver) = (j.seq, j.last_seq, j.key_words(), j.version);
        writeln!(
            out,
            "  seq {seq} last_seq {last} jbucket {bucket} blk {block} keys(u64) {words} ver {ver} ok True"
        )
        .unwrap();
    }
    let j = &entries[entries.len() - 1].0;
    writeln!(out, "uuid_bucket {}", show(&j.uuid_bucket)).unwrap();
    writeln!(
        out,
        "btree_root {} level {}",
        show(&j.btree_root),
        j.btree_level
    )
    .unwrap();
    let prios: Vec<_> = j.prio_bucket.iter().map(u64::to_string).collect();
    writeln!(out, "prio_bucket ({})", prios.join(", ")).unwrap();
    for k in j.keys().take(4) {
        writeln!(out, "  jkey {}", show(&k)).unwrap();
    }
}

fn tell_prios(out: &mut String, image: &[u8], sb: &Superblock, geo: &Geometry, first: u64) {
    writeln!(
        out,
        "meta_bucket_bytes {} prios_per_bucket {} prio_buckets {}",
        geo.meta_bucket_bytes(),
        geo.prios_per_bucket(),
        geo.prio_buckets()
    )
    .unwrap();
    let mut bucket = first;
    let mut all = Vec::new();
    for _ in 0..geo.prio_buckets() {
        let start = geo.bucket_start(BucketNr(bucket as u32)) as usize * 512;
        let set = parse_prio_set(
            crc64_be,
            &image[start..][..geo.meta_bucket_bytes()],
            sb.set_magic(),
        )
        .unwrap();
        let (seq, next) = (set.seq, set.next_bucket);
        writeln!(
            out,
            "  prio bucket {bucket} csum ok True magic ok True seq {seq} ver 0 next {next}"
        )
        .unwrap();
        assert_eq!(set.entries.len(), geo.prios_per_bucket() as usize);
        all.extend_from_slice(set.entries);
        bucket = next;
    }
    all.truncate(geo.nbuckets() as usize);
    writeln!(
        out,
        "  prios {} gens {}",
        most_common(all.iter().map(|e| e.prio())),
        most_common(all.iter().map(|e| e.gen()))
    )
    .unwrap();
}

fn tell_uuids(out: &mut String, image: &[u8], geo: &Geometry, at: &Key) {
    let start = at.ptr().unwrap().sector() as usize * 512;
    let table = uuid::entries(&image[start..][..geo.meta_bucket_bytes()]);
    assert_eq!(table.len(), geo.nr_uuids() as usize);
    for (i, e) in table.iter().enumerate().filter(|(_, e)| !e.uuid.is_nil()) {
        let end = e.label.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
        writeln!(
            out,
            "  uuid slot {i} {} {} ({}, {}, {}, {}, {})",
            e.uuid,
            bytes_repr(&e.label[..end]),
            e.first_reg,
            e.last_reg,
            e.invalidated,
            e.flags,
            e.sectors
        )
        .unwrap();
    }
}

/// The sets of a node, read by hand: the crate hands out merged facts only.
fn tell_node(out: &mut String, image: &[u8], geo: &Geometry, node: &Key, level: u16, sets: u32) {
    let start = node.ptr().unwrap().sector() as usize * 512;
    let (mut at, mut list) = (start, Vec::new());
    for _ in 0..sets {
        let word = |o: usize| u32::from_le_bytes(image[at + o..][..4].try_into().unwrap());
        let (version, words) = (word(24), word(28) as usize);
        list.push(format!(
            "({version}, {words}, True, {})",
            (at - start) / geo.block_bytes()
        ));
        let (mut pos, end) = (at + BSET_HEADER_BYTES, at + BSET_HEADER_BYTES + 8 * words);
        for _ in 0..3 {
            if pos < end {
                let q =
                    |i: usize| u64::from_le_bytes(image[pos + 8 * i..][..8].try_into().unwrap());
                let n = (q(0) >> 60 & 7) as usize;
                let k = Key {
                    high: q(0),
                    low: q(1),
                    ptr: if n > 0 { q(2) } else { 0 },
                };
                writeln!(out, "   key {}", show(&k)).unwrap();
                pos += 8 * (2 + n);
            }
        }
        at += (BSET_HEADER_BYTES + 8 * words).next_multiple_of(geo.block_bytes());
    }
    let shown: Vec<_> = list.iter().take(6).map(String::as_str).collect();
    writeln!(
        out,
        "node {} level {level} sets(ver,u64s,csumok,blk) [{}] {}",
        show(node),
        shown.join(", "),
        list.len()
    )
    .unwrap();
}

/// The content of a leaf, sector by sector.
fn tell_overlay(out: &mut String, keys: usize, map: &KeyMap<VecChunks>) {
    let (mut sectors, mut bare, mut check, mut dirty, mut sum) = (0, 0, 0, 0, 0u64);
    for k in map {
        for s in k.start()..k.end() {
            sectors += 1;
            dirty += u32::from(k.dirty());
            match k.ptr() {
                None => bare += 1,
                Some(p) => {
                    check += u32::from(p.is_check());
                    let h = p.advance(s - k.start()).0.wrapping_mul(1_000_003);
                    let h =
                        h.wrapping_add(s * 31 + u64::from(k.inode()) * 7 + u64::from(k.dirty()));
                    sum = sum.wrapping_add(h);
                }
            }
        }
    }
    writeln!(
        out,
        "overlay keys {keys} sectors {sectors} nopointer {bare} check {check} dirty {dirty} sum {sum:016x}"
    )
    .unwrap();
}

fn tell(image: &[u8]) -> String {
    let out = &mut String::new();
    let sb = Superblock::parse(crc64_be, page(image), 512, image.len() as u64 / 512).unwrap();
    assert!(!sb.is_bdev() && sb.sync());
    let geo = sb.geometry().unwrap();
    tell_superblock(out, &sb);
    let entries = journal(image, &sb, &geo);
    tell_journal(out, &entries);
    let newest = &entries[entries.len() - 1].0;
    tell_prios(out, image, &sb, &geo, newest.prio_bucket[0]);
    tell_uuids(out, image, &geo, &newest.uuid_bucket);

    let root = newest.btree_root;
    assert!(root.node_ok(&geo) && newest.uuid_bucket.node_ok(&geo));
    let ptr: Ptr = root.ptr().unwrap();
    let node = &image[ptr.sector() as usize * 512..][..root.size() as usize * 512];
    let mut map = KeyMap::new(VecChunks::default());
    let mut keys = 0;
    let kind = match newest.btree_level {
        0 => NodeKind::Leaf,
        _ => NodeKind::Interior,
    };
    let info = parse_node(crc64_be, node, &geo, ptr, sb.set_magic(), kind, |k| {
        keys += 1;
        map.insert(k, geo.bucket_sectors(), |_| ()).unwrap();
    })
    .unwrap();
    assert_eq!(info.invalid, 0);
    assert!(map.last().unwrap().pos() <= root.pos());
    tell_node(out, image, &geo, &root, newest.btree_level, info.sets);
    tell_overlay(out, keys, &map);
    std::mem::take(out)
}

fn compare(name: &str) {
    let image = image(&format!("{name}.img.gz"));
    let want = std::fs::read_to_string(fixture(&format!("{name}.txt"))).unwrap();
    let have = tell(&image);
    for (want, have) in want.lines().zip(have.lines()) {
        assert_eq!(want, have);
    }
    assert_eq!(want, have);
    // Rewriting what was read changes nothing.
    let mut copy = *page(&image);
    Superblock::parse(crc64_be, page(&image), 512, u64::MAX)
        .unwrap()
        .encode_into(crc64_be, &mut copy);
    assert_eq!(&copy, page(&image));
}

#[test]
fn running_cache() {
    compare("cache_running_128M");
}

#[test]
fn stopped_cache() {
    compare("cache_stopped_128M");
}

#[test]
fn backing_device() {
    let bytes = std::fs::read(fixture("bdev_first8k.bin")).unwrap();
    let sb = Superblock::parse(crc64_be, page(&bytes), 512, 0).unwrap();
    assert!(sb.is_bdev());
    assert_eq!(
        (sb.version, sb.data_offset, sb.block_size, sb.seq),
        (1, 16, 1, 0)
    );
    assert_eq!(
        (sb.state(), sb.cache_mode()),
        (BdevState::Dirty, CacheMode::Writeback)
    );
    assert_eq!(sb.uuid.to_string(), "425360d4-96de-42ff-b2d0-ee87c1d71403");
    assert_eq!(
        sb.set_uuid.to_string(),
        "11111111-2222-3333-4444-555555555555"
    );
    assert_eq!(sb.label, uuid::label_from(b"mylabel"));
    let mut copy = *page(&bytes);
    sb.encode_into(crc64_be, &mut copy);
    assert_eq!(&copy, page(&bytes));
}
