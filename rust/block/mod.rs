// SPDX-License-Identifier: GPL-2.0

//! Block layer: devices below us, I/O to them, and a disk of our own.
//!
//! * [`Bdev`]: an open block device, with synchronous I/O for metadata; [`SbPage`]: its superblock.
//! * [`UserBio`]: a request to our disk; [`BioSet`] and [`OwnedBio`]: bios we send on, [`DoneBio`]: those that come back;
//!   [`WholeBio`]: a clone that is all of a request.
//! * [`Disk`], [`DiskOps`], [`Limits`]: the disk that user space sees.

mod bdev;
mod bio_set;
mod bvec;
mod defer;
mod disk;
mod disk_fops;
mod done_bio;
mod limits;
mod minor;
mod opf;
mod owned_bio;
mod plug;
mod sb_page;
mod sync_io;
mod user_bio;
mod whole_bio;

pub use self::{
    bdev::{
        Bdev,
        BdevName,
        DevT, //
    },
    bio_set::BioSet,
    defer::Deferred,
    disk::{
        Disk,
        DiskOps, //
    },
    done_bio::DoneBio,
    limits::Limits,
    minor::{
        Major,
        MinorId,
        MinorIds, //
    },
    opf::{
        Op,
        Opf,
        Status, //
    },
    owned_bio::{
        EndIo,
        OwnedBio, //
    },
    plug::plugged,
    sb_page::SbPage,
    user_bio::{
        SplitBio,
        UserBio, //
    },
    whole_bio::{
        Keeper,
        Kept,
        WholeBio,
        WholeIo,
        WholeSet, //
    },
};

/// Binary logarithm of the bytes of a sector, the block layer's unit.
pub(crate) const SECTOR_SHIFT: u32 = 9;
