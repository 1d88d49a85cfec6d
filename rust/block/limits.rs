// SPDX-License-Identifier: GPL-2.0

//! Queue limits of our disk.
//!
//! C bcache: `bcache_device_init` in `drivers/md/bcache/super.c`. The limits of the devices below are not
//! inherited, except for the preferred I/O size: they split bios themselves.

use super::Bdev;
use crate::bindings as bch;
use kernel::{
    bindings,
    page::PAGE_SIZE, //
};

/// What differs between our disks.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Logical block in bytes.
    logical: u32,
    /// Physical block and smallest good I/O in bytes.
    physical: u32,
    /// Preferred I/O in bytes, 0 for none.
    io_opt: u32,
}

impl Limits {
    /// Limits for a disk with blocks of `block_size` bytes on `backing`. Any context.
    pub fn new(block_size: u32, backing: &Bdev) -> Limits {
        let too_large = usize::try_from(block_size).map_or(true, |b| b > PAGE_SIZE);
        Limits {
            logical: if too_large {
                backing.logical_block_size()
            } else {
                block_size
            },
            physical: block_size,
            io_opt: block_size.max(backing.io_opt()),
        }
    }

    /// Whether the block size was too large and the logical block size of the backing device is used
    /// instead.
    pub fn fell_back(&self) -> bool {
        self.logical != self.physical
    }

    /// Bytes of a logical block.
    pub fn logical_block_size(&self) -> u32 {
        self.logical
    }

    /// The C form.
    pub(super) fn to_raw(self) -> bindings::queue_limits {
        let mut lim: bindings::queue_limits = pin_init::zeroed();
        lim.max_hw_sectors = u32::MAX;
        lim.max_sectors = u32::MAX;
        lim.max_segment_size = u32::MAX;
        lim.max_segments = bindings::BIO_MAX_VECS as u16;
        lim.max_hw_discard_sectors = u32::MAX;
        lim.logical_block_size = self.logical;
        lim.physical_block_size = self.physical;
        lim.io_min = self.physical;
        lim.io_opt = self.io_opt;
        lim.features = bch::BLK_FEAT_WRITE_CACHE | bch::BLK_FEAT_FUA;
        lim
    }
}
