// SPDX-License-Identifier: GPL-2.0

//! Finds the journal entries that are still needed.
//!
//! C: `bch_journal_read`, `journal_read_bucket` in `journal.c`, which search by bisection. Here the
//! first entry of each bucket is read: their numbers give the order in which the buckets were
//! filled. Then buckets are read completely from the newest back to the one that holds the newest
//! entry's `last_seq`.
//!
//! Whatever lies behind the last entry of the current lap in a bucket (a torn entry, entries of an
//! earlier lap) is not an entry, or has a number below `last_seq`.

use super::replay::{
    Entry,
    Newest,
    Replay, //
};
use crate::{
    cache_set::CacheSet,
    show::Shown, //
};
use bcache_core::{
    alloc::sort::heapsort,
    geometry::MAX_JSET_BYTES,
    journal::replay::SeqSpan,
    num::{
        u64_from_usize,
        usize_from_u32,
        PAGE_BYTES,
        SECTOR_SHIFT, //
    },
    ondisk::jset::{
        parse_jset,
        BadJset,
        Jset, //
    }, //
};
use bcache_kernel::{
    crc64::crc64_be,
    dma::DmaBuf, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// Bytes read at a time.
const WINDOW: usize = 256 * 1024;

/// A scan under way.
struct Scan<'a> {
    c: &'a CacheSet,
    buf: DmaBuf,
    bucket_bytes: usize,
    /// The entry read last in the bucket at hand.
    before: Option<u64>,
    found: Replay,
}

impl CacheSet {
    /// Reads the journal of `buckets` buckets. What it gives is empty if there is no entry.
    ///
    /// # Errors
    ///
    /// `EIO`, `ENOMEM`.
    pub(crate) fn journal_scan(&self, buckets: u32, dev: u16) -> Result<Replay> {
        let bucket_bytes = usize_from_u32(self.geo.bucket_sectors()) << SECTOR_SHIFT;
        let mut scan = Scan {
            c: self,
            buf: DmaBuf::new(bucket_bytes.min(WINDOW))?,
            bucket_bytes,
            before: None,
            found: Replay::new(dev),
        };
        let mut order = KVVec::new();
        for i in 0..buckets {
            if let Some(seq) = scan.first_seq(i)? {
                self.journal.scan_found(i, seq);
                order.push((seq, i), GFP_KERNEL)?;
            }
        }
        heapsort(&mut order);
        for (first, i) in order.iter().rev() {
            scan.read_bucket(*i)?;
            // What is still needed does not begin before this bucket.
            if scan
                .found
                .newest
                .as_ref()
                .is_some_and(|n| *first <= n.last_seq)
            {
                break;
            }
        }
        scan.found.finish()?;
        scan.found
            .check_buckets(order.iter().map(|(first, _)| *first));
        self.journal.scan_done();
        Ok(scan.found)
    }
}

impl Scan<'_> {
    fn start(&self, i: u32) -> u64 {
        let first = self.c.geo.bucket_start(self.c.geo.first_bucket());
        u64::from(i)
            .saturating_mul(u64::from(self.c.geo.bucket_sectors()))
            .saturating_add(first)
    }

    /// Number of the first entry in bucket `i`.
    ///
    /// Most entries fit into a page, and there are many buckets.
    fn first_seq(&mut self, i: u32) -> Result<Option<u64>> {
        let most = self.buf.len().min(MAX_JSET_BYTES);
        let mut len = most.min(PAGE_BYTES);
        loop {
            self.c.meta_read(self.start(i), &mut self.buf, 0..len)?;
            let block = self.buf.as_slice().get(..len).unwrap_or(&[]);
            match parse_jset(crc64_be, block, self.c.set_magic, most) {
                Ok(jset) => return Ok(Some(jset.seq)),
                Err(BadJset::Magic) => return Ok(None),
                Err(BadJset::Short) if len < most => len = most,
                Err(e) => {
                    pr_info!("journal bucket {}: {}\n", i, Shown(e));
                    return Ok(None);
                }
            }
        }
    }

    /// Collects all entries of bucket `i`.
    fn read_bucket(&mut self, i: u32) -> Result {
        let mut offset = 0usize;
        self.before = None;
        while offset < self.bucket_bytes {
            let len = self.buf.len().min(self.bucket_bytes.saturating_sub(offset));
            let sector = self
                .start(i)
                .saturating_add(u64_from_usize(offset >> SECTOR_SHIFT));
            self.c.meta_read(sector, &mut self.buf, 0..len)?;
            let done = self.read_window(i, offset, len)?;
            if done == 0 {
                break;
            }
            offset = offset.saturating_add(done);
        }
        Ok(())
    }

    /// Collects the entries in the window at `offset`; gives the bytes they take, 0 at the end of
    /// the bucket's entries.
    fn read_window(&mut self, i: u32, offset: usize, len: usize) -> Result<usize> {
        let block_bytes = self.c.geo.block_bytes();
        let left = self.bucket_bytes.saturating_sub(offset);
        let mut at = 0usize;
        while at < len {
            let rest = self.buf.as_slice().get(at..len).unwrap_or(&[]);
            let max = left.saturating_sub(at).min(MAX_JSET_BYTES);
            match parse_jset(crc64_be, rest, self.c.set_magic, max) {
                // What is left of the round before, or of an earlier life of the set: entries are
                // written one after the other.
                Ok(jset)
                    if self
                        .before
                        .is_some_and(|seq| seq.checked_add(1) != Some(jset.seq)) =>
                {
                    return Ok(0);
                }
                Ok(jset) => {
                    self.before = Some(jset.seq);
                    self.found.add(&jset)?;
                    at = at.saturating_add(jset.bytes_rounded(block_bytes));
                    let end = offset.saturating_add(at);
                    self.c.journal.scan_read(i, jset.seq, end);
                }
                // It goes on behind the window: read again from here.
                Err(BadJset::Short) if at != 0 => return Ok(at),
                Err(BadJset::Magic) => return Ok(0),
                Err(BadJset::Keys) => {
                    pr_err!(
                        "journal bucket {}: bad keys, offset {}\n",
                        i,
                        offset.saturating_add(at)
                    );
                    return Err(EIO);
                }
                Err(e) => {
                    pr_info!(
                        "journal bucket {}: {}, offset {}\n",
                        i,
                        Shown(e),
                        offset.saturating_add(at)
                    );
                    return Ok(0);
                }
            }
        }
        Ok(at)
    }
}

impl Replay {
    /// Takes an entry in, unless it is known not to be needed.
    fn add(&mut self, jset: &Jset<'_>) -> Result {
        if self.newest.as_ref().is_none_or(|n| jset.seq > n.seq) {
            self.newest = Some(Newest::of(jset, self.dev));
        }
        if self.newest.as_ref().is_some_and(|n| jset.seq < n.last_seq) {
            return Ok(());
        }
        let keys = self.keys.add(jset)?;
        let span = SeqSpan {
            seq: jset.seq,
            last_seq: jset.last_seq,
        };
        let entry = Entry { span, keys };
        self.entries.push(entry, GFP_KERNEL)?;
        Ok(())
    }
}
