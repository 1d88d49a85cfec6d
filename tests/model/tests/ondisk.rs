// SPDX-License-Identifier: GPL-2.0

//! Formats: known checksums, what is written is read again, and foreign bytes do no harm.

use bcache_core::geometry::{BadGeometry, Geometry};
use bcache_core::key::{Key, Pos, Ptr};
use bcache_core::num::BucketNr;
use bcache_core::ondisk::bkey::{self, Keys, PaddedKey};
use bcache_core::ondisk::bset::{
    encode_bset, parse_node, set_bytes, BadNode, NodeKind, BSET_HEADER_BYTES,
};
use bcache_core::ondisk::checksum::{bch_crc64, btree_crc64};
use bcache_core::ondisk::crc64::crc64_be;
use bcache_core::ondisk::jset::{encode_jset, parse_jset, BadJset, JsetFields, JSET_HEADER_BYTES};
use bcache_core::ondisk::prio::{encode_prio_set, parse_prio_set, BadPrioSet, PrioEntry};
use bcache_core::ondisk::superblock::{
    BadSuperblock, BdevState, CacheMode, Replacement, Superblock, SB_BYTES,
};
use bcache_core::ondisk::uuid::{self, Uuid, UuidEntry};
use bcache_core::ondisk::NoSpace;
use proptest::prelude::*;

const MAGIC: u64 = 0x1716_1514_1312_1110;

fn geo() -> Geometry {
    Geometry::new(1024, 128, 1, 1).unwrap()
}

// ---- checksums

#[test]
fn crc_vectors() {
    let all: Vec<u8> = (0..=255).collect();
    for (data, want) in [
        (b"123456789".as_slice(), 0x62ec_59e3_f1a4_f00a),
        (b"", 0),
        (&[0; 16], 0xc6c4_56df_e8fc_8597),
        (&[0; 4088], 0x7e57_06a7_380d_6e37),
        (&all, 0x59c3_325b_2927_a19a),
    ] {
        assert_eq!(bch_crc64(crc64_be, data), want);
    }
    assert_eq!(crc64_be(0, b"123456789"), 0x6c40_df5f_0b49_7347);
    assert_eq!(crc64_be(!0, b"123456789"), 0x9d13_a61c_0e5b_0ff5);
    assert_eq!(
        btree_crc64(crc64_be, 0x12_3407, b"123456789"),
        0x9755_fae7_ca13_8af5
    );
    // Entries of the first table.
    assert_eq!(crc64_be(0, &[1]), 0x42f0_e1eb_a9ea_3693);
    assert_eq!(crc64_be(0, &[255]), 0x9afc_e626_ce85_b507);
}

#[test]
fn empty_set_vectors() {
    let mut head = Vec::new();
    head.extend(0x9013_5c78_b99e_07f5u64.to_le_bytes());
    head.extend(0x0123_4567_89ab_cdefu64.to_le_bytes());
    head.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        btree_crc64(crc64_be, 0x12_3407, &head),
        0x5481_a021_a8cd_2662
    );
    head[16] = 0;
    assert_eq!(bch_crc64(crc64_be, &head), 0x4fa9_d38e_26c4_ad10);

    let mut out = [0xff; 1024];
    let n = encode_bset(
        crc64_be,
        &mut out,
        0x0123_4567_89ab_cdef,
        Ptr(0x12_3407),
        0,
        [],
        512,
    );
    assert_eq!(n, Ok(512));
    assert_eq!(out[..8], 0x5481_a021_a8cd_2662u64.to_le_bytes());
    assert!(out[32..512].iter().all(|b| *b == 0) && out[512] == 0xff);
}

// ---- superblock

/// The superblocks of the known checksums: uuid 00..0f, set uuid 10..1f.
fn superblock(version: u8, union: [u64; 5], flags: u8, seq: u8, keys: u8) -> [u8; SB_BYTES] {
    let mut p = [0; SB_BYTES];
    p[8] = 8;
    p[16] = version;
    p[24..40].copy_from_slice(&[
        0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d,
        0x81,
    ]);
    for i in 0..32 {
        p[40 + i] = i as u8;
    }
    p[104] = flags;
    p[112] = seq;
    p[184..192].copy_from_slice(&union[0].to_le_bytes());
    for (i, v) in union[1..].iter().enumerate() {
        p[192 + 2 * i..194 + 2 * i].copy_from_slice(&(*v as u16).to_le_bytes());
    }
    p[206] = keys;
    if keys != 0 || union[2] != 0 {
        p[204] = 1;
    }
    for i in 0..keys {
        p[208 + 8 * usize::from(i)] = i + 1;
    }
    p
}

fn seal(p: &mut [u8; SB_BYTES]) -> u64 {
    let keys = usize::from(u16::from_le_bytes([p[206], p[207]]));
    let csum = bch_crc64(crc64_be, &p[8..208 + 8 * keys]);
    p[..8].copy_from_slice(&csum.to_le_bytes());
    csum
}

fn cache() -> [u8; SB_BYTES] {
    superblock(3, [1024, 1, 1024, 1, 0], 1, 1, 8)
}

fn parse(p: &[u8; SB_BYTES]) -> Result<Superblock, BadSuperblock> {
    Superblock::parse(crc64_be, p, 512, 1024 * 1024)
}

#[test]
fn superblock_vectors() {
    let mut bdev = superblock(1, [0, 8, 0, 0, 0], 0, 0, 0);
    assert_eq!(seal(&mut bdev), 0x068a_e9cc_6243_b508);
    assert_eq!(parse(&bdev).unwrap().data_offset, 16);
    let mut fresh = superblock(0, [1024, 1, 1024, 1, 0], 0, 0, 0);
    assert_eq!(seal(&mut fresh), 0xded3_83d1_f07b_e1ad);
    assert!(!parse(&fresh).unwrap().sync());
    let mut used = cache();
    assert_eq!(seal(&mut used), 0x3731_5983_b905_3392);
    let sb = parse(&used).unwrap();
    assert!(sb.sync());
    assert_eq!(sb.set_magic(), MAGIC);
    assert_eq!(sb.keys, 8);
    assert_eq!(sb.d[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sb.geometry().unwrap().bucket_sectors(), 1024);
}

#[test]
fn superblock_refusals() {
    use BadSuperblock as Bad;
    let set = |at: usize, bytes: &[u8]| {
        let mut p = cache();
        p[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut p);
        parse(&p).map(|_| ())
    };
    assert_eq!(set(8, &[9]), Err(Bad::Offset));
    assert_eq!(set(24, &[0]), Err(Bad::Magic));
    assert_eq!(set(40, &[0; 16]), Err(Bad::Uuid));
    assert_eq!(set(16, &[2]), Err(Bad::Version));
    assert_eq!(set(16, &[7]), Err(Bad::Version));
    assert_eq!(set(192, &[0, 0]), Err(Bad::BlockBelowDevice));
    assert_eq!(set(192, &[3]), Err(Bad::BlockSize));
    assert_eq!(set(192, &[16]), Err(Bad::BlockAbovePage));
    assert_eq!(set(194, &[1, 4]), Err(Bad::BucketSize));
    assert_eq!(set(194, &[4, 0]), Err(Bad::BucketBelowPage));
    assert_eq!(set(184, &[127, 0]), Err(Bad::NotEnoughBuckets));
    assert_eq!(set(184, &[0xff; 8]), Err(Bad::TooManyBuckets));
    // 64 buckets behind the journal, which has 8, and two for the priorities, of one bucket each.
    let behind = |buckets: u64| {
        let mut p = cache();
        let first = 1024 - buckets;
        p[204..206].copy_from_slice(&(first as u16).to_le_bytes());
        for (n, d) in p[208..208 + 64].chunks_exact_mut(8).enumerate() {
            d.copy_from_slice(&(first + n as u64).to_le_bytes());
        }
        seal(&mut p);
        let sync = parse(&p).map(|_| ());
        // The journal that it will get has 8, too.
        p[206..208].fill(0);
        p[104] &= !1;
        seal(&mut p);
        (sync, parse(&p).map(|_| ()))
    };
    assert_eq!(behind(74), (Ok(()), Ok(())));
    let refused = Err(Bad::NotEnoughBuckets);
    assert_eq!(behind(73), (refused, refused));
    // Small buckets: 256 for the journal, 49 for the priorities.
    let small = |first: u16| {
        let mut p = superblock(0, [65_536, 1, 8, 1, 0], 0, 0, 0);
        p[204..206].copy_from_slice(&first.to_le_bytes());
        seal(&mut p);
        parse(&p).map(|_| ())
    };
    assert_eq!((small(65_118), small(65_119)), (Ok(()), refused));
    assert_eq!(set(184, &[1, 4]), Err(Bad::DeviceTooSmall));
    assert_eq!(set(56, &[0; 16]), Err(Bad::Uuid));
    assert_eq!(set(196, &[0, 0]), Err(Bad::DeviceNumber));
    assert_eq!(set(196, &[9, 0]), Err(Bad::DeviceNumber));
    assert_eq!(set(198, &[1, 0]), Err(Bad::DeviceNumber));
    assert_eq!(set(216, &[3]), Err(Bad::JournalNotSequential));
    assert_eq!(set(16, &[4]), Ok(()));
    assert_eq!(set(16, &[6]), Ok(()));
    assert_eq!(set(16, &[5]), Ok(()));
    let mut p = cache();
    seal(&mut p);
    p[112] = 2;
    assert_eq!(parse(&p).map(|_| ()), Err(Bad::Checksum));
    // 257 journal buckets, and more than a page can list.
    let mut p = cache();
    p[206..208].copy_from_slice(&257u16.to_le_bytes());
    seal(&mut p);
    assert_eq!(parse(&p).map(|_| ()), Err(Bad::TooManyJournalBuckets));
    p[206..208].copy_from_slice(&u16::MAX.to_le_bytes());
    assert_eq!(parse(&p).map(|_| ()), Err(Bad::Checksum));
    // Data within the superblock.
    let mut p = superblock(4, [15, 8, 0, 0, 0], 0, 0, 0);
    seal(&mut p);
    assert_eq!(parse(&p).map(|_| ()), Err(Bad::DataOffset));
}

#[test]
fn superblock_features() {
    let with = |compat: u8, incompat: u8, ro: u8, bucket: u16, hi: u16| {
        let mut p = cache();
        p[16] = 5;
        (p[120], p[128], p[136]) = (compat, incompat, ro);
        p[194..196].copy_from_slice(&bucket.to_le_bytes());
        p[2256..2258].copy_from_slice(&hi.to_le_bytes());
        seal(&mut p);
        Superblock::parse(crc64_be, &p, 512, u64::MAX)
    };
    assert_eq!(with(1, 0, 0, 1024, 0).unwrap_err(), BadSuperblock::Compat);
    assert_eq!(with(0, 4, 0, 1024, 0).unwrap_err(), BadSuperblock::Incompat);
    assert_eq!(with(0, 0, 1, 1024, 0).unwrap_err(), BadSuperblock::RoCompat);
    assert_eq!(with(0, 2, 0, 17, 0).unwrap().bucket_size, 1 << 17);
    assert!(with(0, 2, 0, 17, 0).unwrap().has_large_bucket());
    assert_eq!(with(0, 2, 0, 32, 0).unwrap_err(), BadSuperblock::BucketSize);
    assert_eq!(with(0, 1, 0, 0, 1).unwrap().bucket_size, 1 << 16);
    assert!(with(0, 1, 0, 0, 1).unwrap().has_obso_large_bucket());
    assert_eq!(with(0, 0, 0, 1024, 7).unwrap().bucket_size, 1024);
}

#[test]
fn superblock_keeps_what_it_does_not_know() {
    let mut p = cache();
    p[144..184].fill(0xaa);
    p[2000] = 0xbb; // A journal bucket that does not count.
    p[2256..].fill(0xcc);
    seal(&mut p);
    let mut sb = parse(&p).unwrap();
    sb.seq += 1;
    sb.version = 3;
    sb.set_sync(false);
    sb.set_replacement(Replacement::Random);
    sb.label = uuid::label_from(b"name");
    let mut q = p;
    sb.encode_into(crc64_be, &mut q);
    let changed: Vec<usize> = (8..SB_BYTES).filter(|i| p[*i] != q[*i]).collect();
    assert_eq!(changed, [72, 73, 74, 75, 104, 112]);
    let again = parse(&q).unwrap();
    assert_eq!(
        (again.sync(), again.replacement()),
        (false, Replacement::Random)
    );
    assert_eq!(again.label, uuid::label_from(b"name"));
}

#[test]
fn backing_flags() {
    // Version 6 has feature words, which stay as they are.
    let mut p = superblock(6, [4096, 8, 0, 0, 0], 0, 0, 0);
    p[120..144].fill(0x55);
    p[204] = 7;
    seal(&mut p);
    let mut sb = parse(&p).unwrap();
    assert_eq!((sb.data_offset, sb.state()), (4096, BdevState::None));
    sb.set_state(BdevState::Dirty);
    sb.set_cache_mode(CacheMode::Writeback);
    assert_eq!(sb.flags, 0x4000_0000_0000_0001);
    sb.set_state(BdevState::Clean);
    assert_eq!(sb.flags, 0x2000_0000_0000_0001);
    let mut q = p;
    sb.encode_into(crc64_be, &mut q);
    assert_eq!(p[120..144], q[120..144]);
    assert_eq!((p[184..200].to_vec(), q[204]), (q[184..200].to_vec(), 7));
    for state in [
        BdevState::None,
        BdevState::Clean,
        BdevState::Dirty,
        BdevState::Stale,
    ] {
        sb.set_state(state);
        assert_eq!(sb.state(), state);
    }
    sb.flags = 9;
    assert_eq!(sb.cache_mode(), CacheMode::Writethrough);
}

// ---- geometry and keys

#[test]
fn geometry_sizes() {
    assert_eq!(Geometry::new(1024, 96, 1, 1), Err(BadGeometry::BucketSize));
    assert_eq!(Geometry::new(1024, 128, 0, 1), Err(BadGeometry::BlockSize));
    assert_eq!(
        Geometry::new(1 << 31, 128, 1, 1),
        Err(BadGeometry::TooManyBuckets)
    );
    assert_eq!(
        Geometry::new(1024, 128, 1, 1024),
        Err(BadGeometry::FirstBucket)
    );
    let g = geo();
    assert_eq!(
        (g.meta_bucket_bytes(), g.btree_node_sectors()),
        (65536, 128)
    );
    assert_eq!(
        (g.prios_per_bucket(), g.prio_buckets(), g.nr_uuids()),
        (21832, 1, 512)
    );
    assert_eq!(g.njournal_default(), 8);
    // What an extent can have, in whole blocks.
    assert_eq!(g.max_extent_sectors(), 65535);
    let big = Geometry::new(i32::MAX as u64, 1 << 31, 8, 1).unwrap();
    assert_eq!(
        (big.meta_bucket_bytes(), big.btree_node_sectors()),
        (4 << 20, 2048)
    );
    assert_eq!(big.max_extent_sectors(), 65528);
    assert_eq!(
        big.bucket_start(BucketNr(i32::MAX as u32 - 1)),
        (i32::MAX as u64 - 1) << 31
    );
    // 512 KiB buckets: a quarter of 128 pages would be less than the least node.
    assert_eq!(
        Geometry::new(1024, 1024, 1, 1)
            .unwrap()
            .btree_node_sectors(),
        512
    );

    assert_eq!(g.bucket_of(1024 * 128 - 1), Some(BucketNr(1023)));
    assert_eq!(g.bucket_of(1024 * 128), None);
    assert_eq!(g.bucket_of(u64::MAX), None);
    let at = |sector| Ptr::new(0, sector, 0);
    assert!(g.ptr_ok(at(128), 128) && g.ptr_ok(at(255), 1) && g.ptr_ok(at(1024 * 128 - 8), 8));
    assert!(!g.ptr_ok(at(127), 1) && !g.ptr_ok(at(129), 128) && !g.ptr_ok(at(1024 * 128), 1));
    assert!(!g.ptr_ok(Ptr::check(128 << 8), 1));
}

#[test]
fn key_words() {
    assert_eq!((Key::MAX.pos(), Key::ZERO.pos()), (Pos::MAX, Pos::MIN));
    assert_eq!(Key::MAX.high, (1 << 63) | 0xf_ffff);
    let k = Key::extent(5, 100, 8, true, Some(Ptr::new(0, 4096, 7)));
    assert_eq!(k.high, (1 << 63) | (1 << 60) | (1 << 36) | (8 << 20) | 5);
    assert_eq!((k.low, k.ptr), (108, 4096 << 8 | 7));
    assert_eq!(k.to_string(), "5:100 len 8 -> [0:4096 gen 7] dirty");
    let node = Key::node(Pos::MAX, 128, Ptr::new(0, 1280, 3));
    assert_eq!(
        (node.pos(), node.size(), node.dirty()),
        (Pos::MAX, 128, false)
    );
    let freeing = node.freeing(4);
    assert_eq!((freeing.pos(), freeing.size()), (Pos::MIN, 128));
    assert_eq!(freeing.ptr(), Some(Ptr::new(0, 1280, 4)));
    assert!(node.node_ok(&geo()) && freeing.node_ok(&geo()) && !k.node_ok(&geo()));
}

#[test]
fn key_algebra() {
    let ptr = |sector| Some(Ptr::new(0, sector, 7));
    let k = Key::extent(1, 100, 40, false, ptr(1000));
    assert_eq!(k.piece(110, 120), Key::extent(1, 110, 10, false, ptr(1010)));
    assert_eq!(k.piece(0, 50).size(), 0);
    assert_eq!(k.piece(200, 300).size(), 0);
    let mut l = k.piece(100, 120);
    assert!(l.try_merge(&k.piece(120, 140), 1024));
    assert_eq!(l, k);
    // Another bucket, another generation, a gap, another device, dirty.
    let mut l = k.piece(100, 124);
    for r in [
        Key::extent(1, 124, 8, false, ptr(1025)),
        Key::extent(1, 124, 8, false, Some(Ptr::new(0, 1024, 8))),
        Key::extent(1, 125, 8, false, ptr(1024)),
        Key::extent(2, 124, 8, false, ptr(1024)),
        Key::extent(1, 124, 8, true, ptr(1024)),
        Key::extent(1, 124, 8, false, None),
    ] {
        assert!(!l.try_merge(&r, 2048));
    }
    assert!(!l.try_merge(&k.piece(124, 140), 1024));
    assert!(l.try_merge(&k.piece(124, 140), 2048));
    let mut l = Key::extent(1, 0, 65535, false, None);
    assert!(!l.try_merge(&Key::extent(1, 65535, 1, false, None), 1024));
    assert!(k.piece(110, 120).matches_piece(&k) && k.matches_piece(&k.piece(110, 120)));
    assert!(!Key::extent(1, 110, 10, false, ptr(1011)).matches_piece(&k));
    assert!(!Key::extent(1, 110, 10, true, ptr(1010)).matches_piece(&k));
    let check = Key::extent(1, 0, 99, false, Some(Ptr::check(u64::MAX)));
    assert!(check.piece(5, 9).matches_piece(&check));
    assert!(!check.piece(0, 5).try_merge(&check.piece(5, 9), 1024));
}

// ---- journal

fn fields() -> JsetFields {
    JsetFields {
        set_magic: MAGIC,
        seq: 77,
        last_seq: 70,
        uuid_bucket: Key::node(Pos::MIN, 128, Ptr::new(0, 256, 1)),
        btree_root: Key::node(Pos::MAX, 128, Ptr::new(0, 384, 2)),
        btree_level: 1,
        prio_bucket: [5, 0, 0, 0, 0, 0, 0, 9],
    }
}

fn some_keys(n: u64) -> Vec<Key> {
    (0..n)
        .map(|i| {
            let ptr = (i % 3 != 0).then(|| Ptr::new(0, 1280 + i * 8, 3));
            Key::extent(2, i * 100, 8, i % 3 == 1, ptr)
        })
        .collect()
}

fn words(keys: &[Key]) -> Vec<u64> {
    keys.iter()
        .flat_map(|k| bkey::to_words(k)[..k.words()].to_vec())
        .collect()
}

#[test]
fn jset_round_trip() {
    let keys = some_keys(50);
    let mut out = vec![0xee; 32768];
    let bytes = encode_jset(crc64_be, &mut out, &fields(), &words(&keys)).unwrap();
    assert_eq!(bytes, JSET_HEADER_BYTES + 8 * words(&keys).len());
    let j = parse_jset(crc64_be, &out, MAGIC, 32768).unwrap();
    assert_eq!(
        (j.seq, j.last_seq, j.version, j.btree_level),
        (77, 70, 1, 1)
    );
    assert_eq!(
        (j.uuid_bucket, j.btree_root),
        (fields().uuid_bucket, fields().btree_root)
    );
    assert_eq!(j.prio_bucket, fields().prio_bucket);
    assert_eq!(j.keys().collect::<Vec<_>>(), keys);
    assert_eq!(
        (j.bytes(), j.bytes_rounded(512)),
        (bytes, bytes.next_multiple_of(512))
    );
    assert!(out[bytes..bytes.next_multiple_of(4096)]
        .iter()
        .all(|b| *b == 0));

    assert_eq!(
        parse_jset(crc64_be, &out, MAGIC ^ 1, 32768).unwrap_err(),
        BadJset::Magic
    );
    assert_eq!(
        parse_jset(crc64_be, &out, MAGIC, bytes - 1).unwrap_err(),
        BadJset::TooBig
    );
    assert_eq!(
        parse_jset(crc64_be, &out[..bytes - 1], MAGIC, 32768).unwrap_err(),
        BadJset::Short
    );
    assert_eq!(
        parse_jset(crc64_be, &out[..100], MAGIC, 32768).unwrap_err(),
        BadJset::Short
    );
    out[bytes - 1] ^= 1;
    assert_eq!(
        parse_jset(crc64_be, &out, MAGIC, 32768).unwrap_err(),
        BadJset::Checksum
    );
    let mut small = vec![0; bytes - 1];
    assert_eq!(
        encode_jset(crc64_be, &mut small, &fields(), &words(&keys)),
        Err(NoSpace)
    );
}

#[test]
fn jset_with_overrunning_key() {
    let mut out = vec![0; 4096];
    // The key claims words that are not there; the checksum is right.
    let mut lying = words(&[Key::extent(1, 8, 8, false, None)]);
    lying[0] |= 7 << 60;
    encode_jset(crc64_be, &mut out, &fields(), &lying).unwrap();
    assert_eq!(
        parse_jset(crc64_be, &out, MAGIC, 4096).unwrap_err(),
        BadJset::Keys
    );
}

#[test]
fn keys_with_several_pointers() {
    let ptrs = [Ptr::check(5), Ptr::new(1, 640, 2), Ptr::new(0, 768, 2)];
    let w = [
        (3 << 60) | (8 << 20) | 1,
        16,
        ptrs[0].0,
        ptrs[1].0,
        ptrs[2].0,
    ]
    .map(Into::into);
    let (k, rest) = bkey::split_key(&w).unwrap();
    assert!(rest.is_empty());
    assert_eq!(k, Key::extent(1, 8, 8, false, Some(ptrs[1])));
    assert_eq!(Keys::new(&w[..4]).next(), None);
    let mut padded = PaddedKey::new(&k);
    assert_eq!(padded.key(), k);
    padded.0[0] = (7 << 60 | padded.0[0].get()).into();
    assert_eq!(padded.key(), Key::ZERO);
}

// ---- nodes

const SEQ: u64 = 0xdead_beef;

fn node_ptr() -> Ptr {
    Ptr::new(0, 1280, 5)
}

/// A node with these sets.
fn node(sets: &[&[Key]]) -> (Vec<u8>, usize) {
    let mut buf = vec![0; 65536];
    let mut at = 0;
    for keys in sets {
        let keys = keys.iter().copied();
        at += encode_bset(crc64_be, &mut buf[at..], SEQ, node_ptr(), MAGIC, keys, 512).unwrap();
    }
    (buf, at)
}

type Parsed = Result<(u32, u32, u32, Vec<Key>), BadNode>;

fn read(buf: &[u8], kind: NodeKind) -> Parsed {
    let mut keys = Vec::new();
    let info = parse_node(crc64_be, buf, &geo(), node_ptr(), MAGIC, kind, |k| {
        keys.push(*k)
    })?;
    assert_eq!(info.seq, SEQ);
    Ok((info.sets, info.written_blocks, info.invalid, keys))
}

#[test]
fn node_round_trip() {
    let keys = some_keys(100);
    let (buf, bytes) = node(&[&[], &keys[..60], &keys[60..]]);
    let blocks = (bytes / 512) as u32;
    assert_eq!(read(&buf, NodeKind::Leaf), Ok((3, blocks, 0, keys)));
    assert_eq!(set_bytes(0, 512), Some(512));
    assert_eq!(set_bytes(60, 512), Some(512));
    assert_eq!(set_bytes(61, 512), Some(1024));
}

#[test]
fn node_leaves_bad_keys_out() {
    let good = Key::extent(1, 0, 8, false, Some(Ptr::new(0, 1280, 1)));
    let keys = [
        good,
        Key::extent(1, 20, 0, false, Some(Ptr::new(0, 1280, 1))), // Nothing.
        Key::extent(1, 40, 8, true, Some(Ptr::new(0, 1280 + 124, 1))), // Two buckets.
        Key::extent(1, 60, 8, true, Some(Ptr::new(0, 8, 1))),     // The superblock.
        Key::extent(1, 80, 8, false, Some(Ptr::check(1))),
        Key { low: 4, ..good }, // Starts before 0.
    ];
    let (buf, _) = node(&[&keys]);
    assert_eq!(
        read(&buf, NodeKind::Leaf),
        Ok((1, 1, 3, vec![keys[0], keys[4]]))
    );
    let keys = [
        Key::node(Pos::new(1, 8), 128, node_ptr()).freeing(9),
        Key::node(Pos::new(1, 8), 128, node_ptr()),
        Key::extent(1, 8, 128, true, Some(node_ptr())),
        Key::extent(1, 8, 128, false, None),
    ];
    let (buf, _) = node(&[&keys]);
    assert_eq!(
        read(&buf, NodeKind::Interior),
        Ok((1, 1, 2, keys[..2].to_vec()))
    );
}

#[test]
fn node_refusals() {
    let keys = some_keys(30);
    let (good, bytes) = node(&[&keys[..20], &keys[20..]]);
    let second = set_bytes(words(&keys[..20]).len(), 512).unwrap();
    let with = |at: usize, byte: u8| {
        let mut buf = good.clone();
        buf[at] = byte;
        read(&buf, NodeKind::Leaf).map(|_| ())
    };
    assert_eq!(with(0, good[0]), Ok(()));
    assert_eq!(with(0, good[0] ^ 1), Err(BadNode::Checksum));
    assert_eq!(with(40, good[40] ^ 1), Err(BadNode::Checksum));
    assert_eq!(with(8, good[8] ^ 1), Err(BadNode::Magic));
    assert_eq!(with(24, 2), Err(BadNode::Version));
    assert_eq!(with(24, 0), Err(BadNode::Checksum));
    assert_eq!(with(30, 1), Err(BadNode::Header));
    assert_eq!(with(31, 0xff), Err(BadNode::Header));
    assert_eq!(with(second + 8, good[second + 8] ^ 1), Err(BadNode::Magic));
    // Another sequence number ends the log.
    assert_eq!(with(second + 16, good[second + 16] ^ 1), Ok(()));
    // A set behind a hole.
    let mut buf = good.clone();
    buf.copy_within(..second, bytes + 512);
    assert_eq!(read(&buf, NodeKind::Leaf), Err(BadNode::Hole));
    let (buf, _) = node(&[&keys, &[]]);
    assert_eq!(read(&buf, NodeKind::Leaf), Err(BadNode::Empty));
    assert_eq!(read(&[0; 65536], NodeKind::Leaf), Err(BadNode::Header));
    assert_eq!(read(&[], NodeKind::Leaf), Err(BadNode::Header));
    // A key that goes beyond its set, with a right checksum.
    let mut buf = good.clone();
    buf[32 + 7] |= 0x70;
    let end = BSET_HEADER_BYTES + 8 * words(&keys[..20]).len();
    let mut lying = vec![0; 65536];
    lying[..end].copy_from_slice(&buf[..end]);
    lying[28] = 3;
    let csum = btree_crc64(crc64_be, node_ptr().0, &lying[8..BSET_HEADER_BYTES + 24]);
    lying[..8].copy_from_slice(&csum.to_le_bytes());
    assert_eq!(read(&lying, NodeKind::Leaf), Err(BadNode::KeyOverrun));
}

#[test]
fn node_of_version_0() {
    let keys = some_keys(5);
    let (mut buf, _) = node(&[&keys]);
    buf[24] = 0;
    let csum = bch_crc64(
        crc64_be,
        &buf[8..BSET_HEADER_BYTES + 8 * words(&keys).len()],
    );
    buf[..8].copy_from_slice(&csum.to_le_bytes());
    assert_eq!(read(&buf, NodeKind::Leaf), Ok((1, 1, 0, keys)));
}

#[test]
fn encode_needs_room() {
    let keys = some_keys(30);
    for room in [0, 31, 32, 100, 511, 512, 700] {
        let mut buf = vec![0; room];
        let n = encode_bset(
            crc64_be,
            &mut buf,
            SEQ,
            node_ptr(),
            MAGIC,
            keys.clone(),
            512,
        );
        assert_eq!(n, Err(NoSpace));
    }
}

// ---- priorities and uuids

#[test]
fn prio_round_trip() {
    // Two bytes are left over behind the last entry.
    let mut out = vec![0xee; 4098];
    let mut used = usize::MAX;
    let entries: Vec<_> = (0..1000u16)
        .map(|i| PrioEntry::new(i * 60, i as u8))
        .collect();
    encode_prio_set(
        crc64_be,
        &mut out,
        &mut used,
        MAGIC,
        23,
        187,
        entries.clone(),
    )
    .unwrap();
    let p = parse_prio_set(crc64_be, &out, MAGIC).unwrap();
    assert_eq!(
        (p.seq, p.next_bucket, p.entries.len()),
        (23, 187, (4096 - 40) / 3)
    );
    assert_eq!(p.entries[..1000], entries);
    assert!(p.entries[1000..]
        .iter()
        .all(|e| (e.prio(), e.gen()) == (0, 0)));
    assert_eq!(used, 40 + 3 * 1000);
    assert!(out[used..].iter().all(|b| *b == 0));
    // Fewer entries in the same buffer.
    let mut again = out.clone();
    encode_prio_set(
        crc64_be,
        &mut again,
        &mut used,
        MAGIC,
        24,
        187,
        entries[..10].to_vec(),
    )
    .unwrap();
    assert_eq!(used, 40 + 3 * 10);
    assert!(again[used..].iter().all(|b| *b == 0));
    assert_eq!(
        parse_prio_set(crc64_be, &out, MAGIC ^ 1).unwrap_err(),
        BadPrioSet::Magic
    );
    *out.last_mut().unwrap() ^= 1;
    assert_eq!(
        parse_prio_set(crc64_be, &out, MAGIC).unwrap_err(),
        BadPrioSet::Checksum
    );
    assert_eq!(
        parse_prio_set(crc64_be, &out[..39], MAGIC).unwrap_err(),
        BadPrioSet::Short
    );
    let many = std::iter::repeat_n(PrioEntry::new(1, 1), 1353);
    assert_eq!(
        encode_prio_set(crc64_be, &mut out, &mut used, MAGIC, 1, 1, many),
        Err(NoSpace)
    );
}

#[test]
fn uuid_text() {
    let text = "425360d4-96de-42ff-b2d0-ee87c1d71403";
    let u = Uuid::parse(text.as_bytes()).unwrap();
    assert_eq!(u.to_string(), text);
    assert_eq!(u.0[..4], [0x42, 0x53, 0x60, 0xd4]);
    assert_eq!(
        Uuid::parse(text.replace('-', "").to_uppercase().as_bytes()),
        Some(u)
    );
    assert_eq!(Uuid::parse(b"425360d4-96de-42ff-b2d0-ee87c1d7140\n"), None);
    assert_eq!(Uuid::parse(b""), None);
    assert_eq!(
        Uuid::INVALID.to_string(),
        "a03ef8ed-3ee1-b878-c850-fc5ecb16cd99"
    );
}

#[test]
fn old_uuid_tables_are_converted() {
    let mut buf = vec![0u8; 4096];
    for slot in 0..32u8 {
        let old = &mut buf[usize::from(slot) * 64..][..64];
        old[..16].fill(slot + 1);
        old[16..48].fill(b'a' + slot % 26);
        old[48] = slot;
        old[52] = slot + 1;
        old[56] = slot + 2;
        old[60] = 0xff; // Padding then, flags now.
    }
    uuid::convert_old(&mut buf);
    for (slot, e) in (0..32u8).zip(uuid::entries(&buf)) {
        assert_eq!(e.uuid, Uuid([slot + 1; 16]));
        assert_eq!(e.label, [b'a' + slot % 26; 32]);
        let times = (e.first_reg.get(), e.last_reg.get(), e.invalidated.get());
        assert_eq!(
            times,
            (slot.into(), u32::from(slot) + 1, u32::from(slot) + 2)
        );
        assert_eq!((e.flags.get(), e.sectors.get()), (0, 0));
    }
    let e = &mut uuid::entries_mut(&mut buf)[3];
    *e = UuidEntry::EMPTY;
    e.set_flash_only(true);
    assert!(e.flash_only() && e.uuid.is_nil());
}

// ---- foreign bytes

/// Bytes that look right more often than random ones do.
fn forged() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        3 => any::<u64>(),
        2 => Just(0u64),
        1 => Just(u64::MAX),
        2 => 0..5u64,
        1 => (0..8u64).prop_map(|n| n << 60 | 1 << 63 | 8 << 20),
        1 => (0..0x1_0000u64).prop_map(|n| n << 32 | 1),
    ];
    prop::collection::vec(word, 0..300)
        .prop_map(|w| w.into_iter().flat_map(u64::to_le_bytes).collect())
}

proptest! {
    #[test]
    fn foreign_jsets(mut b in forged(), cut in 0..8usize, right in any::<bool>()) {
        if right && b.len() >= JSET_HEADER_BYTES {
            // A right checksum over whatever the keys claim to be, as far as there is something.
            b[8..16].copy_from_slice(&(MAGIC ^ 0x2452_35c1_a362_5032).to_le_bytes());
            let n = (b.len() - JSET_HEADER_BYTES) / 8;
            b[28..32].copy_from_slice(&(n as u32).to_le_bytes());
            let csum = bch_crc64(crc64_be, &b[8..JSET_HEADER_BYTES + 8 * n]);
            b[..8].copy_from_slice(&csum.to_le_bytes());
        }
        let len = b.len().saturating_sub(cut);
        if let Ok(j) = parse_jset(crc64_be, &b[..len], MAGIC, 32768) {
            let total: usize = j.keys().count();
            prop_assert!(total <= j.key_words() && j.bytes() <= len);
        }
    }

    #[test]
    fn foreign_nodes(mut b in forged(), right in any::<bool>(), interior in any::<bool>()) {
        b.resize(b.len().next_multiple_of(512), 0);
        if right && !b.is_empty() {
            b[8..16].copy_from_slice(&(MAGIC ^ 0x9013_5c78_b99e_07f5).to_le_bytes());
            b[16] |= 1;
            let n = (b.len() - BSET_HEADER_BYTES) / 8;
            b[24..28].copy_from_slice(&1u32.to_le_bytes());
            b[28..32].copy_from_slice(&(n as u32).to_le_bytes());
            let csum = btree_crc64(crc64_be, node_ptr().0, &b[8..BSET_HEADER_BYTES + 8 * n]);
            b[..8].copy_from_slice(&csum.to_le_bytes());
        }
        let kind = if interior { NodeKind::Interior } else { NodeKind::Leaf };
        let _ = parse_node(crc64_be, &b, &geo(), node_ptr(), MAGIC, kind, |k| {
            assert!(k.size() != 0 && k.high >> 63 == 1);
        });
    }

    #[test]
    fn foreign_superblocks(seed in forged(), at in 8..SB_BYTES) {
        let mut p = cache();
        for (to, from) in p[at..].iter_mut().zip(&seed) {
            *to = *from;
        }
        let keys = usize::from(u16::from_le_bytes([p[206], p[207]]));
        if keys < 400 {
            seal(&mut p);
        }
        if let Ok(sb) = Superblock::parse(crc64_be, &p, 512, u64::MAX) {
            if !sb.is_bdev() {
                prop_assert!(sb.geometry().is_ok());
            }
            let mut q = p;
            sb.encode_into(crc64_be, &mut q);
            prop_assert!(Superblock::parse(crc64_be, &q, 512, u64::MAX).is_ok());
        }
    }

    #[test]
    fn foreign_tables(b in forged()) {
        let _ = parse_prio_set(crc64_be, &b, MAGIC);
        let mut copy = b.clone();
        uuid::convert_old(&mut copy);
        let _ = Uuid::parse(&b);
    }

    #[test]
    fn any_key_can_be_cut(high: u64, low: u64, ptr: u64, a: u64, b: u64) {
        for has in [None, Some(Ptr(ptr))] {
            let k = Key::from_words(high, low, has);
            let p = k.piece(a, b);
            prop_assert!(p.size() <= k.size());
            prop_assert!(p.size() == 0 || p.start() >= a.min(k.end()));
            let mut l = k;
            let _ = l.try_merge(&p, 1024);
            let _ = k.matches_piece(&p);
            let _ = (k.leaf_ok(&geo()), k.node_ok(&geo()), k.to_string());
        }
    }

    #[test]
    fn crc_can_be_split(data in prop::collection::vec(any::<u8>(), 0..100), at in 0..100usize) {
        let (a, b) = data.split_at(at.min(data.len()));
        prop_assert_eq!(crc64_be(crc64_be(!0, a), b), crc64_be(!0, &data));
    }
}
