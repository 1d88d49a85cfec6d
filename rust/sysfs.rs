// SPDX-License-Identifier: GPL-2.0

//! Attribute files in sysfs.

use crate::{
    bindings,
    kobject::data_of, //
};
use core::marker::PhantomData;
use kernel::{
    ffi::c_char,
    page::PAGE_SIZE,
    prelude::*,
    str::as_char_ptr_in_const_context,
    sync::ArcBorrow, //
};

/// An object that can have a directory in sysfs, see [`KObj`](crate::kobject::KObj).
pub trait SysfsObject: Send + Sync + Sized + 'static {
    /// The files of the directory.
    const ATTRS: &'static [Attr<Self>];
}

/// The function that fills the buffer with the text of a file. May sleep.
pub type Show<T> = fn(&T, &mut SysfsBuf<'_>) -> Result;
/// The function that is given what was written to a file: 1 to 4096 bytes. May sleep.
pub type Store<T> = fn(ArcBorrow<'_, T>, &[u8]) -> Result;

/// One file. Made by the constructors, in a constant table.
///
/// Neither function may remove the directory it belongs to: that would wait for the function itself.
#[repr(C)]
pub struct Attr<T: 'static> {
    /// First, so that the pointer sysfs hands back is also one to the whole.
    attr: bindings::attribute,
    show: Option<Show<T>>,
    store: Option<Store<T>>,
    _object: PhantomData<fn(&T)>,
}

// SAFETY: The table is constant; the pointer in it is the name, a static string.
unsafe impl<T> Sync for Attr<T> {}

impl<T> Attr<T> {
    /// A file that all may read.
    pub const fn ro(name: &'static CStr, show: Show<T>) -> Self {
        Self::new(name, 0o444, Some(show), None)
    }

    /// A file that all may read and root may write.
    pub const fn rw(name: &'static CStr, show: Show<T>, store: Store<T>) -> Self {
        Self::new(name, 0o644, Some(show), Some(store))
    }

    /// A file that root may write.
    pub const fn wo(name: &'static CStr, store: Store<T>) -> Self {
        Self::new(name, 0o200, None, Some(store))
    }

    /// A file with mode bits `mode`. A missing function makes its operation fail with `EIO`.
    pub const fn new(
        name: &'static CStr,
        mode: u16,
        show: Option<Show<T>>,
        store: Option<Store<T>>,
    ) -> Self {
        let mut attr: bindings::attribute = pin_init::zeroed();
        attr.name = as_char_ptr_in_const_context(name);
        attr.mode = mode;
        Self {
            attr,
            show,
            store,
            _object: PhantomData,
        }
    }

    /// The C part.
    pub(crate) fn as_c(&'static self) -> *const bindings::attribute {
        core::ptr::from_ref(self).cast()
    }
}

/// The text of a file that is being read: one page.
///
/// Written to by `write!`. When the text is too long, `write!` fails and the read gives `EOVERFLOW`.
pub struct SysfsBuf<'a> {
    page: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl SysfsBuf<'_> {
    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` if they do not fit; the read fails then, whatever the caller makes of the error.
    pub fn push(&mut self, bytes: &[u8]) -> Result {
        let end = self.len.saturating_add(bytes.len());
        let Some(room) = self.page.get_mut(self.len..end) else {
            self.overflow = true;
            return Err(EOVERFLOW);
        };
        room.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

impl core::fmt::Write for SysfsBuf<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.push(s.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

/// Turns a result into what sysfs functions return.
fn to_ssize(r: Result<usize>) -> isize {
    match r {
        Ok(n) => isize::try_from(n).unwrap_or(isize::MAX),
        // An error number always fits.
        Err(e) => isize::try_from(e.to_errno()).unwrap_or(-1),
    }
}

/// `sysfs_ops.show` of a [`KObj<T>`](crate::kobject::KObj).
///
/// # Safety
///
/// To be called by sysfs only, for an attribute of `T::ATTRS`.
pub(crate) unsafe extern "C" fn show<T: SysfsObject>(
    kobj: *mut bindings::kobject,
    attr: *mut bindings::attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: `KObj::add` made the file from an `Attr<T>` with static storage, C part first.
    let attr = unsafe { &*attr.cast_const().cast::<Attr<T>>() };
    // SAFETY: sysfs keeps the kobject alive during the call, and it is that of a `KObj<T>`.
    let data = unsafe { data_of::<T>(kobj) };
    // SAFETY: sysfs hands us a zeroed page of our own; its last byte must stay free.
    let page = unsafe { core::slice::from_raw_parts_mut(buf.cast::<u8>(), PAGE_SIZE - 1) };
    let Some(show) = attr.show else {
        return to_ssize(Err(EIO));
    };
    let mut buf = SysfsBuf {
        page,
        len: 0,
        overflow: false,
    };
    let shown = show(data, &mut buf);
    to_ssize(match shown {
        Ok(()) if buf.overflow => Err(EOVERFLOW),
        Ok(()) => Ok(buf.len),
        Err(e) => Err(e),
    })
}

/// `sysfs_ops.store` of a [`KObj<T>`](crate::kobject::KObj).
///
/// # Safety
///
/// To be called by sysfs only, for an attribute of `T::ATTRS`.
pub(crate) unsafe extern "C" fn store<T: SysfsObject>(
    kobj: *mut bindings::kobject,
    attr: *mut bindings::attribute,
    buf: *const c_char,
    len: usize,
) -> isize {
    // SAFETY: As in `show`.
    let attr = unsafe { &*attr.cast_const().cast::<Attr<T>>() };
    // SAFETY: As in `show`.
    let data = unsafe { data_of::<T>(kobj) };
    // SAFETY: sysfs hands us `len` bytes that nobody writes during the call.
    let text = unsafe { core::slice::from_raw_parts(buf.cast::<u8>(), len) };
    let Some(store) = attr.store else {
        return to_ssize(Err(EIO));
    };
    to_ssize(store(data.as_arc_borrow(), text).map(|()| len))
}
