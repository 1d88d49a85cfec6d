// SPDX-License-Identifier: GPL-2.0

//! The end of a key of background writeback: flushed with others, then replaced by its clean twin.
//!
//! C: `write_dirty_finish` in `writeback.c`, for each key at once and without the flush.

use super::io::Flow;
use crate::{
    attach::Attachment,
    btree::Wait, //
};
use bcache_core::key::Key;
use bcache_kernel::{
    block::Status,
    time, //
};

/// Written keys after which the backing device is flushed.
const SETTLE_AT: usize = 128;
/// Milliseconds after which it is flushed for fewer.
const SETTLE_AFTER_MS: u32 = 1000;

impl Flow {
    /// Whether it is time to flush the backing device for what is written.
    pub(super) fn settle_due(&self) -> bool {
        let count = self.written.lock().len();
        let since = time::jiffies().wrapping_sub(self.settled.get());
        count >= SETTLE_AT || (count != 0 && since >= time::msecs_to_jiffies(SETTLE_AFTER_MS))
    }
}

impl Attachment {
    /// A key is written: it is settled with the next flush.
    pub(super) fn note_written(&self, key: Key) -> Result<(), Status> {
        // First: once it is in the other list it may be settled, and the same key may be on its way again.
        self.wb.keybuf.written(&key);
        // There is room for every key of the list.
        let kept = self.wb.flow.written.lock().push_within_capacity(key);
        kept.map_err(|_| Status::IOERR)
    }

    /// Makes what is written durable and the keys clean. The writeback thread; may sleep.
    pub(super) fn settle(&self) {
        let flow = &self.wb.flow;
        flow.settled.put(time::jiffies());
        if flow.written.lock().is_empty() {
            return;
        }
        // Only writes that completed before the flush are covered by it: later ones wait for the next.
        let count = flow.written.lock().len();
        let durable = self.dev.bdev.flush_sync().is_ok();
        if !durable {
            flow.errors.add(1);
            self.dev.count_backing_error();
        }
        for at in 0..count {
            let Some(key) = flow.written.lock().get(at).copied() else {
                break;
            };
            if durable {
                self.make_clean(&key);
            }
            self.wb.keybuf.remove(&key);
        }
        let mut left = count;
        flow.written.lock().retain(|_| {
            let stays = left == 0;
            left = left.saturating_sub(1);
            stays
        });
    }

    /// Replaces a dirty key by a clean one, as far as nobody wrote over it.
    fn make_clean(&self, key: &Key) {
        let mut clean = *key;
        clean.set_dirty(false);
        match self.set.btree_replace(&clean, key, Wait::All) {
            Ok(sectors) if sectors != 0 => {
                self.set.count.writeback_keys_done.add(1);
                self.wb.control.note_cleaned(sectors);
            }
            // Somebody has written there meanwhile.
            Ok(_) => {
                self.set.count.writeback_keys_failed.add(1);
            }
            // It is found again by the next scan, which shall not come at once.
            Err(_) => {
                self.set.count.writeback_keys_failed.add(1);
                self.wb.flow.errors.add(1);
            }
        }
    }
}
