// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs: `teardown` in `bcache/<backing device>` for each device and in `bcache/<UUID>` for each set, and
//! `rate_work` and `rate_steps` beside the former for each attached device.
//!
//! C has one file per set in `bcache`, which lists the keys of its index.

use crate::{
    attach::Bond,
    cache_set::CacheSet,
    cached_dev::CachedDev,
    waiting::Ends, //
};
use bcache_core::text::{
    DeviceReport,
    RateWorkReport,
    TeardownReport, //
};
use bcache_kernel::{
    debugfs::{DebugDir, DebugFile, Show},
    ratework::RateWatch,
    time::jiffies_to_msecs, //
};
use kernel::{
    fmt,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// What a reader of the file looks at. The cycle attachment -> tasks -> file -> attachment is broken by the end
/// of the attachment.
struct Source {
    att: Arc<Bond>,
    rate: RateWatch,
}

impl Source {
    fn report(&self) -> RateWorkReport {
        let dev = &self.att.dev;
        let (state, runs, since) = self.rate.look();
        RateWorkReport {
            state,
            period_s: self
                .att
                .law()
                .period(dev.tun.writeback_rate_update_seconds.get()),
            runs,
            last_run_ms: since.map(jiffies_to_msecs),
            requests: self.att.users(),
            waits_for: dev.waits_for(),
        }
    }
}

impl Show for Source {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(&self.report(), f)
    }
}

/// The steps of the controller.
struct Steps(Arc<Bond>);

impl Show for Steps {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(&self.0.wb.control.steps(), f)
    }
}

/// The files `rate_work` and `rate_steps` of an attached device. Dropping them removes them and waits for their
/// readers, who take no lock that sleeps.
pub(crate) struct RateWorkFile {
    _work: DebugFile<Source>,
    _steps: DebugFile<Steps>,
}

/// The directory of the module, removed with the last clone of the value.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn root() -> Result<Arc<DebugDir>> {
    DebugDir::new(c"bcache")
}

impl RateWorkFile {
    /// Makes the files. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(att: &Arc<Bond>, rate: RateWatch) -> Result<Self> {
        let dir = match att.dev.debug.lock().as_ref() {
            Some(of_device) => of_device.dir.clone(),
            None => return Err(ENODEV),
        };
        let source = Source {
            att: att.clone(),
            rate,
        };
        Ok(Self {
            _work: DebugFile::new(&dir, c"rate_work", source)?,
            _steps: DebugFile::new(&dir, c"rate_steps", Steps(att.clone()))?,
        })
    }
}

/// A device, as its file shows it. The cycle device -> file -> device is broken by the end of the device.
struct DeviceEnd(Arc<CachedDev>);

impl Show for DeviceEnd {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dev = &self.0;
        let report = DeviceReport {
            stopping: dev.flags.closing.get(),
            detaching: dev.att.load_with(|a| a.detaching.get()).unwrap_or(false),
            io_disable: dev.flags.io_disable.get(),
            openers: dev.openers.get(),
            requests: dev.gate.users(),
            waits_for: dev.waits_for(),
        };
        core::fmt::Display::fmt(&report, f)
    }
}

/// The directory of a device and its file `teardown`. Dropping it removes the file and waits for its readers, who take no lock
/// that sleeps.
pub(crate) struct DeviceDir {
    _file: DebugFile<DeviceEnd>,
    dir: Arc<DebugDir>,
}

impl DeviceDir {
    /// Makes both. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(dev: &Arc<CachedDev>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}", dev.name))?;
        let dir = dev.registry.debug.subdir(&name)?;
        Ok(Self {
            _file: DebugFile::new(&dir, c"teardown", DeviceEnd(dev.clone()))?,
            dir,
        })
    }
}

/// A set, as its file shows it. The cycle set -> file -> set is broken by the end of the set.
struct Ending(Arc<CacheSet>);

impl Show for Ending {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = TeardownReport {
            stopping: self.0.flags.stopping.get(),
            unregistering: self.0.flags.unregistering.get(),
            io_disable: self.0.io_disabled(),
            waits_for: self.0.waits_for(),
        };
        core::fmt::Display::fmt(&report, f)
    }
}

/// The file `teardown` of a set. Dropping it removes it and waits for its readers, who take no lock that sleeps.
pub(crate) struct TeardownFile {
    _file: DebugFile<Ending>,
}

impl TeardownFile {
    /// Makes the file. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(set: &Arc<CacheSet>) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}", set.uuid_text()))?;
        let dir = set.registry.debug.subdir(&name)?;
        Ok(Self {
            _file: DebugFile::new(&dir, c"teardown", Ending(set.clone()))?,
        })
    }
}
