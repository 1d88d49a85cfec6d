// SPDX-License-Identifier: GPL-2.0

//! The `writeback_*` files of a cached device. C: `bch_cached_dev` in `sysfs.c`.

use super::{
    bool_attr,
    fmt,
    num_attr,
    store, //
};
use crate::cached_dev::CachedDev;
use bcache_core::text;
use bcache_kernel::{
    params,
    sysfs::Attr, //
};
use kernel::prelude::*;

/// Largest rate that can be stored, in sectors per second.
const MAX_RATE: u32 = i32::MAX.unsigned_abs();

pub(super) const RUNNING: Attr<CachedDev> = Attr::rw(
    c"writeback_running",
    |dev, b| fmt::line(b, &u32::from(dev.tun.writeback_running.get())),
    store!(|dev, text| set_running(&dev, text)),
);

pub(super) const DELAY: Attr<CachedDev> = Attr::rw(
    c"writeback_delay",
    |dev, b| fmt::line(b, &dev.tun.writeback_delay.get()),
    store!(|dev, text| {
        dev.tun
            .writeback_delay
            .put(fmt::clamped(text, 0, u32::MAX)?);
        wake(&dev);
        Ok(())
    }),
);

pub(super) const PERCENT: Attr<CachedDev> = Attr::rw(
    c"writeback_percent",
    |dev, b| fmt::line(b, &dev.tun.writeback_percent.get()),
    store!(|dev, text| set_percent(&dev, text)),
);

pub(super) const RATE: Attr<CachedDev> = Attr::rw(
    c"writeback_rate",
    |dev, b| fmt::sectors(b, dev.shown_rate()),
    store!(|dev, text| {
        dev.rate.set(fmt::clamped(text, 1, MAX_RATE)?);
        Ok(())
    }),
);

pub(super) const CONSIDER_FRAGMENT: Attr<CachedDev> = bool_attr!(
    c"writeback_consider_fragment",
    tun.writeback_consider_fragment
);

pub(super) const UPDATE_SECONDS: Attr<CachedDev> = Attr::rw(
    c"writeback_rate_update_seconds",
    |dev, b| fmt::line(b, &dev.tun.writeback_rate_update_seconds.get()),
    store!(|dev, text| {
        dev.tun
            .writeback_rate_update_seconds
            .put(fmt::clamped(text, 1, 60)?);
        if let Some(att) = dev.att.load() {
            att.retime_rate_work();
        }
        Ok(())
    }),
);

pub(super) const I_TERM_INVERSE: Attr<CachedDev> = num_attr!(
    c"writeback_rate_i_term_inverse",
    tun.writeback_rate_i_term_inverse,
    1,
    u32::MAX
);

pub(super) const P_TERM_INVERSE: Attr<CachedDev> = num_attr!(
    c"writeback_rate_p_term_inverse",
    tun.writeback_rate_p_term_inverse,
    1,
    u32::MAX
);

// The three gains stay strictly ordered. The lock keeps two writers from crossing them.
pub(super) const FP_TERM_LOW: Attr<CachedDev> = Attr::rw(
    c"writeback_rate_fp_term_low",
    |dev, b| fmt::line(b, &dev.tun.writeback_rate_fp_term_low.get()),
    store!(|dev, text| {
        let _lists = dev.registry.inner.lock();
        let hi = dev.tun.writeback_rate_fp_term_mid.get().saturating_sub(1);
        dev.tun
            .writeback_rate_fp_term_low
            .put(fmt::clamped(text, 1, hi)?);
        Ok(())
    }),
);

pub(super) const FP_TERM_MID: Attr<CachedDev> = Attr::rw(
    c"writeback_rate_fp_term_mid",
    |dev, b| fmt::line(b, &dev.tun.writeback_rate_fp_term_mid.get()),
    store!(|dev, text| {
        let _lists = dev.registry.inner.lock();
        let lo = dev.tun.writeback_rate_fp_term_low.get().saturating_add(1);
        let hi = dev.tun.writeback_rate_fp_term_high.get().saturating_sub(1);
        dev.tun
            .writeback_rate_fp_term_mid
            .put(fmt::clamped(text, lo, hi)?);
        Ok(())
    }),
);

pub(super) const FP_TERM_HIGH: Attr<CachedDev> = Attr::rw(
    c"writeback_rate_fp_term_high",
    |dev, b| fmt::line(b, &dev.tun.writeback_rate_fp_term_high.get()),
    store!(|dev, text| {
        let _lists = dev.registry.inner.lock();
        let lo = dev.tun.writeback_rate_fp_term_mid.get().saturating_add(1);
        dev.tun
            .writeback_rate_fp_term_high
            .put(fmt::clamped(text, lo, u32::MAX)?);
        Ok(())
    }),
);

pub(super) const MINIMUM: Attr<CachedDev> = num_attr!(
    c"writeback_rate_minimum",
    tun.writeback_rate_minimum,
    1,
    u32::MAX
);

// The three files that C does not have.
pub(super) const MAXIMUM: Attr<CachedDev> = Attr::rw(
    c"writeback_rate_maximum",
    |dev, b| fmt::line(b, &dev.tun.writeback_rate_maximum.get()),
    store!(|dev, text| {
        let maximum = fmt::clamped(text, 1, MAX_RATE)?;
        dev.tun.writeback_rate_maximum.put(maximum);
        if let Some(att) = dev.att.load() {
            att.bound_rate(maximum);
        }
        Ok(())
    }),
);

pub(super) const CONTROLLER: Attr<CachedDev> = Attr::rw(
    c"writeback_controller",
    |dev, b| fmt::choice(b, &text::CONTROLLERS, dev.tun.writeback_controller.get()),
    store!(|dev, text| {
        let law = fmt::find(text, &text::CONTROLLERS)?;
        dev.tun.writeback_controller.put(law);
        if let Some(att) = dev.att.load() {
            att.retime_rate_work();
            att.wake_writeback();
        }
        Ok(())
    }),
);

pub(super) const LATENCY_TARGET: Attr<CachedDev> = num_attr!(
    c"writeback_latency_target_us",
    tun.writeback_latency_target_us,
    1,
    u32::MAX
);

pub(super) const DEBUG: Attr<CachedDev> = Attr::ro(c"writeback_rate_debug", |dev, b| {
    fmt::whole(b, &dev.rate_debug())
});

fn wake(dev: &CachedDev) {
    if let Some(att) = dev.att.load() {
        att.wake_writeback();
    }
}

/// Without a set there is no thread to run: C then logs an error and keeps 0.
fn set_running(dev: &CachedDev, text: &[u8]) -> Result {
    let on = fmt::boolean(text)?;
    let _lists = dev.registry.inner.lock();
    match dev.att.load() {
        Some(att) => {
            dev.tun.writeback_running.put(on);
            att.wake_writeback();
        }
        None => {
            if on {
                pr_err!(
                    "{}: failed to run non-existent writeback thread\n",
                    dev.disk_name()
                );
            }
            dev.tun.writeback_running.clear();
        }
    }
    Ok(())
}

/// Stores the percentage; the rate follows, and the rate work of an attached device is armed, unless the attachment comes
/// to its end: that of a device that detaches has stopped for good.
fn set_percent(dev: &CachedDev, text: &[u8]) -> Result {
    let cutoff = params::cutoff_writeback();
    dev.tun
        .writeback_percent
        .put(fmt::clamped(text, 0, cutoff)?);
    if let Some(att) = dev.att.load() {
        att.arm_rate_work();
        att.wake_writeback();
    }
    Ok(())
}
