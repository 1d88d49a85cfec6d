// SPDX-License-Identifier: GPL-2.0

//! Room for the open entry: what may be added to it, when it is to be written, and where it goes.
//!
//! C: `journal_wait_for_write`, `journal_reclaim`, `bch_journal_next` in `journal.c`.
//!
//! Keys are added only as long as the entry still finds room outside the reserve, and nobody else takes that room. So an
//! entry with keys never waits for buckets to be given up. The reserve is for entries without keys, of a block each: for
//! those that give back a bucket, and for urgent ones while inserts that wait for them still need the oldest bucket. Before
//! an urgent entry uses it, leaves are written, so that it shrinks for nothing else.
//!
//! Leaves are written for room while there is still some for users ([`Room::ahead`]), so that the entries of these
//! give back the oldest buckets. Only where that was not in time they wait, and an entry without keys is written for them.

use super::space::Space;
use crate::{
    arith::div_ceil,
    geometry::MAX_JSET_BYTES,
    num::{
        u64_from_usize,
        usize_from_u64_sat, //
    },
    ondisk::jset::JSET_HEADER_BYTES, //
};
use core::ops::DerefMut;

/// What the thread that writes entries has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Write the open entry: there is room.
    Write,
    /// Nothing: who waited for room has it.
    Rest,
    /// Write the leaves with keys of entries up to this one, and ask again.
    Flush(u64),
}

/// Where an entry goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Bucket of the ring.
    pub bucket: usize,
    /// First block in it.
    pub block: usize,
    /// Blocks of the entry.
    pub blocks: usize,
}

/// The ring, and what is asked of the open entry. The owner of the entry's keys says how many words it has (`filled`).
pub struct Room<S> {
    space: Space<S>,
    block_bytes: usize,
    /// The open entry is to be written now,
    wanted: bool,
    /// and may use the reserve: others cannot give up what they hold before it is written.
    urgent: bool,
    /// The most words that somebody waits to add; 0: nobody waits.
    short: usize,
    /// Since the last entry was closed, leaves with keys of entries up to this one have been written.
    flushed: u64,
    /// Up to here leaves were written ahead of time.
    ahead: u64,
    /// The open entry goes where a replay may have to read.
    last_resort: bool,
    /// `last_seq` of the newest entry on the device.
    durable_last: u64,
}

impl<S: DerefMut<Target = [u64]>> Room<S> {
    /// `space` with blocks of `block_bytes`; nothing is asked for.
    pub fn new(space: Space<S>, block_bytes: usize) -> Self {
        Self {
            space,
            block_bytes,
            wanted: false,
            urgent: false,
            short: 0,
            flushed: 0,
            ahead: 0,
            last_resort: false,
            durable_last: 0,
        }
    }

    /// The ring.
    pub fn space(&self) -> &Space<S> {
        &self.space
    }

    /// The ring, to tell it what a scan found.
    pub fn space_mut(&mut self) -> &mut Space<S> {
        &mut self.space
    }

    /// Replay begins at this entry: buckets with older ones only are free.
    pub fn replays_from(&mut self, seq: u64) {
        self.durable_last = seq;
        self.space.reclaim(seq);
    }

    /// The first entry that a replay would read, should the machine stop now.
    pub fn needed_from(&self) -> u64 {
        self.durable_last
    }

    /// The open entry is to be written now.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// It is to be written now, and others wait for that before they give up what they hold.
    pub fn want_urgently(&mut self) {
        self.wanted = true;
        self.urgent = true;
    }

    /// Whether the open entry may use what is kept for urgent ones.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether the open entry is to overwrite what a replay would need if the write is torn.
    pub fn is_last_resort(&self) -> bool {
        self.last_resort
    }

    /// Somebody waits to add `words`. [`Self::is_short`] tells when to try again.
    pub fn ask(&mut self, words: usize) {
        self.short = self.short.max(words);
    }

    /// Whether a request for `words` is still to be met.
    pub fn is_short(&self, words: usize) -> bool {
        self.short >= words && self.short != 0
    }

    /// Whether there is something to do before the open entry is old enough to be written.
    pub fn is_due(&self) -> bool {
        self.wanted || self.short != 0
    }

    /// Words of keys that fit into an entry of at most `blocks` blocks.
    fn words_in(&self, blocks: usize) -> usize {
        let bytes = blocks.saturating_mul(self.block_bytes);
        bytes.min(MAX_JSET_BYTES).saturating_sub(JSET_HEADER_BYTES) / 8
    }

    /// The most words of keys that an entry can have.
    pub fn largest(&self) -> usize {
        self.words_in(self.space.most())
    }

    /// The most words of keys for the open entry: what is left of the current bucket, else a new one; never the reserve.
    fn limit(&self) -> usize {
        self.words_in(match self.space.blocks_free() {
            _ if self.last_resort => 0,
            0 => self.space.left_next(false),
            _ => self.space.left_here(false),
        })
    }

    /// Whether the rest of the current bucket can be given up for so many words, because the open entry is empty.
    fn may_skip_rest(&self, filled: usize, words: usize) -> bool {
        filled == 0 && !self.last_resort && words <= self.words_in(self.space.left_next(false))
    }

    /// Whether `words` more fit into the open entry.
    pub fn has_room(&self, filled: usize, words: usize) -> bool {
        let fits = filled.saturating_add(words) <= self.limit();
        fits || self.may_skip_rest(filled, words) || words == 0
    }

    /// Takes room for `words` more, if there is any.
    pub fn add(&mut self, filled: usize, words: usize) -> bool {
        if !self.has_room(filled, words) {
            return false;
        }
        if words != 0 && filled.saturating_add(words) > self.limit() {
            // The rest of the bucket is too small even for these keys alone.
            self.space.skip_rest();
        }
        true
    }

    /// Blocks of the open entry.
    fn blocks(&self, filled: usize) -> usize {
        let bytes = filled.saturating_mul(8).saturating_add(JSET_HEADER_BYTES);
        let blocks = div_ceil(u64_from_usize(bytes), u64_from_usize(self.block_bytes));
        usize_from_u64_sat(blocks)
    }

    /// Those who asked for room have it.
    fn answer(&mut self, filled: usize) {
        if self.has_room(filled, self.short) {
            self.short = 0;
        }
    }

    /// Finds room for the open entry, or for those who want to add to it, where `oldest` is the oldest entry that is needed.
    pub fn turn(&mut self, filled: usize, oldest: u64) -> Turn {
        self.space.reclaim(self.durable_last);
        self.answer(filled);
        if self.last_resort {
            return Turn::Write;
        }
        let helps = self.space.would_reclaim(oldest);
        if filled == 0 && !self.wanted {
            if self.short == 0 {
                return Turn::Rest;
            }
            if !helps {
                // There is nothing to write that would make room.
                return self.flush(oldest);
            }
        }
        if self.place(self.blocks(filled), helps, oldest) {
            Turn::Write
        } else {
            self.flush(oldest)
        }
    }

    fn flush(&self, oldest: u64) -> Turn {
        Turn::Flush(self.space.oldest_needed().max(oldest))
    }

    /// Leaves with keys of entries up to this one are to be written now, before anybody has to wait for room: asked once for
    /// each bucket.
    pub fn ahead(&mut self) -> Option<u64> {
        let needed = self.space.oldest_needed();
        if !self.space.is_low() || needed <= self.ahead {
            return None;
        }
        self.ahead = needed;
        Some(needed)
    }

    /// Leaves have been written, as [`Turn::Flush`] asked for. Inserts under way may need those entries still.
    pub fn flushed(&mut self, upto: u64) {
        self.flushed = self.flushed.max(upto);
    }

    /// Sees to it that the current bucket has so many blocks.
    ///
    /// An entry that `helps`, with today's `last_seq`, frees a bucket as soon as it is durable: worth the reserve.
    fn place(&mut self, blocks: usize, helps: bool, oldest: u64) -> bool {
        let has_flushed = self.flushed >= self.space.oldest_needed();
        let any = helps || (self.urgent && has_flushed);
        if blocks <= self.space.left_here(any) {
            return true;
        }
        if blocks <= self.space.left_next(any) {
            return self.space.advance();
        }
        if !helps {
            return false;
        }
        // Not even the reserve is left. Then, as C always does, a bucket is reused that memory does not need any more.
        self.space.reclaim(oldest);
        self.last_resort = blocks <= self.space.left_next(true) && self.space.advance();
        self.last_resort
    }

    /// Takes the room for the open entry `seq`, which [`Self::turn`] has found, and opens the next; `None` if there is none.
    pub fn close(&mut self, filled: usize, seq: u64) -> Option<Place> {
        let blocks = self.blocks(filled);
        let (bucket, block) = self.space.take(blocks, seq)?;
        self.wanted = false;
        self.urgent = false;
        self.flushed = 0;
        self.last_resort = false;
        self.answer(0);
        Some(Place {
            bucket,
            block,
            blocks,
        })
    }

    /// An entry that names `last_seq` is on the device; the open one has `filled` words by now.
    pub fn written(&mut self, last_seq: u64, filled: usize) {
        self.durable_last = last_seq;
        self.space.reclaim(last_seq);
        self.answer(filled);
    }
}
