// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs, each bound to one Rust object (C: `struct kobject` and `struct kobj_type`).

use crate::{
    bindings,
    module::ModuleRef,
    sysfs::{
        Attr,
        SysfsObject, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        static_lock_class,
        Arc,
        Mutex, //
    },
    types::Opaque, //
};

/// Lockdep wants one name pointer per class; a literal could be copied into each crate that inlines its user.
static NAME: &CStr = c"bcache kobject";

/// Something that has a directory in sysfs.
///
/// # Safety
///
/// [`raw_kobj`](Self::raw_kobj) must give a kobject that has been added to sysfs at some time and stays
/// valid as long as `self`. If its directory may go away while `self` lives, and by a function of this
/// crate, then [`alive`](Self::alive) must be what that function sets to `false` before.
pub unsafe trait AsKobj {
    /// The kobject.
    fn raw_kobj(&self) -> *mut bindings::kobject;

    /// The lock around "the directory exists".
    fn alive(&self) -> Option<&Mutex<bool>> {
        None
    }
}

/// Calls `f` while the directory of `obj` cannot go away.
fn with_dir<R>(obj: &dyn AsKobj, f: impl FnOnce(*mut bindings::kobject) -> Result<R>) -> Result<R> {
    let guard = obj.alive().map(|alive| alive.lock());
    if guard.as_ref().is_some_and(|alive| !**alive) {
        return Err(ENOENT);
    }
    f(obj.raw_kobj())
}

/// Makes the link `name` in the directory of `dir`, to that of `target`. May sleep.
///
/// # Errors
///
/// `ENOMEM`, `EEXIST`, or `ENOENT` if one of the directories is gone.
pub(crate) fn create_link(dir: &dyn AsKobj, name: &CStr, target: &dyn AsKobj) -> Result {
    with_dir(dir, |kobj| {
        // SAFETY: Both kobjects are valid; our directory cannot go away now, and that of the target
        // is looked up under a lock of sysfs.
        to_result(unsafe {
            bindings::sysfs_create_link(kobj, target.raw_kobj(), name.as_char_ptr())
        })
    })
}

/// Removes the link `name` from the directory of `dir`, if there is one. May sleep.
pub(crate) fn remove_link(dir: &dyn AsKobj, name: &CStr) {
    // Without a directory there is no link either, so the error means success.
    let _ = with_dir(dir, |kobj| {
        // SAFETY: The kobject is valid and has its directory.
        unsafe { bindings::sysfs_remove_link(kobj, name.as_char_ptr()) };
        Ok(())
    });
}

/// Where a new directory goes.
#[derive(Clone, Copy)]
pub enum Parent<'a> {
    /// `/sys/fs`.
    Fs,
    /// Below another object.
    Obj(&'a dyn AsKobj),
}

/// What a C kobject is embedded in. `kobj` is the first field: pointers to both are the same.
#[pin_data]
#[repr(C)]
struct Inner<T: SysfsObject> {
    #[pin]
    kobj: Opaque<bindings::kobject>,
    /// The directory exists; held shortly by all that use it, see [`KObj::del`].
    #[pin]
    alive: Mutex<bool>,
    data: Arc<T>,
    _module: Option<ModuleRef>,
}

impl<T: SysfsObject> Inner<T> {
    /// The operations of all attributes.
    const OPS: bindings::sysfs_ops = bindings::sysfs_ops {
        show: Some(crate::sysfs::show::<T>),
        store: Some(crate::sysfs::store::<T>),
    };

    /// The type of the kobject.
    const KTYPE: bindings::kobj_type = {
        let mut ktype: bindings::kobj_type = pin_init::zeroed();
        ktype.release = Some(release::<T>);
        ktype.sysfs_ops = &Self::OPS;
        ktype
    };
}

/// The object that the directory of `kobj` belongs to.
///
/// # Safety
///
/// `kobj` must be that of a [`KObj<T>`] and must stay valid for `'a`.
pub(crate) unsafe fn data_of<'a, T: SysfsObject>(kobj: *mut bindings::kobject) -> &'a Arc<T> {
    // SAFETY: By the requirement; the kobject is the first field of a `repr(C)` struct. `data` is not
    // written after the kobject was added.
    unsafe { &(*kobj.cast::<Inner<T>>()).data }
}

/// Called with the last reference of the kobject gone; process context.
///
/// # Safety
///
/// `kobj` must be that of a [`KObj<T>`].
unsafe extern "C" fn release<T: SysfsObject>(kobj: *mut bindings::kobject) {
    // Dropping the content runs module code, so that a reference of our own goes last.
    let module = ModuleRef::get();
    // SAFETY: `KObj::add` leaked the box, and this is called once, by the last user.
    drop(unsafe { Pin::new_unchecked(KBox::from_raw(kobj.cast::<Inner<T>>())) });
    drop(module);
}

/// A directory in sysfs with the attributes of `T`. It keeps its `T` alive, and so does every sysfs
/// operation that is running.
///
/// Dropping the value removes the directory as [`del`](Self::del) does; may sleep.
///
/// # Invariants
///
/// `kobj` is that of an [`Inner<T>`], and this value owns one reference of it.
pub struct KObj<T: SysfsObject> {
    kobj: NonNull<bindings::kobject>,
    _data: PhantomData<Arc<T>>,
}

// SAFETY: Kobjects may be used and put from any task; `T` is `Send + Sync` by `SysfsObject`.
unsafe impl<T: SysfsObject> Send for KObj<T> {}
// SAFETY: As above.
unsafe impl<T: SysfsObject> Sync for KObj<T> {}

impl<T: SysfsObject> KObj<T> {
    /// Makes the directory `name` with the attributes of `T` in it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EEXIST` if there is such a name, `ENOENT` if the parent's directory is gone.
    pub fn add(data: Arc<T>, parent: Parent<'_>, name: &CStr) -> Result<Self> {
        let this = Self::add_empty(data, parent, name)?;
        this.fill()?;
        Ok(this)
    }

    /// The first half of [`KObj::add`]: a directory without files. May sleep.
    ///
    /// To drop a value waits for all who are inside a file of it: who may not wait for them makes the files apart.
    ///
    /// # Errors
    ///
    /// As [`KObj::add`].
    pub fn add_empty(data: Arc<T>, parent: Parent<'_>, name: &CStr) -> Result<Self> {
        Self::add_holding(data, parent, name, Some(ModuleRef::get()))
    }

    /// The second half: the files, once. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; some of the files may be there then. `ENOENT` if the directory is gone.
    pub fn fill(&self) -> Result {
        with_dir(self, |_| {
            T::ATTRS.iter().try_for_each(|attr| self.add_file(attr))
        })
    }

    /// As [`KObj::add_empty`] for the one directory of the module itself: it does not keep the module loaded. The
    /// value must be dropped in the module's exit. May sleep.
    ///
    /// # Errors
    ///
    /// As [`KObj::add`].
    pub fn add_root(data: Arc<T>, parent: Parent<'_>, name: &CStr) -> Result<Self> {
        Self::add_holding(data, parent, name, None)
    }

    fn add_holding(
        data: Arc<T>,
        parent: Parent<'_>,
        name: &CStr,
        module: Option<ModuleRef>,
    ) -> Result<Self> {
        let inner = KBox::pin_init(
            pin_init!(Inner {
                kobj <- Opaque::ffi_init(|slot: *mut bindings::kobject| {
                    // SAFETY: `slot` is valid for writes and stays pinned; C wants it zeroed; the type
                    // is a constant with static storage.
                    unsafe {
                        slot.write(pin_init::zeroed());
                        bindings::kobject_init(slot, &Inner::<T>::KTYPE);
                    }
                }),
                alive <- Mutex::new(true, NAME, static_lock_class!()),
                data,
                _module: module,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The box is freed by `release` and does not move until then.
        let kobj = KBox::into_raw(unsafe { Pin::into_inner_unchecked(inner) }).cast();
        // SAFETY: `KBox` pointers are not null.
        let kobj = unsafe { NonNull::new_unchecked(kobj) };
        // INVARIANT: `kobject_init` made the first reference, it is ours. From here on `drop` cleans up.
        let this = Self {
            kobj,
            _data: PhantomData,
        };

        let add = |parent: *mut bindings::kobject| {
            // SAFETY: The kobject is initialised and not added yet; the parent is valid for the call
            // and referenced by it; the format takes one string.
            to_result(unsafe {
                bindings::kobject_add(
                    this.kobj.as_ptr(),
                    parent,
                    c"%s".as_char_ptr(),
                    name.as_char_ptr(),
                )
            })
        };
        match parent {
            // SAFETY: The kernel sets the variable at boot, before any module is loaded.
            Parent::Fs => add(unsafe { bindings::fs_kobj }),
            Parent::Obj(obj) => with_dir(obj, add),
        }?;
        Ok(this)
    }

    /// Makes one attribute file.
    fn add_file(&self, attr: &'static Attr<T>) -> Result {
        // SAFETY: The kobject is added; `attr` has static storage, and its C part is at its start.
        to_result(unsafe {
            bindings::sysfs_create_file_ns(self.kobj.as_ptr(), attr.as_c(), core::ptr::null())
        })
    }

    /// Makes the symbolic link `name` to the directory of `target`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EEXIST`, or `ENOENT` if one of the directories is gone.
    pub fn link(&self, name: &CStr, target: &dyn AsKobj) -> Result {
        create_link(self, name, target)
    }

    /// Removes the link `name`, if there is one. May sleep.
    pub fn unlink(&self, name: &CStr) {
        remove_link(self, name);
    }

    /// Removes the directory with all that is in it, and waits for running `show` and `store` functions.
    ///
    /// May sleep. Must not be called inside such a function of the same object: that waits for itself.
    /// The second call does nothing.
    pub fn del(&self) {
        let was_alive = core::mem::replace(&mut *self.inner().alive.lock(), false);
        // The lock is not held here: a `store` that we wait for may want to take it.
        if was_alive {
            // SAFETY: The kobject is valid; a kobject that was not added is accepted too.
            unsafe { bindings::kobject_del(self.kobj.as_ptr()) };
        }
    }

    /// The allocation that the kobject is in.
    fn inner(&self) -> &Inner<T> {
        // SAFETY: By the type invariants; nothing in it is borrowed exclusively after `add`.
        unsafe { &*self.kobj.as_ptr().cast::<Inner<T>>() }
    }
}

// SAFETY: The kobject lives as long as `self` by the type invariant, and `del` clears `alive` first.
unsafe impl<T: SysfsObject> AsKobj for KObj<T> {
    fn raw_kobj(&self) -> *mut bindings::kobject {
        self.kobj.as_ptr()
    }

    fn alive(&self) -> Option<&Mutex<bool>> {
        Some(&self.inner().alive)
    }
}

impl<T: SysfsObject> Drop for KObj<T> {
    fn drop(&mut self) {
        self.del();
        // SAFETY: By the type invariant we own one reference.
        unsafe { bindings::kobject_put(self.kobj.as_ptr()) };
    }
}
