// SPDX-License-Identifier: GPL-2.0

//! Kernel buffers that devices can read and write.

use crate::bindings as bch;
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    new_condvar,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        CondVar,
        Mutex, //
    }, //
};

/// Larger buffers are not even tried to be had physically contiguous.
const MAX_CONTIGUOUS: usize = 1 << 20;

/// A zeroed, page-aligned buffer in kernel memory.
///
/// Physically contiguous where the memory allocator can provide it without effort, else mapped from
/// single pages. Freed on drop; not to be dropped in interrupt context.
///
/// # Invariants
///
/// `addr` is the start of an allocation of `len` bytes that this value owns, made by
/// `alloc_pages_exact` if `contiguous` and by `vzalloc` otherwise; all bytes are initialised. `len` is
/// a non-zero multiple of the page size, at most `isize::MAX`.
pub struct DmaBuf {
    addr: NonNull<u8>,
    len: usize,
    contiguous: bool,
}

// SAFETY: The buffer is plain memory that this value owns.
unsafe impl Send for DmaBuf {}
// SAFETY: Shared access only reads.
unsafe impl Sync for DmaBuf {}

impl DmaBuf {
    /// A zeroed buffer of at least `bytes`, rounded up to whole pages. May sleep; inside a `noio`
    /// scope it does no I/O.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` for a size of 0 or beyond 2 GiB.
    pub fn new(bytes: usize) -> Result<DmaBuf> {
        let len = Self::rounded(bytes)?;
        if let Some(buf) = Self::contiguous(len) {
            return Ok(buf);
        }
        // SAFETY: Plain call.
        let p = unsafe { bch::vzalloc(len) };
        // INVARIANT: Zeroed memory of `len` bytes.
        Ok(DmaBuf {
            addr: NonNull::new(p.cast()).ok_or(ENOMEM)?,
            len,
            contiguous: false,
        })
    }

    /// As [`DmaBuf::new`], but without trying hard: `None` if the memory is not there, or not in one piece.
    pub fn try_new(bytes: usize) -> Option<DmaBuf> {
        Self::contiguous(Self::rounded(bytes).ok()?)
    }

    fn rounded(bytes: usize) -> Result<usize> {
        let len = bytes.checked_next_multiple_of(PAGE_SIZE).ok_or(EINVAL)?;
        if len == 0 || len > (1 << 31) {
            return Err(EINVAL);
        }
        Ok(len)
    }

    /// A physically contiguous buffer of whole pages, if it can be had without effort.
    fn contiguous(len: usize) -> Option<DmaBuf> {
        if len > MAX_CONTIGUOUS {
            return None;
        }
        // SAFETY: Plain call.
        let p = unsafe { bch::zalloc_pages_exact(len) };
        // INVARIANT: Zeroed memory of `len` bytes.
        Some(DmaBuf {
            addr: NonNull::new(p.cast())?,
            len,
            contiguous: true,
        })
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: a buffer has at least one page.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The content.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: By the type invariant these bytes are ours and initialised; devices write to them
        // only during calls that borrow the buffer exclusively.
        unsafe { core::slice::from_raw_parts(self.addr.as_ptr(), self.len) }
    }

    /// The content, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: As in `as_slice`, and the buffer is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.addr.as_ptr(), self.len) }
    }

    /// The longest physically contiguous start of `range`: its first page, the offset in that page
    /// and the length. `None` if the range is empty or not inside the buffer.
    pub(crate) fn segment(&self, range: Range<usize>) -> Option<(*mut bindings::page, u32, u32)> {
        if range.start >= range.end || range.end > self.len {
            return None;
        }
        let offset = range.start % PAGE_SIZE;
        let room = if self.contiguous {
            range.end - range.start
        } else {
            (PAGE_SIZE - offset).min(range.end - range.start)
        };
        // SAFETY: `range.start` is inside the allocation, by the check above.
        let p = unsafe { self.addr.as_ptr().add(range.start) };
        // SAFETY: `p` is a mapped address of the kind that the function is for.
        let page = unsafe {
            if self.contiguous {
                bch::virt_to_page(p.cast())
            } else {
                bindings::vmalloc_to_page(p.cast())
            }
        };
        Some((page, u32::try_from(offset).ok()?, u32::try_from(room).ok()?))
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        let p = self.addr.as_ptr().cast();
        // SAFETY: By the type invariant we own the allocation, made by the matching function.
        unsafe {
            if self.contiguous {
                bindings::free_pages_exact(p, self.len);
            } else {
                bch::vfree(p);
            }
        }
    }
}

/// Buffers of one size with a reserve, so that somebody always makes progress without free memory.
///
/// Process context only.
#[pin_data]
pub struct DmaPool {
    bytes: usize,
    min: usize,
    #[pin]
    reserve: Mutex<KVec<DmaBuf>>,
    #[pin]
    returned: CondVar,
}

impl DmaPool {
    /// A pool with `min` (at least 1) buffers of `bytes` in reserve. May sleep.
    ///
    /// # Errors
    ///
    /// As [`DmaBuf::new`].
    pub fn new(min: usize, bytes: usize) -> Result<Arc<DmaPool>> {
        let min = min.max(1);
        let mut reserve = KVec::with_capacity(min, GFP_KERNEL)?;
        for _ in 0..min {
            reserve.push(DmaBuf::new(bytes)?, GFP_KERNEL)?;
        }
        Arc::pin_init(
            pin_init!(DmaPool {
                bytes,
                min,
                reserve <- new_mutex!(reserve, "DmaPool::reserve"),
                returned <- new_condvar!("DmaPool::returned"),
            }),
            GFP_KERNEL,
        )
    }

    /// A buffer with arbitrary content. Sleeps until one is there; never fails.
    pub fn get(this: &Arc<DmaPool>) -> PooledBuf {
        // Mapping single pages, as `DmaBuf::new` does, could wait for memory that only our I/O frees.
        let buf = match DmaBuf::try_new(this.bytes) {
            Some(buf) => buf,
            None => this.wait_for_one(),
        };
        PooledBuf {
            buf: Some(buf),
            pool: this.clone(),
        }
    }

    /// Takes a buffer from the reserve, waiting for one to come back if there is none.
    fn wait_for_one(&self) -> DmaBuf {
        let mut reserve = self.reserve.lock();
        loop {
            if let Some(buf) = reserve.pop() {
                return buf;
            }
            self.returned.wait(&mut reserve);
        }
    }

    /// Takes a buffer back into the reserve if that is not full.
    fn put(&self, buf: DmaBuf) {
        let mut reserve = self.reserve.lock();
        if reserve.len() < self.min {
            // The vector was made with this capacity, so the push cannot fail for memory; if it did,
            // the buffer would be freed.
            let _ = reserve.push_within_capacity(buf);
            self.returned.notify_one();
        }
    }
}

/// A buffer that goes back to its pool on drop. Process context.
pub struct PooledBuf {
    /// `None` only during drop.
    buf: Option<DmaBuf>,
    pool: Arc<DmaPool>,
}

impl PooledBuf {
    /// The buffer.
    pub fn dma_mut(&mut self) -> Option<&mut DmaBuf> {
        self.buf.as_mut()
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            self.pool.put(buf);
        }
    }
}
