// SPDX-License-Identifier: GPL-2.0

//! Room for data: buckets that are being filled.
//!
//! C: `pick_data_bucket`, `bch_alloc_sectors` in `alloc.c`. Many buckets are open at a time so that
//! streams of writes land in buckets of their own: data that was written together is then also
//! evicted together. Volumes without backing device never share a bucket with cached devices: their
//! data is dirty for ever.

use crate::{
    alloc::Reserve,
    buckets::BucketPin,
    cache_set::CacheSet, //
};
use bcache_core::{
    key::{
        Pos,
        Ptr, //
    },
    num::low_u32, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// Buckets open at a time.
const MAX_OPEN_BUCKETS: usize = 128;

/// What a search looks at in all open buckets, hence small and apart.
#[derive(Clone, Copy, Default)]
struct Tag {
    /// Of [`OpenBucket::end`].
    end: u32,
    write_point: u32,
}

/// A bucket being filled.
struct OpenBucket {
    /// Where the last data put here ended on its device.
    end: Pos,
    flash: bool,
    /// When it was used last, in allocations.
    used: u64,
    /// The next free sector, with the bucket's generation.
    next: Ptr,
    sectors_free: u32,
    /// Claim on the bucket; `None` while there is no room.
    pin: Option<BucketPin>,
}

/// What the lock guards.
struct Inner {
    v: KVec<OpenBucket>,
    /// One for each bucket of `v`.
    tags: KVec<Tag>,
    clock: u64,
}

/// The open buckets of a cache set.
#[pin_data]
pub(crate) struct OpenBuckets {
    #[pin]
    inner: Mutex<Inner>,
}

/// Room in the cache for the first `sectors` of what was asked for. The pin must live until the key
/// that leads here is in the btree (or has been given up).
pub(crate) struct DataExtent {
    pub(crate) ptr: Ptr,
    pub(crate) sectors: u32,
    pub(crate) pin: BucketPin,
}

/// What is to be written.
#[derive(Clone, Copy)]
struct Want {
    start: Pos,
    sectors: u32,
    write_point: u32,
    flash: bool,
}

impl OpenBuckets {
    /// No bucket is open yet.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            inner <- new_mutex!(Inner::new()?, "OpenBuckets::inner"),
        }? Error)
    }
}

/// A number that is the same for equal positions and mostly another for others.
fn tag_of(pos: &Pos) -> u32 {
    let word = pos.sector ^ u64::from(pos.inode).rotate_right(16);
    low_u32(word ^ (word >> 32))
}

impl Inner {
    fn new() -> Result<Self> {
        let mut v = KVec::with_capacity(MAX_OPEN_BUCKETS, GFP_KERNEL)?;
        for _ in 0..MAX_OPEN_BUCKETS {
            let bucket = OpenBucket {
                end: Pos::MIN,
                flash: false,
                used: 0,
                next: Ptr(0),
                sectors_free: 0,
                pin: None,
            };
            v.push(bucket, GFP_KERNEL)?;
        }
        let tags = KVec::from_elem(Tag::default(), MAX_OPEN_BUCKETS, GFP_KERNEL)?;
        Ok(Self { v, tags, clock: 0 })
    }

    /// The bucket to use: the one whose last data ends where this begins (most recent first), else
    /// one last used by the same writer, else the one not used longest. `flash` and other
    /// volumes are kept apart in the first two.
    fn pick(&self, want: &Want) -> usize {
        let end = tag_of(&want.start);
        let mut best: Option<(u8, u64, usize)> = None;
        for (i, tag) in self.tags.iter().enumerate() {
            if tag.end != end && tag.write_point != want.write_point {
                continue;
            }
            let Some(b) = self.v.get(i).filter(|b| b.flash == want.flash) else {
                continue;
            };
            // The smallest wins; of buckets that fit exactly the youngest, else the oldest.
            let rank = if b.end == want.start {
                (0, u64::MAX.wrapping_sub(b.used), i)
            } else if tag.write_point == want.write_point {
                (1, b.used, i)
            } else {
                continue;
            };
            if best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
        let oldest = || self.v.iter().enumerate().min_by_key(|(_, b)| b.used);
        best.map_or_else(|| oldest().map_or(0, |(i, _)| i), |(_, _, i)| i)
    }

    /// Takes room out of the picked bucket, which is refilled with `fresh` if it has none left.
    fn take(
        &mut self,
        c: &CacheSet,
        want: &Want,
        fresh: &mut Option<BucketPin>,
    ) -> Option<DataExtent> {
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let i = self.pick(want);
        let b = self.v.get_mut(i)?;
        if b.sectors_free == 0 {
            let pin = fresh.take()?;
            b.sectors_free = c.geo.bucket_sectors();
            b.next = pin.ptr();
            b.pin = Some(pin);
        }
        let sectors = want.sectors.min(b.sectors_free);
        let ptr = b.next;
        b.end = Pos::new(
            want.start.inode,
            want.start.sector.wrapping_add(u64::from(sectors)),
        );
        b.flash = want.flash;
        *self.tags.get_mut(i)? = Tag {
            end: tag_of(&b.end),
            write_point: want.write_point,
        };
        b.used = clock;
        b.next = ptr.advance(u64::from(sectors));
        b.sectors_free = b.sectors_free.saturating_sub(sectors);
        let pin = if b.sectors_free < c.geo.block_sectors() {
            b.sectors_free = 0;
            b.pin.take()?
        } else {
            b.pin.clone()?
        };
        Some(DataExtent { ptr, sectors, pin })
    }
}

impl CacheSet {
    /// Finds room for up to `want` sectors of data that begin at `start` of `inode`. `write_point`
    /// tells writers apart; `r` is `None`, or `MovingGc` for data moved by gc. May sleep; with
    /// `wait` until there is a bucket (hold no journal pin then: the bucket may need the
    /// journal).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no bucket and `wait` is not set, `EIO` once the set is dead.
    pub(crate) fn alloc_sectors(
        &self,
        want: u32,
        inode: u32,
        start: u64,
        write_point: u32,
        r: Reserve,
        wait: bool,
    ) -> Result<DataExtent> {
        let want = Want {
            start: Pos::new(inode, start),
            sectors: want,
            write_point,
            flash: self.uuid_is_flash(inode),
        };
        let mut fresh = None;
        let got = loop {
            let mut inner = self.open_buckets.inner.lock();
            if let Some(got) = inner.take(self, &want, &mut fresh) {
                break got;
            }
            drop(inner);
            fresh = Some(self.bucket_alloc(r, wait)?);
        };
        if let Some(unused) = fresh {
            // Another writer brought a bucket in the meantime: this one goes back.
            self.bucket_free(unused.nr());
        }
        self.count.written.add(u64::from(got.sectors));
        self.gc_account(got.sectors);
        Ok(got)
    }
}
