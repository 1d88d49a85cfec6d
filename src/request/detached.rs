// SPDX-License-Identifier: GPL-2.0

//! Requests to a device without a cache: straight to the backing device.
//!
//! C: `detached_dev_do_request` and `detached_dev_end_io` in `request.c`.

use crate::cached_dev::CachedDev;
use bcache_kernel::{
    block::{EndIo, Op, Opf, OwnedBio, Status, UserBio},
    gate::Inside, //
};
use kernel::{
    sync::{Arc, ArcBorrow}, //
};

/// What the completion of a passed-on bio has to know. The pass is dropped last.
pub(super) struct PassIo {
    user: Option<UserBio>,
    opf: Opf,
    dev: Arc<CachedDev>,
    _pass: Inside<()>,
}

/// Passes a bio on to the backing device. The submitter's context.
pub(super) fn submit(dev: ArcBorrow<'_, CachedDev>, user: UserBio, pass: Inside<()>) {
    let opf = user.opf();
    if opf.op() == Op::Discard && dev.bdev.max_discard_sectors() == 0 {
        return user.end(Status::OK);
    }
    let sector = user.sector().saturating_add(dev.data_offset);
    let data = PassIo {
        user: None,
        opf,
        dev: dev.into(),
        _pass: pass,
    };
    let mut bio = dev
        .io
        .pass
        .clone_range(&dev.bdev, &user, 0, user.sectors(), data);
    bio.set_sector(sector);
    bio.data_mut().user = Some(user);
    bio.submit();
}

impl EndIo for PassIo {
    fn end_io(bio: OwnedBio<Self>, status: Status) {
        let mut data = bio.into_data();
        if data.opf.is_write() {
            data.dev.unflushed.wrote();
        }
        if !status.is_ok() {
            data.dev.backing_failed(data.opf);
        }
        if let Some(user) = data.user.take() {
            user.end(status);
        }
    }
}
