// SPDX-License-Identifier: GPL-2.0

//! A bio of our own whose I/O is over.

use super::{
    bvec::Cursor,
    Bdev,
    EndIo,
    Opf,
    OwnedBio, //
};
use kernel::sync::Arc;

/// A bio that has completed: it has its data and pages, but the block layer has used up its position and its ties to the device.
/// It cannot be submitted as it is; [`DoneBio::reset`] makes it ready for other I/O. Any context.
pub struct DoneBio<T: EndIo>(OwnedBio<T>);

impl<T: EndIo> DoneBio<T> {
    /// `bio` has just completed.
    pub(super) fn new(bio: OwnedBio<T>) -> Self {
        Self(bio)
    }

    /// The data that came with the bio, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        self.0.data_mut()
    }

    /// Frees the bio and gives its data.
    pub fn into_data(self) -> T {
        self.0.into_data()
    }

    /// Operation and flags of the I/O that is over.
    pub fn opf(&self) -> Opf {
        self.0.opf()
    }

    /// Makes the bio ready for other I/O with its own pages, all of them. A clone has none any more: what comes of it
    /// transfers nothing.
    pub fn reset(mut self, dev: &Arc<Bdev>, opf: Opf, sector: u64) -> OwnedBio<T> {
        self.0.reset(dev, opf, sector);
        self.0
    }

    /// The part of the own pages that the I/O covered.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.0.cursor()
    }
}
