// SPDX-License-Identifier: GPL-2.0

//! Major number and disk numbers.
//!
//! C bcache: `bcache_major` and `bcache_device_idx` in `drivers/md/bcache/super.c`.

use kernel::{
    bindings,
    error::to_result,
    new_mutex,
    prelude::*,
    sync::{
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

/// The numbers of the disks: 2^20 minors of 128 each make 8192.
#[pin_data]
pub struct MinorIds {
    #[pin]
    used: Mutex<[u64; WORDS]>,
}

impl MinorIds {
    /// How many numbers there are.
    pub const COUNT: u32 = 64 * WORDS as u32;

    /// All numbers free. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Arc<MinorIds>> {
        Arc::pin_init(
            pin_init!(MinorIds {
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
    pub fn alloc(this: &Arc<MinorIds>) -> Result<MinorId> {
        let mut used = this.used.lock();
        let mut base = 0u32;
        for word in used.iter_mut() {
            let bit = word.trailing_ones();
            if let Some(mask) = 1u64.checked_shl(bit) {
                *word |= mask;
                return Ok(MinorId {
                    ids: this.clone(),
                    index: base + bit,
                });
            }
            base += 64;
        }
        Err(ENOSPC)
    }
}

/// The number of one disk; free again on drop. Process context.
pub struct MinorId {
    ids: Arc<MinorIds>,
    index: u32,
}

impl MinorId {
    /// `N` of `bcacheN`.
    pub fn index(&self) -> u32 {
        self.index
    }
}

impl Drop for MinorId {
    fn drop(&mut self) {
        let mut used = self.ids.used.lock();
        let word = usize::try_from(self.index / 64).ok();
        if let Some(word) = word.and_then(|w| used.get_mut(w)) {
            *word &= !(1u64 << (self.index % 64));
        }
    }
}
