// SPDX-License-Identifier: GPL-2.0

//! The order in which background writeback writes to the backing device: that of the disk, whatever the order in which
//! the reads from the cache end.
//!
//! C: `writeback_sequence_next` in `writeback.c`. There each write is sent by itself. Here one that another one continues
//! waits for that one's data, so that the block layer makes one request of them: it sends what may go under one plug.

use super::io::DirtyReq;
use bcache_core::{
    key::Key,
    num::usize_from_u32,
    writeback::window, //
};
use bcache_kernel::job::Job;
use kernel::prelude::*;

/// As many places as there can be keys in flight.
const PLACES: u32 = window::MAX;
/// Keys that wait at most for one that continues them: half of what is in flight at least, so that the disk has work
/// meanwhile.
const RUN_KEYS: u32 = window::MIN / 2;
/// The same in sectors.
const RUN_SECTORS: u64 = 1024;

/// A key whose read was sent.
struct Place {
    start: u64,
    end: u64,
    /// Its data is there.
    job: Option<Job<DirtyReq>>,
}

/// Keys that are being read, or whose turn to be written has not come.
pub(super) struct Order {
    /// The next one to be written.
    next: u32,
    /// Behind the last one whose read was sent.
    sent: u32,
    places: KVec<Place>,
}

impl Order {
    /// Nothing is on its way. May sleep.
    pub(super) fn new() -> Result<Self> {
        let mut places = KVec::with_capacity(usize_from_u32(PLACES), GFP_KERNEL)?;
        for _ in 0..PLACES {
            let place = Place {
                start: 0,
                end: 0,
                job: None,
            };
            places.push(place, GFP_KERNEL)?;
        }
        Ok(Self {
            next: 0,
            sent: 0,
            places,
        })
    }

    /// The read of a key is about to be sent; gives its number. There are fewer keys in flight than places.
    pub(super) fn send(&mut self, key: &Key) -> u32 {
        let seq = self.sent;
        self.sent = seq.wrapping_add(1);
        if let Some(place) = self.place_mut(seq) {
            place.start = key.start();
            place.end = key.end();
        }
        seq
    }

    /// The data of a key is there, or could not be read; gives how many keys may be written now.
    pub(super) fn arrived(&mut self, seq: u32, job: Job<DirtyReq>) -> u32 {
        if let Some(place) = self.place_mut(seq) {
            place.job = Some(job);
        }
        self.may_go()
    }

    /// Takes the next key.
    pub(super) fn take(&mut self) -> Option<Job<DirtyReq>> {
        let next = self.next;
        let job = self.place_mut(next)?.job.take()?;
        self.next = next.wrapping_add(1);
        Some(job)
    }

    fn may_go(&self) -> u32 {
        // What lies together at the end of what is there.
        let (mut there, mut keys, mut sectors) = (0u32, 0u32, 0u64);
        let mut end = None;
        while let Some(place) = self.place(self.next.wrapping_add(there)) {
            let goes_on = end == Some(place.start);
            if place.job.is_none() {
                let waits = goes_on
                    && self.next.wrapping_add(there) != self.sent
                    && keys < RUN_KEYS
                    && sectors < RUN_SECTORS;
                return if waits {
                    there.saturating_sub(keys)
                } else {
                    there
                };
            }
            if !goes_on || keys >= RUN_KEYS || sectors >= RUN_SECTORS {
                (keys, sectors) = (0, 0);
            }
            keys = keys.saturating_add(1);
            sectors = sectors.saturating_add(place.end.saturating_sub(place.start));
            end = Some(place.end);
            there = there.saturating_add(1);
            if there >= PLACES {
                break;
            }
        }
        there
    }

    fn place(&self, seq: u32) -> Option<&Place> {
        self.places.get(usize_from_u32(seq % PLACES))
    }

    fn place_mut(&mut self, seq: u32) -> Option<&mut Place> {
        self.places.get_mut(usize_from_u32(seq % PLACES))
    }
}
