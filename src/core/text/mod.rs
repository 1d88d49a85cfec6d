// SPDX-License-Identifier: GPL-2.0

//! The text formats of sysfs, in both directions, byte for byte as in C.
//!
//! C: `util.c`, `util.h`, `sysfs.c`, and `lib/kstrtox.c` for numbers.

mod choice;
mod hprint;
mod number;
mod report;
mod uuid;

pub use choice::{
    Choices,
    Shown,
    BDEV_STATES,
    CACHE_MODES,
    CONTROLLERS,
    ERROR_ACTIONS,
    READAHEAD_POLICIES,
    REPLACEMENT_POLICIES,
    STOP_MODES, //
};
pub use hprint::HPrint;
pub use number::{
    parse_bool,
    parse_clamped,
    parse_clamped_u32,
    parse_int_truth,
    parse_size,
    parse_u64,
    ParseError, //
};
pub use report::{
    BsetStats,
    DeviceReport,
    RateDebug,
    RateWorkReport,
    TeardownReport, //
};
pub use uuid::parse_set_uuid;

/// The text of a sysfs store as C sees it: everything before the first NUL.
fn text_of(buf: &[u8]) -> &[u8] {
    buf.split(|&b| b == 0).next().unwrap_or(&[])
}
