// SPDX-License-Identifier: GPL-2.0

//! I/O that is sent together.
//!
//! C: `blk_start_plug()` in [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h).

use crate::bindings as bch;
use kernel::types::Opaque;

/// Runs `f` and holds back what it sends, so that neighbours become one request. What was sent is on its way when this
/// returns, or earlier: when the task sleeps, or when it becomes much. Process context.
pub fn plugged<R>(f: impl FnOnce() -> R) -> R {
    let plug = Opaque::<bch::blk_plug>::uninit();
    // SAFETY: The plug does not move and is there until it is finished, in this same task: `f` cannot unwind.
    unsafe { bch::blk_start_plug(plug.get()) };
    let result = f();
    // SAFETY: It was started above.
    unsafe { bch::blk_finish_plug(plug.get()) };
    result
}
