// SPDX-License-Identifier: GPL-2.0

//! Counting what is dirty when a device is attached.
//!
//! C: `bch_sectors_dirty_init` in `writeback.c`, with up to 12 threads; the leaves are in memory or read one after the
//! other here.

use crate::attach::Attachment;
use bcache_core::key::Pos;
use bcache_kernel::{
    memalloc,
    time, //
};
use kernel::prelude::*;

/// Behind every sector of a device.
pub(super) const MAX_SECTOR: u64 = u64::MAX >> 1;
/// Keys after which others may run.
const KEYS_AT_A_TIME: u32 = 4096;

impl Attachment {
    /// Counts the dirty sectors in the index. Nothing may write through the attachment yet. May sleep long.
    ///
    /// # Errors
    ///
    /// `EIO` if the index cannot be read.
    pub(crate) fn recount_dirty(&self) -> Result {
        let _noio = memalloc::noio();
        let mut at = 0;
        while let Some(next) = self.count_some(at)? {
            at = next;
            time::cond_resched();
        }
        Ok(())
    }

    /// Counts some keys from sector `from` on; gives where to go on.
    fn count_some(&self, from: u64) -> Result<Option<u64>> {
        let mut left = KEYS_AT_A_TIME;
        let mut next = None;
        let start = Pos::new(self.inode, from);
        let end = Pos::new(self.inode, MAX_SECTOR);
        self.set.btree_lookup(start, end, false, &mut |k| {
            let k = k.piece(from, MAX_SECTOR);
            if k.dirty() && self.set.usable_ptr(&k).is_some() {
                self.wb.dirty_add(k.start(), i64::from(k.size()));
            }
            left = left.saturating_sub(1);
            if left == 0 {
                next = Some(k.end());
            }
            left != 0
        })?;
        Ok(next)
    }
}
