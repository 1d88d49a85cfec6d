// SPDX-License-Identifier: GPL-2.0

//! The open entry and the room for it.
//!
//! C: `struct journal`, `journal_wait_for_write`, `bch_journal_next` in `journal.c`. Where it goes and what fits into it is
//! decided by [`Room`].

use super::pin::{
    JournalPin,
    PinRing, //
};
use bcache_core::{
    geometry::{
        Geometry,
        MAX_JSET_BYTES, //
    },
    journal::{
        room::{
            Room,
            Turn, //
        },
        space::Space, //
    },
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
    pub(super) room: Room<KVVec<u64>>,
    /// `None` until the journal is open.
    pub(super) ring: Option<Arc<PinRing>>,
    pub(super) heads: Heads,
    /// Number of the open entry.
    pub(super) seq: u64,
    /// Its keys; the capacity is that of the largest entry.
    pub(super) words: KVec<u64>,
    /// When the first key was added, in jiffies.
    pub(super) since: Option<u64>,
    /// The newest entry on the device.
    pub(super) durable: u64,
}

/// An entry on its way to the device.
pub(super) struct Job {
    pub(super) fields: JsetFields,
    /// First sector.
    pub(super) sector: u64,
    pub(super) bytes: usize,
}

/// The most words of keys in an entry.
pub(super) const MAX_WORDS: usize = (MAX_JSET_BYTES - JSET_HEADER_BYTES) / 8;

impl State {
    /// A journal without buckets.
    pub(super) fn new(geo: &Geometry) -> Result<Self> {
        Ok(Self {
            geo: *geo,
            dev: 0,
            room: Self::room(geo, KVVec::new()),
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
            durable: 0,
        })
    }

    /// A ring of buckets, none of which has been looked at.
    pub(super) fn room(geo: &Geometry, seqs: KVVec<u64>) -> Room<KVVec<u64>> {
        let blocks = geo.bucket_sectors().checked_div(geo.block_sectors());
        let blocks = usize_from_u32(blocks.unwrap_or(0));
        Room::new(Space::new(seqs, blocks), geo.block_bytes())
    }

    /// Whether nothing was added to the open entry.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether `n` more words fit into the open entry.
    pub(super) fn has_room(&self, n: usize) -> bool {
        self.room.has_room(self.words.len(), n)
    }

    /// Adds keys of `n` words in all and pins the open entry; `Ok(None)` if there is no room.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no entry can hold them, or the journal is not open.
    pub(super) fn add(&mut self, keys: &[Key], n: usize) -> Result<Option<JournalPin>> {
        if n > self.room.largest() {
            return Err(EINVAL);
        }
        if !self.room.add(self.words.len(), n) {
            return Ok(None);
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

    /// What the thread has to do; finds room for the open entry.
    pub(super) fn turn(&mut self) -> Turn {
        let Some(ring) = self.ring.clone() else {
            return Turn::Flush(0);
        };
        let oldest = ring.reclaim();
        let turn = self.room.turn(self.words.len(), oldest);
        let floor = if self.room.is_urgent() {
            1
        } else {
            RING_RESERVE
        };
        if turn == Turn::Write && ring.free() < floor {
            return Turn::Flush(oldest);
        }
        turn
    }

    /// Closes the open entry for writing and opens the next; its words are exchanged for `words`,
    /// which must be empty. [`Self::turn`] has said it is possible.
    pub(super) fn close(&mut self, set_magic: u64, words: &mut KVec<u64>) -> Option<Job> {
        let ring = self.ring.clone()?;
        let place = self.room.close(self.words.len(), self.seq)?;
        // The open entry is pinned, so this is not beyond it.
        let last_seq = ring.reclaim();
        let job = Job {
            fields: self.fields(set_magic, last_seq),
            sector: self.sector(place.bucket, place.block),
            bytes: place.blocks.saturating_mul(self.geo.block_bytes()),
        };
        let closed = self.seq;
        self.seq = ring.open()?;
        core::mem::swap(&mut self.words, words);
        self.since = None;
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
        self.room.written(fields.last_seq, self.words.len());
        if let Some(ring) = &self.ring {
            ring.reclaim();
        }
    }
}
