// SPDX-License-Identifier: GPL-2.0

//! Operation and flags of a bio, and its status.
//!
//! C header: [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

use crate::bindings as bch;
use core::ops::BitOr;
use kernel::{
    bindings,
    error::Error,
    prelude::*, //
};

/// What a bio asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Data from the device to memory.
    Read,
    /// Data from memory to the device.
    Write,
    /// Flush of the device's volatile cache, as an operation of its own. Flushes from above come as empty writes with
    /// [`Opf::PREFLUSH`] instead.
    Flush,
    /// Discard of a range; the bio has a size but no data.
    Discard,
    /// Anything else; the disk's limits keep such bios away from us.
    Other,
}

/// Operation and `REQ_*` flags of a bio (`blk_opf_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opf(u32);

impl Opf {
    /// The read operation.
    pub const READ: Opf = Opf(bindings::req_op_REQ_OP_READ);
    /// The write operation.
    pub const WRITE: Opf = Opf(bindings::req_op_REQ_OP_WRITE);

    /// Somebody waits for this I/O.
    pub const SYNC: Opf = Opf(bch::REQ_SYNC);
    /// Metadata.
    pub const META: Opf = Opf(bch::REQ_META);
    /// High priority.
    pub const PRIO: Opf = Opf(bch::REQ_PRIO);
    /// Completes when the data is on stable storage.
    pub const FUA: Opf = Opf(bch::REQ_FUA);
    /// Flush of the volatile cache before this I/O.
    pub const PREFLUSH: Opf = Opf(bch::REQ_PREFLUSH);
    /// Read ahead; may fail at any time.
    pub const RAHEAD: Opf = Opf(bch::REQ_RAHEAD);
    /// Whoever asks has another copy, and would rather have an error than a retry (`REQ_FAILFAST_DEV`, `_TRANSPORT`, `_DRIVER`).
    pub const FAILFAST: Opf = Opf(bch::REQ_FAILFAST_MASK);
    /// Background I/O.
    pub const BACKGROUND: Opf = Opf(bch::REQ_BACKGROUND);

    /// From the C value.
    pub(crate) const fn from_raw(v: u32) -> Opf {
        Opf(v)
    }

    /// The C value.
    pub(crate) const fn raw(self) -> u32 {
        self.0
    }

    /// The C value without the flags that describe how the *submitter* of a bio got and polls it; our
    /// own bios come from elsewhere.
    pub(crate) const fn for_submit(self) -> u32 {
        self.0 & !(bch::REQ_ALLOC_CACHE | bch::REQ_POLLED)
    }

    /// The operation without its flags.
    pub const fn op(self) -> Op {
        match self.0 & bch::REQ_OP_MASK {
            bindings::req_op_REQ_OP_READ => Op::Read,
            bindings::req_op_REQ_OP_WRITE => Op::Write,
            bindings::req_op_REQ_OP_FLUSH => Op::Flush,
            bindings::req_op_REQ_OP_DISCARD => Op::Discard,
            _ => Op::Other,
        }
    }

    /// Whether data or commands go to the device (odd operation numbers, as in C `op_is_write`).
    pub const fn is_write(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether any of the flags of `flags` is set. The operation in `flags` is ignored.
    pub const fn has(self, flags: Opf) -> bool {
        self.0 & flags.0 & !bch::REQ_OP_MASK != 0
    }

    /// The same with the flags of `flags` cleared; the operation stays.
    #[must_use]
    pub const fn without(self, flags: Opf) -> Opf {
        Opf(self.0 & !(flags.0 & !bch::REQ_OP_MASK))
    }
}

impl BitOr for Opf {
    type Output = Opf;

    fn bitor(self, rhs: Opf) -> Opf {
        Opf(self.0 | rhs.0)
    }
}

/// How a bio ended (`blk_status_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status(u8);

impl Status {
    /// Success.
    pub const OK: Status = Status(bch::BLK_STS_OK);
    /// The device failed.
    pub const IOERR: Status = Status(bch::BLK_STS_IOERR);
    /// The operation is not supported.
    pub const NOTSUPP: Status = Status(bch::BLK_STS_NOTSUPP);

    /// From the C value.
    pub(crate) const fn from_raw(v: u8) -> Status {
        Status(v)
    }

    /// The C value.
    pub(crate) const fn raw(self) -> u8 {
        self.0
    }

    /// Whether this is success.
    pub const fn is_ok(self) -> bool {
        self.0 == Self::OK.0
    }

    /// The error code of this status, as C `blk_status_to_errno`.
    pub fn to_result(self) -> Result {
        if self.is_ok() {
            return Ok(());
        }
        // SAFETY: A pure table look-up; unknown values give -EIO.
        let errno = unsafe { bindings::blk_status_to_errno(self.0) };
        Err(Error::from_errno(errno))
    }
}

impl From<Error> for Status {
    /// The status of an error code, as C `errno_to_blk_status`.
    fn from(e: Error) -> Status {
        // SAFETY: A pure table look-up; unknown values give `BLK_STS_IOERR`.
        Status(unsafe { bindings::errno_to_blk_status(e.to_errno()) })
    }
}
