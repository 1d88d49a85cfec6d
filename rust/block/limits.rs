// SPDX-License-Identifier: GPL-2.0

//! Queue limits of our disk.
//!
//! C bcache: `bcache_device_init` in `drivers/md/bcache/super.c`. The limits of the devices below are not
//! inherited, except for the preferred I/O size: they split bios themselves.

use crate::bindings as bch;
use bcache_core::num;
use kernel::bindings;

/// What differs between our disks.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Logical and physical block and smallest good I/O, in bytes: a power of two from 512 to a page.
    pub block_size: u32,
    /// Preferred I/O in bytes, 0 for none; the block layer rounds it down to whole blocks.
    pub io_opt: u32,
}

impl Limits {
    /// The C form.
    pub(super) fn to_raw(self) -> bindings::queue_limits {
        let mut lim: bindings::queue_limits = pin_init::zeroed();
        lim.max_hw_sectors = u32::MAX;
        lim.max_sectors = u32::MAX;
        lim.max_segment_size = u32::MAX;
        lim.max_segments = num::u16_from_u32_sat(bindings::BIO_MAX_VECS);
        lim.max_hw_discard_sectors = u32::MAX;
        lim.logical_block_size = self.block_size;
        lim.physical_block_size = self.block_size;
        lim.io_min = self.block_size;
        lim.io_opt = self.io_opt;
        lim.features = bch::BLK_FEAT_WRITE_CACHE | bch::BLK_FEAT_FUA;
        lim
    }
}
