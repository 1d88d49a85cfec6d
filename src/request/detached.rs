// SPDX-License-Identifier: GPL-2.0

//! Requests to a device without a cache: straight to the backing device.
//!
//! C: `detached_dev_do_request` and `detached_dev_end_io` in `request.c`.

use crate::cached_dev::CachedDev;
use bcache_kernel::{
    block::{Op, Status, UserBio, WholeBio, WholeIo, WholeSet},
    gate::Inside, //
};
use kernel::{
    sync::{Arc, ArcBorrow}, //
};

/// What the completion of a passed-on bio has to know. It is dropped after the count of the device, so that this is not the
/// last one: who waits for the pass has another.
pub(super) struct PassIo {
    _pass: Inside<()>,
}

/// Passes a bio on to the backing device. The submitter's context.
pub(super) fn submit(dev: ArcBorrow<'_, CachedDev>, user: UserBio, pass: Inside<()>) {
    if user.opf().op() == Op::Discard && dev.bdev.max_discard_sectors() == 0 {
        return user.end(Status::OK);
    }
    let sector = user.sector().saturating_add(dev.data_offset);
    let data = PassIo { _pass: pass };
    WholeBio::send(dev.into(), user, |dev: &CachedDev| &dev.bdev, sector, data);
}

impl WholeIo for PassIo {
    type Keeper = Arc<CachedDev>;

    fn set(dev: &CachedDev) -> &WholeSet<Self> {
        &dev.io.pass
    }

    fn end_io(bio: WholeBio<Self>, status: Status) {
        let (dev, opf) = (bio.kept(), bio.opf());
        if opf.is_write() {
            dev.unflushed.wrote();
        }
        if !status.is_ok() {
            dev.backing_failed(opf);
        }
        bio.end(status);
    }
}
