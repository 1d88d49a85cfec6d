// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that are read only.
//!
//! Those of the kernel crate have no owner: who keeps one open while the module goes, and closes it then, makes the kernel look
//! for its table of functions in memory that is not there any more. These keep the module loaded as long as they are open.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use core::ptr;
use kernel::{
    bindings,
    fmt,
    prelude::*,
    sync::Arc, //
};

/// An entry of debugfs, removed when the value is dropped, which waits for those who read from it. A kernel without debugfs has
/// none, which is no error.
///
/// # Invariants
///
/// The pointer is null, an error, or an entry that this value owns.
struct Entry(*mut bindings::dentry);

// SAFETY: debugfs does its own locking.
unsafe impl Send for Entry {}
// SAFETY: As above.
unsafe impl Sync for Entry {}

impl Drop for Entry {
    fn drop(&mut self) {
        #[cfg(CONFIG_DEBUG_FS)]
        // SAFETY: By the type invariant it is what this takes.
        unsafe {
            bindings::debugfs_remove(self.0)
        };
    }
}

/// A directory.
pub struct DebugDir {
    entry: Entry,
    _parent: Option<Arc<DebugDir>>,
}

impl DebugDir {
    /// A directory in the root of debugfs. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(name: &CStr) -> Result<Arc<Self>> {
        Self::inside(None, name)
    }

    /// A directory in this one. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn subdir(self: &Arc<Self>, name: &CStr) -> Result<Arc<Self>> {
        Self::inside(Some(self.clone()), name)
    }

    fn inside(parent: Option<Arc<Self>>, name: &CStr) -> Result<Arc<Self>> {
        let above = parent.as_ref().map_or(ptr::null_mut(), |p| p.entry.0);
        Ok(Arc::new(
            Self {
                entry: Self::create(above, name),
                _parent: parent,
            },
            GFP_KERNEL,
        )?)
    }

    #[cfg(CONFIG_DEBUG_FS)]
    fn create(above: *mut bindings::dentry, name: &CStr) -> Entry {
        // SAFETY: The name is a C string; the directory above, if there is one, is kept by the value that is made.
        // INVARIANT: A new entry, or what stands for none.
        Entry(unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), above) })
    }

    #[cfg(not(CONFIG_DEBUG_FS))]
    fn create(_: *mut bindings::dentry, _: &CStr) -> Entry {
        // INVARIANT: None.
        Entry(ptr::null_mut())
    }
}

/// What can be read from a file.
pub trait Show: Send + Sync + 'static {
    /// Writes all of it. The context of the reader, which may sleep; the end of the file waits for it.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A file that shows a `T` to root.
pub struct DebugFile<T: Show> {
    /// Goes before the data.
    _entry: Entry,
    _data: Arc<T>,
    _dir: Arc<DebugDir>,
}

impl<T: Show> DebugFile<T> {
    /// Makes the file. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(dir: &Arc<DebugDir>, name: &CStr, data: T) -> Result<Self> {
        let data = Arc::new(data, GFP_KERNEL)?;
        Ok(Self {
            _entry: Self::create(dir, name, &data),
            _data: data,
            _dir: dir.clone(),
        })
    }

    #[cfg(CONFIG_DEBUG_FS)]
    fn create(dir: &DebugDir, name: &CStr, data: &T) -> Entry {
        // SAFETY: The name is a C string, and the directory is kept by the value that is made, as is the data, which stays
        // where it is and goes after the entry. The functions of the table want just that.
        // INVARIANT: A new entry, or what stands for none.
        Entry(unsafe {
            bindings::debugfs_create_file_full(
                name.as_char_ptr(),
                0o400,
                dir.entry.0,
                ptr::from_ref(data).cast_mut().cast(),
                ptr::null(),
                &raw const table::Table::<T>::OPS.0,
            )
        })
    }

    #[cfg(not(CONFIG_DEBUG_FS))]
    fn create(_: &DebugDir, _: &CStr, _: &T) -> Entry {
        // INVARIANT: None.
        Entry(ptr::null_mut())
    }
}

#[cfg(CONFIG_DEBUG_FS)]
mod table {
    use super::Show;
    use crate::{
        this_module,
        AssertSync, //
    };
    use core::marker::PhantomData;
    use kernel::{
        bindings,
        fmt,
        prelude::*,
        seq_file::SeqFile,
        seq_print, //
    };

    /// The functions of files that show a `T`.
    pub(super) struct Table<T: Show>(PhantomData<T>);

    impl<T: Show> Table<T> {
        pub(super) const OPS: &'static AssertSync<bindings::file_operations> = &{
            let mut ops: bindings::file_operations = pin_init::zeroed();
            ops.owner = this_module();
            ops.open = Some(Self::open);
            ops.read = Some(bindings::seq_read);
            ops.llseek = Some(bindings::seq_lseek);
            ops.release = Some(bindings::single_release);
            AssertSync(ops)
        };

        /// # Safety
        ///
        /// Called by debugfs for a file that `DebugFile::create` made, and not after its removal.
        unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
            // SAFETY: By the caller's promise; the inode has what `create` was given.
            unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
        }

        /// # Safety
        ///
        /// Called by `seq_read` of such a file, of which debugfs lets nobody read after its removal.
        unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
            // SAFETY: `open` put it there: the data of a file that is there.
            let data = unsafe { &*(*seq).private.cast::<T>() };
            // SAFETY: By the caller's promise it is a live one, which is locked for us.
            let out = unsafe { SeqFile::from_raw(seq) };
            seq_print!(out, "{}", Shown(data));
            0
        }
    }

    /// A `T` as text.
    struct Shown<'a, T>(&'a T);

    impl<T: Show> fmt::Display for Shown<'_, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.show(f)
        }
    }
}
