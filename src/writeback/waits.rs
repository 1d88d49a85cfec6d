// SPDX-License-Identifier: GPL-2.0

//! How long requests of users wait for the backing device.
//!
//! C: none. Taken only while `writeback_controller` is `latency`, and only of requests that go to the backing device:
//! a hit never gets here.

use crate::{
    attach::Attachment,
    flag::{Num, Num64},
    request::now_us, //
};
use bcache_core::writeback::{
    control::Law,
    latency::Waits, //
};

/// Sums since the attachment began; they wrap. Any context.
pub(crate) struct ForegroundWaits {
    count: Num,
    sum_us: Num64,
}

/// When a request was sent to the backing device, if that is to be known.
#[derive(Clone, Copy)]
pub(crate) struct Sent(Option<u32>);

impl ForegroundWaits {
    pub(super) const fn new() -> Self {
        Self {
            count: Num::new(0),
            sum_us: Num64::new(0),
        }
    }

    /// The sums so far.
    pub(super) fn sums(&self) -> Waits {
        Waits {
            count: self.count.get(),
            sum_us: self.sum_us.get(),
        }
    }
}

impl Attachment {
    /// A request of a user is about to be sent to the backing device. Any context.
    pub(crate) fn sending(&self) -> Sent {
        Sent((self.law() == Law::Latency).then(now_us))
    }

    /// It has ended. Any context.
    pub(crate) fn answered(&self, sent: Sent) {
        let Some(begin) = sent.0 else { return };
        let waits = &self.wb.control.waits;
        waits.sum_us.add(Waits::took_us(begin, now_us()));
        waits.count.add(1);
    }
}
