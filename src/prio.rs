// SPDX-License-Identifier: GPL-2.0

//! Priorities and generations on the device.
//!
//! C: `bch_prio_write`, `prio_read` in `super.c`. A complete write goes to fresh buckets, linked
//! front to back, and counts from the journal entry on that names the first of them. The old ones
//! are freed after that entry is durable.

use crate::{
    buckets::BucketPin,
    cache_set::CacheSet,
    show::Shown, //
};
use bcache_core::{
    geometry::Geometry,
    num::{
        u32_from_usize_sat,
        usize_from_u32,
        BucketNr, //
    },
    ondisk::prio::{
        encode_prio_set,
        parse_prio_set,
        PrioEntry, //
    }, //
};
use bcache_kernel::{
    block::Opf,
    crc64::crc64_be,
    dma::DmaBuf, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// Guards one write at a time.
struct Io {
    buf: DmaBuf,
    /// How many bytes of it may be other than zero.
    used: usize,
    /// Number of the last write.
    seq: u64,
    /// Room for the buckets of a write; empty in between.
    pins: KVec<BucketPin>,
}

/// Where the priorities are. Lock order: `io`, then `at`, then the allocator mutex (`docs/locks.md`).
#[pin_data]
pub(crate) struct PrioState {
    #[pin]
    io: Mutex<Io>,
    /// Buckets of the last durable write, first to last.
    #[pin]
    at: Mutex<KVec<BucketNr>>,
}

impl PrioState {
    /// Nothing read or written yet.
    pub(crate) fn new(geo: &Geometry) -> impl PinInit<Self, Error> {
        let (bytes, n) = (geo.meta_bucket_bytes(), usize_from_u32(geo.prio_buckets()));
        try_pin_init!(Self {
            io <- new_mutex!(
                Io {
                    buf: DmaBuf::new(bytes)?,
                    used: usize::MAX,
                    seq: 0,
                    pins: KVec::with_capacity(n, GFP_KERNEL)?,
                },
                "PrioState::io"
            ),
            at <- new_mutex!(KVec::with_capacity(n, GFP_KERNEL)?, "PrioState::at"),
        }? Error)
    }
}

impl CacheSet {
    /// Writes priorities and generations of all buckets and waits until they are durable (in the
    /// format of a new cache: until they are written). May sleep for the journal.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there are too few free buckets (nothing was written), `EIO` once the set is
    /// dead.
    pub(crate) fn prio_write(&self) -> Result {
        let mut io = self.prio.io.lock();
        let mut pins = core::mem::take(&mut io.pins);
        let written = self.prio_write_to(&mut io, &mut pins);
        pins.clear();
        io.pins = pins;
        written
    }

    /// As [`CacheSet::prio_write`], with an empty vector for the new buckets.
    fn prio_write_to(&self, io: &mut Io, pins: &mut KVec<BucketPin>) -> Result {
        self.prio_buckets_alloc(usize_from_u32(self.geo.prio_buckets()), pins)?;
        io.seq = io.seq.wrapping_add(1);
        if let Err(e) = self.prio_write_sets(io, pins) {
            self.set_error(format_args!("accessing priorities"));
            return Err(e);
        }
        let first = pins.first().map_or(0, |pin| u64::from(pin.nr()));
        self.journal.set_prio_bucket(first);
        self.journal.meta(self, true)?;
        self.prio_replace(pins);
        Ok(())
    }

    /// Writes one set per bucket, each of which names the next.
    fn prio_write_sets(&self, io: &mut Io, pins: &[BucketPin]) -> Result {
        let mut next = pins.iter().skip(1);
        for (i, pin) in pins.iter().enumerate() {
            let next = next.next().map_or(0, |pin| u64::from(pin.nr()));
            let entries = self.prio_entries(i);
            let Io { buf, used, seq, .. } = &mut *io;
            let out = buf.as_mut_slice();
            encode_prio_set(crc64_be, out, used, self.set_magic, *seq, next, entries)
                .map_err(|_| EINVAL)?;
            let start = self.geo.bucket_start(pin.nr());
            let len = io.buf.len();
            self.meta_write(start, &io.buf, 0..len, Opf::SYNC)?;
        }
        Ok(())
    }

    /// What the `i`th set says, taken from the table as it is now.
    fn prio_entries(&self, i: usize) -> impl Iterator<Item = PrioEntry> + '_ {
        let per = usize_from_u32(self.geo.prios_per_bucket());
        let start = i.saturating_mul(per);
        let numbers = start..start.saturating_add(per);
        let entries = self.buckets.prio_gens(numbers);
        entries.map(|(prio, gen)| PrioEntry::new(prio, gen))
    }

    /// The new buckets count now: notes them and frees the old ones.
    fn prio_replace(&self, pins: &[BucketPin]) {
        let mut at = self.prio.at.lock();
        for old in at.iter() {
            self.bucket_free(*old);
        }
        at.clear();
        for pin in pins {
            // There is room for all of them since the beginning.
            if at.push(pin.nr(), GFP_KERNEL).is_err() {
                self.set_error(format_args!("cannot note priority buckets"));
            }
        }
    }

    /// Reads the priorities of all buckets, beginning with the bucket named by the newest journal
    /// entry.
    ///
    /// # Errors
    ///
    /// `EIO` if a set is unreadable, not of this cache, or outside of it.
    pub(crate) fn prio_read(&self, first: u64) -> Result {
        let mut io = self.prio.io.lock();
        let mut at = self.prio.at.lock();
        let mut bucket = first;
        let mut numbers = 0..self.geo.nbuckets();
        while !numbers.is_empty() {
            let nr = self.prio_bucket_nr(bucket)?;
            at.push(nr, GFP_KERNEL)?;
            let len = io.buf.len();
            io.used = usize::MAX;
            self.meta_read(self.geo.bucket_start(nr), &mut io.buf, 0..len)?;
            let set = parse_prio_set(crc64_be, io.buf.as_slice(), self.set_magic).map_err(|e| {
                pr_warn!("{}\n", Shown(e));
                EIO
            })?;
            let entries = set.entries.iter();
            self.buckets.load(
                BucketNr(numbers.start),
                entries.map(|entry| (entry.prio(), entry.gen())),
            );
            let read = u32_from_usize_sat(set.entries.len());
            numbers.start = numbers.start.saturating_add(read);
            bucket = set.next_bucket;
            let seq = set.seq;
            io.seq = seq;
        }
        Ok(())
    }

    /// Checks a bucket number from the device.
    fn prio_bucket_nr(&self, bucket: u64) -> Result<BucketNr> {
        match u32::try_from(bucket) {
            Ok(nr) if nr >= self.geo.first_bucket().0 && nr < self.geo.nbuckets() => {
                Ok(BucketNr(nr))
            }
            _ => {
                pr_warn!("bad bucket {} reading priorities\n", bucket);
                Err(EIO)
            }
        }
    }

    /// gc: the buckets of the priorities are metadata (those being written are pinned). May sleep.
    pub(crate) fn prio_mark_buckets(&self) {
        for b in self.prio.at.lock().iter() {
            self.buckets.mark_metadata(*b);
        }
    }
}
