// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs: `rate_work` and `rate_steps` in `bcache/<backing device>` for each attached device.
//!
//! C has one file per set in `bcache`, which lists the keys of its index.

use crate::attach::Bond;
use bcache_core::text::RateWorkReport;
use bcache_kernel::{
    ratework::RateWatch,
    time::jiffies_to_msecs, //
};
use kernel::{
    debugfs::{Dir, File},
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

/// The files `rate_work` and `rate_steps` of an attached device. Dropping them removes them and waits for their
/// readers, who take no lock that sleeps.
pub(crate) struct RateWorkFile {
    _work: Pin<KBox<File<Source>>>,
    _steps: Pin<KBox<File<Arc<Bond>>>>,
}

/// The directory of the module, removed with the last clone of the value.
pub(crate) fn root() -> Dir {
    Dir::new(c"bcache")
}

impl RateWorkFile {
    /// Makes the files. A kernel without debugfs has none, which is no error. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(att: &Arc<Bond>, rate: RateWatch) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}", att.dev.name))?;
        let dir = att.dev.registry.debug.subdir(&name);
        let source = Source {
            att: att.clone(),
            rate,
        };
        let work = KBox::pin_init(
            dir.read_callback_file(c"rate_work", source, &|source: &Source, f| {
                core::fmt::Display::fmt(&source.report(), f)
            }),
            GFP_KERNEL,
        )?;
        let steps = KBox::pin_init(
            dir.read_callback_file(c"rate_steps", att.clone(), &|att: &Arc<Bond>, f| {
                core::fmt::Display::fmt(&att.wb.control.steps(), f)
            }),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _work: work,
            _steps: steps,
        })
    }
}
