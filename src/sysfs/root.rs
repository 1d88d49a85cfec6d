// SPDX-License-Identifier: GPL-2.0

//! `/sys/fs/bcache`: registration. C: `register_bcache`, `bch_pending_bdevs_cleanup` in `super.c`.

use super::store;
use crate::{
    register,
    registry::Registry, //
};
use bcache_kernel::sysfs::{
    Attr,
    SysfsObject, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl Registry {
    /// True once the machine goes down.
    pub(crate) fn rebooting(&self) -> bool {
        self.rebooting.get()
    }
}

/// The directory object; the registry itself.
pub(crate) struct Root(pub(crate) Arc<Registry>);

impl Root {
    fn rebooting(&self) -> bool {
        self.0.rebooting()
    }
}

impl SysfsObject for Root {
    const ATTRS: &'static [Attr<Self>] = &[
        Attr::wo(c"register", |root, text| {
            register::register(&root.0, text, false)
        }),
        Attr::wo(c"register_quiet", |root, text| {
            register::register(&root.0, text, true)
        }),
        Attr::wo(
            c"pendings_cleanup",
            store!(|root, _text| register::cleanup_pending(&root.0)),
        ),
    ];
}
