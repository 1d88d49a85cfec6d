// SPDX-License-Identifier: GPL-2.0

//! Detecting sequential streams. C: `check_should_bypass`, `add_sequential` and `iohash` in
//! `request.c`.
//!
//! The last 128 streams of a device are remembered by where they ended, for 5 seconds each. A
//! request that starts where a stream ended continues it; any other request starts a stream in the
//! place of the least recently used one. A task that starts a new stream has the length of its last
//! one averaged in, so that a task of many long streams bypasses from their first byte.
//!
//! The table is a hash table with chains and a list in order of use, both of one-byte links between
//! 128 slots, so that every lookup is short and one lock per device is enough.

/// Streams remembered.
const SLOTS: usize = 128;
/// Bits of the hash.
const HASH_BITS: u32 = 7;
/// Slot numbers fit one byte; this one means none.
const NIL: u8 = 0xff;
/// Multiplier of the kernel's `hash_64`.
const GOLDEN_RATIO: u64 = 0x61c8_8646_80b5_83eb;
/// Weight of the average.
const WEIGHT: u64 = 8;

/// The history of one task, in bytes (`sequential_io` and `sequential_io_avg` of its
/// `task_struct`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TaskIo {
    /// Length of its current stream.
    pub sequential: u32,
    /// Average length of its streams.
    pub average: u32,
}

impl TaskIo {
    /// Averages the current stream in and forgets it.
    fn finish_stream(&mut self) {
        let sum = u64::from(self.average)
            .saturating_mul(WEIGHT.wrapping_sub(1))
            .saturating_add(u64::from(self.sequential));
        // A mean of two 32-bit numbers.
        self.average = u32::try_from(sum / WEIGHT).unwrap_or(u32::MAX);
        self.sequential = 0;
    }

    /// Sectors by which the task is judged.
    fn sectors(&self) -> u32 {
        self.sequential.max(self.average) / 512
    }
}

/// One stream.
#[derive(Clone, Copy)]
struct Stream {
    /// The sector behind its last request.
    end: u64,
    /// When it is forgotten, on the caller's clock.
    expires: u64,
    /// Its length in bytes.
    bytes: u32,
    /// Next slot of the same hash.
    chain: u8,
    /// Neighbours in order of use.
    older: u8,
    /// See `older`.
    newer: u8,
    /// Whether it is in a chain: unused slots are not.
    hashed: bool,
}

/// The recent streams of one device; the caller locks.
pub struct RecentIo {
    streams: [Stream; SLOTS],
    heads: [u8; SLOTS],
    oldest: u8,
    newest: u8,
}

/// The hash chain of an end sector.
fn bucket(sector: u64) -> usize {
    let hash = sector.wrapping_mul(GOLDEN_RATIO) >> (64 - HASH_BITS);
    usize::try_from(hash).unwrap_or(0)
}

impl RecentIo {
    /// No streams.
    pub fn new() -> Self {
        // All slots in order of number, the first one the oldest.
        let number = |i: usize| u8::try_from(i).unwrap_or(NIL);
        let last = SLOTS.saturating_sub(1);
        Self {
            streams: core::array::from_fn(|i| Stream {
                end: 0,
                expires: 0,
                bytes: 0,
                chain: NIL,
                older: i.checked_sub(1).map_or(NIL, number),
                newer: if i < last {
                    number(i.saturating_add(1))
                } else {
                    NIL
                },
                hashed: false,
            }),
            heads: [NIL; SLOTS],
            oldest: 0,
            newest: number(last),
        }
    }

    /// Notes a request of `sectors` at `start`; gives the sectors of the stream by which to judge
    /// it, from the stream it belongs to or the average of its task.
    ///
    /// `now` and `lifetime` are jiffies (the lifetime is 5 seconds).
    pub fn observe(
        &mut self,
        now: u64,
        lifetime: u64,
        start: u64,
        sectors: u32,
        task: &mut TaskIo,
    ) -> u32 {
        let (slot, mut bytes) = match self.find(now, start) {
            Some(found) => found,
            None => {
                task.finish_stream();
                (self.oldest, 0)
            }
        };
        // A stream of 4 GiB grows no more (C's check for the overflow).
        let more = sectors.checked_mul(512);
        if let Some(sum) = more.and_then(|m| bytes.checked_add(m)) {
            bytes = sum;
        }
        task.sequential = bytes;
        self.unhash(slot);
        if let Some(s) = self.get_mut(slot) {
            s.end = start.wrapping_add(u64::from(sectors));
            s.expires = now.wrapping_add(lifetime);
            s.bytes = bytes;
        }
        self.hash(slot);
        self.make_newest(slot);
        task.sectors()
    }

    /// The stream that ended at `start` and its length.
    fn find(&self, now: u64, start: u64) -> Option<(u8, u32)> {
        let mut slot = *self.heads.get(bucket(start))?;
        for _ in 0..SLOTS {
            let s = self.get(slot)?;
            if s.end == start && crate::arith::clock_diff(now, s.expires) < 0 {
                return Some((slot, s.bytes));
            }
            slot = s.chain;
        }
        None
    }

    fn get(&self, slot: u8) -> Option<&Stream> {
        self.streams.get(usize::from(slot))
    }

    fn get_mut(&mut self, slot: u8) -> Option<&mut Stream> {
        self.streams.get_mut(usize::from(slot))
    }

    /// Takes a slot out of its hash chain.
    fn unhash(&mut self, slot: u8) {
        let Some(s) = self.get_mut(slot).filter(|s| s.hashed) else {
            return;
        };
        s.hashed = false;
        let (end, after) = (s.end, s.chain);
        let Some(head) = self.heads.get_mut(bucket(end)) else {
            return;
        };
        if *head == slot {
            *head = after;
            return;
        }
        let mut before = *head;
        for _ in 0..SLOTS {
            let Some(s) = self.get_mut(before) else {
                return;
            };
            if s.chain == slot {
                s.chain = after;
                return;
            }
            before = s.chain;
        }
    }

    /// Puts a slot at the head of the chain of its end.
    fn hash(&mut self, slot: u8) {
        let Some(end) = self.get(slot).map(|s| s.end) else {
            return;
        };
        let Some(head) = self.heads.get_mut(bucket(end)) else {
            return;
        };
        let first = core::mem::replace(head, slot);
        if let Some(s) = self.get_mut(slot) {
            s.chain = first;
            s.hashed = true;
        }
    }

    /// Moves a slot to the end of the list in order of use.
    fn make_newest(&mut self, slot: u8) {
        if slot == self.newest {
            return;
        }
        let Some((older, newer)) = self.get(slot).map(|s| (s.older, s.newer)) else {
            return;
        };
        match self.get_mut(older) {
            Some(s) => s.newer = newer,
            None => self.oldest = newer,
        }
        if let Some(s) = self.get_mut(newer) {
            s.older = older;
        }
        let last = self.newest;
        if let Some(s) = self.get_mut(last) {
            s.newer = slot;
        }
        if let Some(s) = self.get_mut(slot) {
            s.older = last;
            s.newer = NIL;
        }
        self.newest = slot;
    }
}

impl Default for RecentIo {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
