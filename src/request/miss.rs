// SPDX-License-Identifier: GPL-2.0

//! The start of a fill: a read from the backing device into memory of ours.
//!
//! C: `cached_dev_cache_miss` in `request.c`.

use super::{
    fill::{FillIo, FillReq},
    plan::Piece,
    read::ReadReq, //
};
use bcache_core::key::{
    Key,
    Ptr, //
};
use bcache_kernel::{
    block::Opf,
    job::Shared,
    random, //
};

/// Most sectors of one fill: a bio of 256 pages.
const MAX_FILL: u32 = 256 * 8;

/// The placeholder for a fill of the start of `hole`.
pub(super) fn check_key(req: &ReadReq, hole: &Piece) -> Key {
    let sectors = hole.sectors.min(MAX_FILL);
    let ptr = Ptr::check(random::u64());
    Key::extent(
        req.stay.att.inode,
        req.sector_at(hole.skip),
        sectors,
        false,
        Some(ptr),
    )
}

/// Reads the range of `key` into pages of ours, for the reader and for the cache.
///
/// Gives the sectors that are taken care of; 0 if there is no memory, and then the reader's bio is to be
/// sent as it is. The placeholder then stays in the index until something else takes its place.
pub(super) fn submit(req: &Shared<ReadReq>, hole: &Piece, key: &Key) -> u32 {
    let att = &req.stay.att;
    let sectors = key.size();
    let Some(user) = req.user() else {
        return 0;
    };
    let Ok(bytes) = usize::try_from(sectors.saturating_mul(512)) else {
        return 0;
    };
    let bio = att.dev.io.fill.try_alloc(
        &att.dev.bdev,
        sectors.div_ceil(8),
        // What others may want from the cache later is to be read, too, if the disk is busy.
        user.opf().without(Opf::RAHEAD | Opf::FAILFAST),
        key.start(),
        FillIo::new(),
    );
    let Some(mut bio) = bio else {
        return 0;
    };
    if bio.alloc_pages(bytes).is_err() {
        return 0;
    }
    bio.charge_to(user);
    let Some(job) = FillReq::start(req, hole.skip, key) else {
        return 0;
    };
    bio.data_mut().attach(job);
    bio.submit();
    sectors
}
