// SPDX-License-Identifier: GPL-2.0

//! `/sys/block/<backing>/bcache`: a cached device. C: `bch_cached_dev` in `sysfs.c`.

use super::{
    bool_attr,
    dev_writeback,
    fmt,
    num_attr,
    ro_num,
    store, //
};
use crate::{
    attach_op,
    cached_dev::CachedDev,
    show::Shown, //
};
use bcache_core::{
    ondisk::{
        superblock::{BdevState, CacheMode, Superblock},
        uuid::Uuid,
    },
    text, //
};
use bcache_kernel::sysfs::{
    Attr,
    SysfsBuf,
    SysfsObject, //
};
use kernel::{
    prelude::*,
    sync::{Arc, ArcBorrow}, //
};

/// Bytes of a label in the superblock.
const LABEL_BYTES: usize = 32;

impl CachedDev {
    /// True once the machine goes down.
    pub(crate) fn rebooting(&self) -> bool {
        self.registry.rebooting()
    }
}

impl SysfsObject for CachedDev {
    const ATTRS: &'static [Attr<Self>] = &[
        Attr::wo(c"attach", store!(|dev, text| attach(dev, text))),
        Attr::wo(c"detach", store!(|dev, _text| detach(&dev))),
        Attr::wo(
            c"stop",
            store!(|dev, _text| {
                dev.stop();
                Ok(())
            }),
        ),
        Attr::rw(
            c"running",
            |dev, b| fmt::line(b, &u32::from(dev.flags.running.get())),
            store!(|dev, text| run(dev, text)),
        ),
        Attr::rw(
            c"cache_mode",
            |dev, b| fmt::choice(b, &text::CACHE_MODES, dev.tun.cache_mode.get()),
            store!(|dev, text| set_cache_mode(&dev, text)),
        ),
        Attr::rw(
            c"readahead_cache_policy",
            |dev, b| {
                fmt::choice(
                    b,
                    &text::READAHEAD_POLICIES,
                    dev.tun.readahead_cache_policy.get(),
                )
            },
            store!(|dev, text| {
                let policy = fmt::find(text, &text::READAHEAD_POLICIES)?;
                dev.tun.readahead_cache_policy.put(policy);
                Ok(())
            }),
        ),
        Attr::rw(
            c"stop_when_cache_set_failed",
            |dev, b| {
                fmt::choice(
                    b,
                    &text::STOP_MODES,
                    dev.tun.stop_when_cache_set_failed.get(),
                )
            },
            store!(|dev, text| {
                let mode = fmt::find(text, &text::STOP_MODES)?;
                dev.tun.stop_when_cache_set_failed.put(mode);
                Ok(())
            }),
        ),
        bool_attr!(c"writeback_metadata", tun.writeback_metadata),
        dev_writeback::RUNNING,
        dev_writeback::DELAY,
        dev_writeback::PERCENT,
        dev_writeback::RATE,
        dev_writeback::CONSIDER_FRAGMENT,
        dev_writeback::UPDATE_SECONDS,
        dev_writeback::I_TERM_INVERSE,
        dev_writeback::P_TERM_INVERSE,
        dev_writeback::FP_TERM_LOW,
        dev_writeback::FP_TERM_MID,
        dev_writeback::FP_TERM_HIGH,
        dev_writeback::MINIMUM,
        dev_writeback::MAXIMUM,
        dev_writeback::CONTROLLER,
        dev_writeback::LATENCY_TARGET,
        dev_writeback::DEBUG,
        ro_num!(c"io_errors", |dev| dev.io_errors.get()),
        num_attr!(
            c"io_error_limit",
            tun.io_error_limit,
            0,
            i32::MAX.unsigned_abs()
        ),
        Attr::rw(
            c"io_disable",
            |dev, b| fmt::line(b, &u32::from(dev.flags.io_disable.get())),
            store!(|dev, text| {
                if !fmt::truth(text)? {
                    return dev.allow_io();
                }
                dev.disable_io();
                Ok(())
            }),
        ),
        Attr::ro(c"dirty_data", |dev, b| fmt::sectors(b, dev.dirty_sectors())),
        Attr::ro(c"stripe_size", |dev, b| {
            fmt::sectors(b, dev.stripe_sectors())
        }),
        ro_num!(c"partial_stripes_expensive", |dev| u32::from(
            dev.flags.partial_stripes_expensive.get()
        )),
        Attr::rw(
            c"sequential_cutoff",
            |dev, b| fmt::line(b, &text::HPrint(i64::from(dev.tun.sequential_cutoff.get()))),
            store!(|dev, text| {
                dev.tun
                    .sequential_cutoff
                    .put(fmt::clamped(text, 0, u32::MAX)?);
                Ok(())
            }),
        ),
        Attr::wo(
            c"clear_stats",
            store!(|dev, _text| {
                dev.stats.clear_total();
                Ok(())
            }),
        ),
        Attr::ro(c"state", |dev, b| fmt::line(b, &state_name(dev.state()))),
        Attr::rw(
            c"label",
            show_label,
            store!(|dev, text| set_label(&dev, text)),
        ),
        Attr::ro(c"backing_dev_name", |dev, b| fmt::line(b, &dev.name)),
        Attr::ro(c"backing_dev_uuid", |dev, b| fmt::line(b, &dev.uuid)),
    ];
}

fn state_name(state: BdevState) -> &'static str {
    match state {
        BdevState::None => "no cache",
        BdevState::Clean => "clean",
        BdevState::Dirty => "dirty",
        BdevState::Stale => "inconsistent",
    }
}

fn attach(dev: ArcBorrow<'_, CachedDev>, text: &[u8]) -> Result {
    let uuid = text::parse_set_uuid(text).ok_or(EINVAL)?;
    let dev: Arc<CachedDev> = dev.into();
    let lists = dev.registry.inner.lock();
    let mut result = Err(ENOENT);
    for set in lists.sets.iter() {
        result = attach_op::attach(&lists, &dev, set, Some(&Uuid(uuid)));
        if result.is_ok() {
            return result;
        }
    }
    if result == Err(ENOENT) {
        pr_err!("Can't attach {}: cache set not found\n", Shown(Uuid(uuid)));
    }
    result
}

fn detach(dev: &CachedDev) -> Result {
    let _lists = dev.registry.inner.lock();
    if let Some(att) = dev.att.load() {
        att.detach();
    }
    Ok(())
}

fn run(dev: ArcBorrow<'_, CachedDev>, text: &[u8]) -> Result {
    if fmt::number(text)? == 0 {
        return Ok(());
    }
    let dev: Arc<CachedDev> = dev.into();
    let _lists = dev.registry.inner.lock();
    attach_op::run(&dev)
}

fn set_cache_mode(dev: &CachedDev, text: &[u8]) -> Result {
    let mode = fmt::find(text, &text::CACHE_MODES)?;
    let on_disk = CacheMode::from_raw(u64::from(mode)).ok_or(EINVAL)?;
    let _lists = dev.registry.inner.lock();
    if dev.tun.cache_mode.get() != mode {
        // Not in force if it cannot be written, so that the next store writes it, too.
        let before = dev.sb.with(|sb| sb.cache_mode());
        let change = |sb: &mut Superblock| sb.set_cache_mode(on_disk);
        dev.sb
            .try_update(change, |sb| sb.set_cache_mode(before))
            .inspect_err(|e| dev.count_superblock_error(*e))?;
        dev.tun.cache_mode.put(mode);
    }
    Ok(())
}

fn show_label(dev: &CachedDev, buf: &mut SysfsBuf<'_>) -> Result {
    let label = dev.sb.with(|sb| sb.label);
    let text = label.split(|&b| b == 0).next().unwrap_or_default();
    buf.push(text)?;
    buf.push(b"\n")
}

fn set_label(dev: &CachedDev, text: &[u8]) -> Result {
    if text.len() > LABEL_BYTES {
        return Err(EINVAL);
    }
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut label = [0u8; LABEL_BYTES];
    for (to, from) in label.iter_mut().zip(text) {
        *to = *from;
    }
    let _lists = dev.registry.inner.lock();
    let before = dev.sb.with(|sb| sb.label);
    dev.sb
        .try_update(|sb| sb.label = label, |sb| sb.label = before)
        .inspect_err(|e| dev.count_superblock_error(*e))?;
    if let Some(att) = dev.att.load() {
        att.set.uuid_set_label(att.inode, &label);
        att.set.uuid_write()?;
    }
    attach_op::announce(dev);
    Ok(())
}
