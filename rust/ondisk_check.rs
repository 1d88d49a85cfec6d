// SPDX-License-Identifier: GPL-2.0

//! Compile-time comparison of the core crate's on-disk types with the C header.
//!
//! C header: [`bcache_ondisk.h`](srctree/drivers/md/bcache/bcache_ondisk.h), vendored in `rust/bindings`
//! because the headers of a distribution's kernel do not have it. There is no code here: a difference
//! between the two is an error of the compiler.

use crate::bindings::{
    bset,
    cache_sb_disk,
    cache_sb_disk__bindgen_ty_2__bindgen_ty_1 as sb_cache_fields,
    jset,
    prio_set,
    prio_set_bucket_disk,
    uuid_entry,
    uuid_entry__bindgen_ty_1__bindgen_ty_1 as uuid_fields,
    uuid_entry_v0, //
};
use bcache_core::ondisk::{
    bkey::PaddedKey,
    bset::{
        BSET_HEADER_BYTES,
        BSET_LAYOUT, //
    },
    jset::JsetHeader,
    prio::{
        PrioEntry,
        PRIO_LAYOUT, //
    },
    superblock::SB_LAYOUT,
    uuid::UuidEntry, //
};
use core::mem::offset_of;
use kernel::static_assert;

/// Whether two lists of offsets are the same.
// The compiler does not count the use in an anonymous constant.
#[allow(dead_code)]
const fn same<const N: usize>(a: [usize; N], b: [usize; N]) -> bool {
    let mut i = 0;
    while i < N {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Asserts that fields of a C structure lie where those of ours do.
macro_rules! same_offsets {
    ($ours:ty, $theirs:ty, $($our:ident = $their:ident),+ $(,)?) => {
        $(static_assert!(offset_of!($ours, $our) == offset_of!($theirs, $their));)+
    };
}

// The unions of the superblock: set_uuid/set_magic, cache/backing fields, njournal_buckets/keys.
static_assert!(same(
    SB_LAYOUT,
    [
        offset_of!(cache_sb_disk, csum),
        offset_of!(cache_sb_disk, offset),
        offset_of!(cache_sb_disk, version),
        offset_of!(cache_sb_disk, magic),
        offset_of!(cache_sb_disk, uuid),
        offset_of!(cache_sb_disk, __bindgen_anon_1),
        offset_of!(cache_sb_disk, label),
        offset_of!(cache_sb_disk, flags),
        offset_of!(cache_sb_disk, seq),
        offset_of!(cache_sb_disk, feature_compat),
        offset_of!(cache_sb_disk, feature_incompat),
        offset_of!(cache_sb_disk, feature_ro_compat),
        offset_of!(cache_sb_disk, pad),
        offset_of!(cache_sb_disk, __bindgen_anon_2) + offset_of!(sb_cache_fields, nbuckets),
        offset_of!(cache_sb_disk, last_mount),
        offset_of!(cache_sb_disk, first_bucket),
        offset_of!(cache_sb_disk, __bindgen_anon_3),
        offset_of!(cache_sb_disk, d),
        offset_of!(cache_sb_disk, obso_bucket_size_hi),
    ]
));

static_assert!(same(
    BSET_LAYOUT,
    [
        offset_of!(bset, csum),
        offset_of!(bset, magic),
        offset_of!(bset, seq),
        offset_of!(bset, version),
        offset_of!(bset, keys),
    ]
));
static_assert!(BSET_HEADER_BYTES == size_of::<bset>());

static_assert!(same(
    PRIO_LAYOUT,
    [
        offset_of!(prio_set, csum),
        offset_of!(prio_set, magic),
        offset_of!(prio_set, seq),
        offset_of!(prio_set, version),
        offset_of!(prio_set, pad),
        offset_of!(prio_set, next_bucket),
    ]
));
static_assert!(size_of::<PrioEntry>() == size_of::<prio_set_bucket_disk>());

same_offsets!(
    JsetHeader,
    jset,
    csum = csum,
    magic = magic,
    seq = seq,
    version = version,
    keys = keys,
    last_seq = last_seq,
    uuid_bucket = __bindgen_anon_1,
    btree_root = __bindgen_anon_2,
    btree_level = btree_level,
    prio_bucket = prio_bucket,
);
static_assert!(size_of::<JsetHeader>() == size_of::<jset>());
static_assert!(
    size_of::<PaddedKey>()
        == offset_of!(jset, __bindgen_anon_2) - offset_of!(jset, __bindgen_anon_1)
);

same_offsets!(
    UuidEntry,
    uuid_fields,
    uuid = uuid,
    label = label,
    first_reg = first_reg,
    last_reg = last_reg,
    invalidated = invalidated,
    flags = flags,
    sectors = sectors,
);
static_assert!(size_of::<UuidEntry>() == size_of::<uuid_entry>());
static_assert!(2 * size_of::<uuid_entry_v0>() == size_of::<uuid_entry>());
