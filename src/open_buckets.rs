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
    alloc::open::{
        OpenTable,
        Want,
        OPEN_BUCKETS, //
    },
    key::{
        Pos,
        Ptr, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// A bucket being filled.
struct OpenBucket {
    /// The next free sector, with the bucket's generation.
    next: Ptr,
    sectors_free: u32,
    /// Claim on the bucket; `None` while there is no room.
    pin: Option<BucketPin>,
}

/// What the lock guards.
struct Inner {
    v: KVec<OpenBucket>,
    /// Which of them gets what.
    table: KBox<OpenTable>,
}

/// The open buckets of a cache set.
#[pin_data]
pub(crate) struct OpenBuckets {
    #[pin]
    inner: Mutex<Inner>,
    /// Held by the one writer who waits for a bucket. Many that wait for room in the same open bucket would otherwise
    /// bring one each, and all but one of these would go back to be invalidated once more.
    #[pin]
    refill: Mutex<()>,
}

/// Room in the cache for the first `sectors` of what was asked for. The pin must live until the key
/// that leads here is in the btree (or has been given up).
pub(crate) struct DataExtent {
    pub(crate) ptr: Ptr,
    pub(crate) sectors: u32,
    pub(crate) pin: BucketPin,
}

impl OpenBuckets {
    /// No bucket is open yet.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            inner <- new_mutex!(Inner::new()?, "OpenBuckets::inner"),
            refill <- new_mutex!((), "OpenBuckets::refill"),
        }? Error)
    }
}

impl Inner {
    fn new() -> Result<Self> {
        let mut v = KVec::with_capacity(OPEN_BUCKETS, GFP_KERNEL)?;
        for _ in 0..OPEN_BUCKETS {
            let bucket = OpenBucket {
                next: Ptr(0),
                sectors_free: 0,
                pin: None,
            };
            v.push(bucket, GFP_KERNEL)?;
        }
        let table = KBox::new(OpenTable::new(), GFP_KERNEL)?;
        Ok(Self { v, table })
    }

    /// Takes room for up to `sectors` out of the picked bucket, which is refilled with `fresh` if it has none left.
    fn take(
        &mut self,
        c: &CacheSet,
        want: &Want,
        sectors: u32,
        fresh: &mut Option<BucketPin>,
    ) -> Option<DataExtent> {
        let i = self.table.pick(want);
        let b = self.v.get_mut(usize::from(i))?;
        if b.sectors_free == 0 {
            let pin = fresh.take()?;
            b.sectors_free = c.geo.bucket_sectors();
            b.next = pin.ptr();
            b.pin = Some(pin);
        }
        // A bucket of 32 MiB or more holds more than a key can say.
        let most = b.sectors_free.min(c.geo.max_extent_sectors());
        let sectors = sectors.min(most);
        let ptr = b.next;
        b.next = ptr.advance(u64::from(sectors));
        b.sectors_free = b.sectors_free.saturating_sub(sectors);
        let pin = if b.sectors_free < c.geo.block_sectors() {
            b.sectors_free = 0;
            b.pin.take()?
        } else {
            b.pin.clone()?
        };
        let Pos { inode, sector } = want.start;
        let end = Pos::new(inode, sector.wrapping_add(u64::from(sectors)));
        self.table.put(i, want, end);
        Some(DataExtent { ptr, sectors, pin })
    }
}

impl CacheSet {
    /// Finds room for up to `sectors` sectors of data that begin at `start` of `inode`. `write_point`
    /// tells writers apart; `r` is `None`, or `MovingGc` for data moved by gc. May sleep; with
    /// `wait` until there is a bucket (hold no journal pin then: the bucket may need the
    /// journal).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no bucket and `wait` is not set, `EIO` once the set is dead.
    pub(crate) fn alloc_sectors(
        &self,
        sectors: u32,
        inode: u32,
        start: u64,
        write_point: u32,
        r: Reserve,
        wait: bool,
    ) -> Result<DataExtent> {
        let want = Want {
            start: Pos::new(inode, start),
            write_point,
            flash: self.uuid_is_flash(inode),
        };
        let open = &self.open_buckets;
        let mut fresh = None;
        let mut refill = None;
        let got = loop {
            if let Some(got) = open.inner.lock().take(self, &want, sectors, &mut fresh) {
                break got;
            }
            // Moving gc has buckets of its own, and may be what the others wait for.
            if wait && r == Reserve::None && refill.is_none() {
                refill = Some(open.refill.lock());
                continue;
            }
            fresh = Some(self.bucket_alloc(r, wait)?);
        };
        drop(refill);
        if let Some(unused) = fresh {
            // Another writer brought a bucket in the meantime: this one goes back.
            self.bucket_free(unused.nr());
        }
        self.count.written.add(u64::from(got.sectors));
        self.gc_account(got.sectors);
        Ok(got)
    }
}
