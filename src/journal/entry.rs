// SPDX-License-Identifier: GPL-2.0

//! The open entry and the room for it.
//!
//! C: `struct journal`, `journal_wait_for_write`, `journal_reclaim`, `bch_journal_next` in
//! `journal.c`.

use super::pin::{
    JournalPin,
    PinRing, //
};
use bcache_core::{
    geometry::{
        Geometry,
        MAX_JSET_BYTES, //
    },
    journal::space::Space,
    key::Key,
    num::{
        u64_from_usize,
        usize_from_u32, //
    },
    ondisk::{
        bkey::to_words,
        jset::{
            JsetFields,
            JSET_HEADER_BYTES,
            MAX_CACHES, //
        }, //
    }, //
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::Arc, //
};

/// Slots of the ring of pins that only urgent entries may use.
const RING_RESERVE: u64 = 64;

/// What every entry names besides its keys.
pub(super) struct Heads {
    pub(super) root: Key,
    pub(super) level: u16,
    pub(super) uuid_bucket: Key,
    pub(super) prio_bucket: u64,
}

/// What the journal mutex guards.
pub(super) struct State {
    pub(super) geo: Geometry,
    /// Number of the cache device in its set.
    pub(super) dev: u16,
    pub(super) blocks_per_bucket: usize,
    pub(super) space: Space<KVVec<u64>>,
    /// `None` until the journal is open.
    pub(super) ring: Option<Arc<PinRing>>,
    pub(super) heads: Heads,
    /// Number of the open entry.
    pub(super) seq: u64,
    /// Its keys; the capacity is that of the largest entry.
    pub(super) words: KVec<u64>,
    /// When the first key was added, in jiffies.
    pub(super) since: Option<u64>,
    /// The open entry is to be written now,
    pub(super) wanted: bool,
    /// and may use reserved space.
    pub(super) urgent: bool,
    /// The newest entry on the device,
    pub(super) durable: u64,
    /// and its `last_seq`.
    pub(super) durable_last: u64,
}

/// An entry on its way to the device.
pub(super) struct Job {
    pub(super) fields: JsetFields,
    /// First sector.
    pub(super) sector: u64,
    pub(super) bytes: usize,
}

/// Whether the open entry can be written.
pub(super) enum Room {
    /// It can.
    Ready,
    /// Leaves with keys of entries up to this one must be written first.
    Flush(u64),
}

/// The most words of keys in an entry.
pub(super) const MAX_WORDS: usize = (MAX_JSET_BYTES - JSET_HEADER_BYTES) / 8;

impl State {
    /// A journal without buckets.
    pub(super) fn new(geo: &Geometry) -> Result<Self> {
        let blocks = geo
            .bucket_sectors()
            .checked_div(geo.block_sectors())
            .unwrap_or(0);
        let blocks = usize_from_u32(blocks);
        Ok(Self {
            geo: *geo,
            dev: 0,
            blocks_per_bucket: blocks,
            space: Space::new(KVVec::new(), blocks),
            ring: None,
            heads: Heads {
                root: Key::ZERO,
                level: 0,
                uuid_bucket: Key::ZERO,
                prio_bucket: 0,
            },
            seq: 0,
            words: KVec::with_capacity(MAX_WORDS, GFP_KERNEL)?,
            since: None,
            wanted: false,
            urgent: false,
            durable: 0,
            durable_last: 0,
        })
    }

    /// Whether nothing was added to the open entry.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Words of keys that fit into an entry of at most `blocks` blocks.
    fn words_in(&self, blocks: usize) -> usize {
        let bytes = blocks.saturating_mul(self.geo.block_bytes());
        bytes.min(MAX_JSET_BYTES).saturating_sub(JSET_HEADER_BYTES) / 8
    }

    /// Largest number of words of the open entry: what is left of the current bucket, else a new
    /// one.
    fn limit(&self) -> usize {
        match self.space.blocks_free() {
            0 => self.words_in(self.blocks_per_bucket),
            n => self.words_in(n),
        }
    }

    /// Whether `n` more words fit into the open entry.
    pub(super) fn has_room(&self, n: usize) -> bool {
        self.words.len().saturating_add(n) <= self.limit() || self.may_skip_rest()
    }

    /// Whether the rest of the current bucket can be given up: nothing is in the open entry. What is left of the reserve is
    /// used by that entry, as it is, which gives back a bucket.
    fn may_skip_rest(&self) -> bool {
        self.is_empty() && !self.space.in_reserve()
    }

    /// Adds keys of `n` words in all and pins the open entry; `Ok(None)` if there is no room.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no entry can hold them, or the journal is not open.
    pub(super) fn add(&mut self, keys: &[Key], n: usize) -> Result<Option<JournalPin>> {
        if n > self.words_in(self.blocks_per_bucket) {
            return Err(EINVAL);
        }
        if self.words.len().saturating_add(n) > self.limit() {
            if !self.may_skip_rest() {
                return Ok(None);
            }
            // The rest of the bucket is too small even for these keys alone.
            self.space.skip_rest();
        }
        let ring = self.ring.as_ref().ok_or(EINVAL)?;
        // The open entry is pinned until it is written.
        let pin = JournalPin::new(ring, self.seq).ok_or(EINVAL)?;
        for k in keys {
            for w in to_words(k).into_iter().take(k.words()) {
                // Within the capacity reserved in `new`.
                self.words.push(w, GFP_KERNEL)?;
            }
        }
        Ok(Some(pin))
    }

    /// Blocks of the open entry.
    fn blocks(&self) -> usize {
        let bytes = self
            .words
            .len()
            .saturating_mul(8)
            .saturating_add(JSET_HEADER_BYTES);
        bytes.div_ceil(self.geo.block_bytes().max(1))
    }

    /// Finds room for the open entry.
    pub(super) fn make_room(&mut self) -> Room {
        let Some(ring) = self.ring.clone() else {
            return Room::Flush(0);
        };
        let oldest = ring.reclaim();
        let ring_floor = if self.urgent { 1 } else { RING_RESERVE };
        if ring.free() < ring_floor {
            return Room::Flush(oldest);
        }
        let fits = self.blocks() <= self.space.blocks_free();
        if fits && !self.space.in_reserve() {
            return Room::Ready;
        }
        self.space.reclaim(self.durable_last);
        // An entry with today's `last_seq` frees a bucket as soon as it is durable: worth the
        // reserve.
        let helps = self.space.would_reclaim(oldest);
        if fits && (helps || self.urgent || !self.space.in_reserve()) {
            return Room::Ready;
        }
        if !fits && self.space.advance(false) {
            return Room::Ready;
        }
        if fits {
            return Room::Flush(self.space.oldest_needed().max(oldest));
        }
        if (helps || self.urgent) && self.space.advance(true) {
            return Room::Ready;
        }
        if helps {
            // Not even the reserve is left, which only a crash in the middle of using it can cause.
            // Then, as C always does, a bucket is reused that memory does not need any
            // more.
            self.space.reclaim(oldest);
            if self.space.advance(true) {
                return Room::Ready;
            }
        }
        Room::Flush(self.space.oldest_needed().max(oldest))
    }

    /// Closes the open entry for writing and opens the next; its words are exchanged for `words`,
    /// which must be empty. [`Self::make_room`] has said it is possible.
    pub(super) fn close(&mut self, set_magic: u64, words: &mut KVec<u64>) -> Option<Job> {
        let ring = self.ring.clone()?;
        let blocks = self.blocks();
        let (bucket, block) = self.space.take(blocks, self.seq)?;
        // The open entry is pinned, so this is not beyond it.
        let last_seq = ring.reclaim();
        let job = Job {
            fields: self.fields(set_magic, last_seq),
            sector: self.sector(bucket, block),
            bytes: blocks.saturating_mul(self.geo.block_bytes()),
        };
        let closed = self.seq;
        self.seq = ring.open()?;
        core::mem::swap(&mut self.words, words);
        self.since = None;
        self.wanted = false;
        self.urgent = false;
        ring.unpin(closed);
        Some(job)
    }

    fn fields(&self, set_magic: u64, last_seq: u64) -> JsetFields {
        let mut prio_bucket = [0; MAX_CACHES];
        if let Some(first) = prio_bucket.get_mut(usize::from(self.dev)) {
            *first = self.heads.prio_bucket;
        }
        JsetFields {
            set_magic,
            seq: self.seq,
            last_seq,
            uuid_bucket: self.heads.uuid_bucket,
            btree_root: self.heads.root,
            btree_level: self.heads.level,
            prio_bucket,
        }
    }

    /// The sector of a block of the ring.
    fn sector(&self, bucket: usize, block: usize) -> u64 {
        let size = u64::from(self.geo.bucket_sectors());
        let start = self.geo.bucket_start(self.geo.first_bucket());
        let block = u64_from_usize(block).saturating_mul(u64::from(self.geo.block_sectors()));
        u64_from_usize(bucket)
            .saturating_mul(size)
            .saturating_add(start)
            .saturating_add(block)
    }

    /// An entry is on the device.
    pub(super) fn written(&mut self, fields: &JsetFields) {
        self.durable = fields.seq;
        self.durable_last = fields.last_seq;
        self.space.reclaim(fields.last_seq);
        if let Some(ring) = &self.ring {
            ring.reclaim();
        }
    }
}
