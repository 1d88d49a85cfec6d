// SPDX-License-Identifier: GPL-2.0

//! Reads that bypass the cache, of sectors that it does not have.
//!
//! One clone to the backing device answers them; what it gives is what the submitter gets.

use super::Stay;
use crate::{
    attach::Attachment,
    writeback::Sent, //
};
use bcache_kernel::{
    block::{Status, UserBio, WholeBio, WholeIo, WholeSet},
    gate::Inside, //
};

/// What the completion of the clone has to know.
pub(super) struct HoleIo(Sent);

/// Sends the clone.
pub(super) fn send(stay: Stay, user: UserBio, start: u64) {
    let data = HoleIo(stay.att.sending());
    WholeBio::send(stay.att, user, |att| &att.dev.bdev, start, data);
}

impl WholeIo for HoleIo {
    type Keeper = Inside<Attachment>;

    fn set(att: &Attachment) -> &WholeSet<Self> {
        &att.dev.io.hole
    }

    fn end_io(bio: WholeBio<Self>, status: Status) {
        let att = bio.kept();
        att.answered(bio.data().0);
        if status.is_ok() {
            att.mark_read(false, true);
        } else {
            att.dev.backing_failed(bio.opf());
        }
        bio.end(status);
    }
}
