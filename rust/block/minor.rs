// SPDX-License-Identifier: GPL-2.0

//! Major number and disk numbers.
//!
//! C bcache: `bcache_major` and `bcache_device_idx` in `drivers/md/bcache/super.c`.

use bcache_core::num;
use kernel::{
    bindings,
    error::to_result,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Full, //
        },
        Arc,
        Mutex, //
    }, //
};

/// A registered major number for block devices; given back on drop.
pub struct Major {
    number: u32,
    name: &'static CStr,
}

impl Major {
    /// Registers `name` with a free major number. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if none is free; `ENOMEM`.
    pub fn register(name: &'static CStr) -> Result<Major> {
        // SAFETY: The name is a C string; there is no probe function.
        let number = unsafe { bindings::__register_blkdev(0, name.as_char_ptr(), None) };
        to_result(number.min(0))?;
        Ok(Major {
            number: u32::try_from(number)?,
            name,
        })
    }

    /// The number.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Major {
    fn drop(&mut self) {
        // SAFETY: Registered in `register` with the same name, given back once.
        unsafe { bindings::unregister_blkdev(self.number, self.name.as_char_ptr()) };
    }
}

/// Words of the map of used numbers.
const WORDS: usize = 128;

const _: () = assert!(num::usize_from_u32(MinorIds::MAX) == WORDS * 64);

/// The numbers of the disks: 2^20 minors of 128 each make 8192.
#[pin_data]
pub struct MinorIds {
    count: u32,
    #[pin]
    used: Mutex<[u64; WORDS]>,
}

impl MinorIds {
    /// How many numbers there can be.
    pub const MAX: u32 = 8192;

    /// The numbers below `count`, all free. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` for a count above [`MinorIds::MAX`].
    pub fn new(count: u32) -> Result<Arc<MinorIds>> {
        if count > Self::MAX {
            return Err(EINVAL);
        }
        Arc::pin_init(
            pin_init!(MinorIds {
                count,
                used <- new_mutex!([0; WORDS], "MinorIds::used"),
            }),
            GFP_KERNEL,
        )
    }

    /// The lowest free number. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOSPC`.
    pub fn alloc(self: &Arc<Self>) -> Result<MinorId> {
        let mut used = self.used.lock();
        let mut base = 0u32;
        for word in used.iter_mut() {
            let bit = word.trailing_ones();
            let index = base + bit;
            if let Some(mask) = 1u64.checked_shl(bit) {
                if index >= self.count {
                    break;
                }
                *word |= mask;
                return Ok(MinorId {
                    ids: self.clone(),
                    index,
                    held: AtomicFlag::new(true),
                });
            }
            base += u64::BITS;
        }
        Err(ENOSPC)
    }
}

/// The number of one disk; free again after [`MinorId::give_back`], or on drop. Process context.
pub struct MinorId {
    ids: Arc<MinorIds>,
    index: u32,
    held: AtomicFlag,
}

impl MinorId {
    /// `N` of `bcacheN`; another disk may have the number too once it was given back.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Lets the next disk have the number. The disk that had it must be deleted. May sleep.
    pub fn give_back(&self) {
        if !self.held.xchg(false, Full) {
            return;
        }
        let mut used = self.ids.used.lock();
        let word = usize::try_from(self.index / u64::BITS).ok();
        if let Some(word) = word.and_then(|w| used.get_mut(w)) {
            *word &= !(1u64 << (self.index % u64::BITS));
        }
    }
}

impl Drop for MinorId {
    fn drop(&mut self) {
        self.give_back();
    }
}
