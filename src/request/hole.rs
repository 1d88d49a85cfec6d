// SPDX-License-Identifier: GPL-2.0

//! Reads that bypass the cache, of sectors that it does not have.
//!
//! One clone to the backing device answers them; what it gives is what the submitter gets.

use super::Stay;
use crate::writeback::Sent;
use bcache_kernel::block::{EndIo, OwnedBio, Status, UserBio};

/// A read on its way.
struct Hole {
    user: UserBio,
    sent: Sent,
    stay: Stay,
}

/// What the completion of the clone has to know; `None` while the clone is being made.
pub(super) struct HoleIo(Option<Hole>);

/// Sends the clone.
pub(super) fn send(stay: Stay, user: UserBio, start: u64) {
    let att = &stay.att;
    let (set, bdev) = (&att.dev.io.hole, &att.dev.bdev);
    let mut bio = set.clone_range(bdev, &user, 0, user.sectors(), HoleIo(None));
    bio.set_sector(start);
    let sent = att.sending();
    bio.data_mut().0 = Some(Hole { user, sent, stay });
    bio.submit();
}

impl EndIo for HoleIo {
    fn end_io(bio: OwnedBio<Self>, status: Status) {
        let opf = bio.opf();
        let HoleIo(Some(hole)) = bio.into_data() else {
            return;
        };
        let att = &hole.stay.att;
        att.answered(hole.sent);
        if status.is_ok() {
            att.mark_read(false, true);
        } else {
            att.dev.backing_failed(opf);
        }
        hole.user.end(status);
    }
}
