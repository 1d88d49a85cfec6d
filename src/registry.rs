// SPDX-License-Identifier: GPL-2.0

//! All sets and devices, and the one place from which their ends are driven.
//!
//! C ends objects through closures whose last reference runs a continuation somewhere. Here every event
//! that may allow an object to end (last close, writeback thread through, set error, stop asked for) only
//! sets a flag and *kicks* the registry; its work item looks which object may take its next step, claims
//! that step under the register lock and runs it as a job in process context. A step is claimed by a one-way flag, so it
//! runs exactly once. Which step may come next is decided by `bcache_core::state::ends`; `teardown.rs` has the steps.

use crate::{
    attach::Bond,
    cache_set::CacheSet,
    cached_dev::CachedDev,
    debug,
    flag::{Flag, Num64},
    params::teardown_warn_seconds,
    sysfs::root::Root,
    teardown,
    waiting::{long, Ends}, //
};
use bcache_core::state::ends::{
    self,
    AttachmentSeen,
    DeviceSeen,
    DeviceStep,
    SetSeen,
    SetStep, //
};
use bcache_kernel::{
    block::{Major, MinorIds},
    debugfs::DebugDir,
    delayed::{DelayedTask, Rearm},
    kobject::KObj,
    module::ModuleRef,
    notifier,
    time::jiffies,
    wait::WaitQueue,
    workqueue::Wq, //
};
use kernel::{
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        lock::{mutex::MutexBackend, Guard},
        Arc,
        Mutex, //
    },
    workqueue::{Work, WorkItem}, //
};

/// Devices that may exist: 2^20 minors, 128 each.
const MAX_DEVICES: u32 = (1 << 20) / crate::cached_dev::MINORS;
/// How long a reboot waits for the devices to stop, in milliseconds (C: 10 s).
const REBOOT_WAIT_MS: u32 = 10_000;

/// What the register lock guards.
pub(crate) struct Lists {
    /// Sets that run or are being torn down.
    pub(crate) sets: KVec<Arc<CacheSet>>,
    /// Backing devices, attached or not, until they are free.
    pub(crate) devs: KVec<Arc<CachedDev>>,
}

/// The register lock and what hangs on it. One per module.
#[pin_data]
pub(crate) struct Registry {
    /// The register lock: outermost lock of the driver.
    #[pin]
    pub(crate) inner: Mutex<Lists>,
    /// The machine goes down: no registration, no sysfs store any more; one way.
    pub(crate) rebooting: Flag,
    /// Going down, something was registered; one way.
    stopping_all: Flag,
    /// Going down, nothing is registered any more; one way.
    all_gone: Flag,
    /// The module is there, all of it; one way.
    pub(crate) open: Flag,
    pub(crate) major: Major,
    pub(crate) ids: Arc<MinorIds>,
    /// Teardown jobs and the look-around work.
    pub(crate) wq: Wq,
    /// Woken when an object left the lists.
    #[pin]
    pub(crate) gone: WaitQueue,
    /// `/sys/fs/bcache`; taken at module exit.
    #[pin]
    pub(crate) root: Mutex<Option<KObj<Root>>>,
    /// `bcache` in debugfs.
    pub(crate) debug: Arc<DebugDir>,
    #[pin]
    work: Work<Registry>,
    /// Looks around again when an end that was asked for will have taken long; taken at module exit.
    #[pin]
    late: Mutex<Option<DelayedTask>>,
    /// Since when the work of the registry waits for the register lock, in jiffies; 0 if it does not.
    blocked_since: Num64,
    /// Says when that has taken long; taken at module exit.
    #[pin]
    blocked: Mutex<Option<DelayedTask>>,
}

impl_has_work! {
    impl HasWork<Self> for Registry { self.work }
}

impl WorkItem for Registry {
    type Pointer = Arc<Registry>;

    fn run(this: Arc<Registry>) {
        if this.rebooting.get() {
            this.stop_all();
        }
        while let Some(step) = this.next_step() {
            step.start(&this);
        }
        this.look_for_late_ends();
    }
}

/// One claimed step of a teardown.
#[derive(Clone)]
pub(crate) enum Step {
    /// Free a stopped device that nobody has open.
    FreeDev(Arc<CachedDev>),
    /// End an attachment whose writeback thread is through.
    FinishDetach(Arc<Bond>),
    /// Ask the devices of a stopping set to detach or stop.
    StopDevices(Arc<CacheSet>),
    /// Close a set that no device is attached to any more.
    FinishSet(Arc<CacheSet>),
}

impl Step {
    /// Runs the step as a job of its own, or inline if there is no memory for a job.
    fn start(self, registry: &Registry) {
        let job = self.clone();
        if registry.wq.queue().spawn(move || job.run()).is_err() {
            // As a job has it: the end of the step kicks the registry, when there may be nothing else of the module any more.
            let _module = ModuleRef::get();
            self.run();
        }
    }

    fn run(self) {
        match self {
            Step::FreeDev(dev) => teardown::free_dev(&dev),
            Step::FinishDetach(att) => teardown::finish_detach(&att),
            Step::StopDevices(set) => teardown::stop_devices(&set),
            Step::FinishSet(set) => teardown::finish_set(&set),
        }
    }
}

impl Registry {
    /// Makes the registry of the module. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let major = Major::register(c"bcache")?;
        let ids = MinorIds::new(MAX_DEVICES)?;
        let wq = Wq::new(c"bcache_teardown", true, true, 0)?;
        let debug = debug::root()?;
        Arc::pin_init(
            pin_init!(Self {
                inner <- new_mutex!(
                    Lists { sets: KVec::new(), devs: KVec::new() },
                    "Registry::inner"
                ),
                rebooting: Flag::new(false),
                stopping_all: Flag::new(false),
                all_gone: Flag::new(false),
                open: Flag::new(false),
                major,
                ids,
                wq,
                gone <- WaitQueue::new(),
                root <- new_mutex!(None, "Registry::root"),
                debug,
                work <- new_work!("Registry::work"),
                late <- new_mutex!(None, "Registry::late"),
                blocked_since: Num64::new(0),
                blocked <- new_mutex!(None, "Registry::blocked"),
            }),
            GFP_KERNEL,
        )
    }

    /// From now on an end that takes long is said in the log. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn watch(self: &Arc<Self>) -> Result {
        let this = self.clone();
        *self.late.lock() = Some(DelayedTask::new(move |_| this.kick())?);
        let this = self.clone();
        *self.blocked.lock() = Some(DelayedTask::new(move |again| {
            this.look_whether_blocked(again)
        })?);
        Ok(())
    }

    /// The register lock, for the work of the registry. While somebody else has it no end can begin.
    fn lock_for_ends(&self) -> Guard<'_, Lists, MutexBackend> {
        self.blocked_since.put(jiffies().max(1));
        if let Some(blocked) = self.blocked.lock().as_ref() {
            blocked.mod_arm(long());
        }
        let lists = self.inner.lock();
        self.blocked_since.put(0);
        lists
    }

    /// Says that no end can begin, if that has been so for long; else looks again when it will have been.
    fn look_whether_blocked(&self, again: &Rearm<'_>) {
        let since = self.blocked_since.get();
        if since == 0 {
            return;
        }
        match long().saturating_sub(jiffies().wrapping_sub(since)) {
            0 => pr_warn!(
                "nothing can end before another registration, attach or detach, which takes more than {} seconds\n",
                teardown_warn_seconds()
            ),
            left => drop(again.arm(left)),
        }
    }

    /// The end of [`Self::watch`], and of what holds the registry itself. May sleep.
    pub(crate) fn unwatch(&self) {
        let late = self.late.lock().take();
        drop(late);
        let blocked = self.blocked.lock().take();
        drop(blocked);
    }

    /// Looks for ends that others are in the way of. May sleep.
    fn look_for_late_ends(&self) {
        let lists = self.lock_for_ends();
        let devs = lists.devs.iter().filter_map(|d| d.look());
        let sets = lists.sets.iter().filter_map(|s| s.look());
        let due = Iterator::chain(devs, sets).min();
        drop(lists);
        if let (Some(due), Some(late)) = (due, self.late.lock().as_ref()) {
            late.mod_arm(due);
        }
    }

    /// Something may have become able to end. Any context.
    pub(crate) fn kick(self: &Arc<Self>) {
        // An error means the work is queued already: it will see what the caller changed.
        let _ = self.wq.queue().enqueue(self.clone());
    }

    /// Claims the next step that an object can take. May sleep.
    fn next_step(&self) -> Option<Step> {
        let lists = self.lock_for_ends();
        lists
            .devs
            .iter()
            .find_map(claim_of_device)
            .or_else(|| lists.sets.iter().find_map(claim_of_set))
    }

    /// The machine goes down: asks every set and every unattached device to stop. May sleep.
    fn stop_all(&self) {
        let lists = self.lock_for_ends();
        if lists.sets.is_empty() && lists.devs.is_empty() {
            drop(lists);
            self.all_gone.set();
            self.gone.wake_all();
            return;
        }
        if !self.stopping_all.set() {
            pr_info!("Stopping all devices:\n");
        }
        for set in lists.sets.iter() {
            set.flags.stopping.set();
            set.wake_all();
        }
        for dev in lists.devs.iter().filter(|d| d.att.load().is_none()) {
            dev.flags.closing.set();
        }
    }

    /// The reboot notifier (C: `bcache_reboot`): it lets the work of the registry stop everything, and waits for that,
    /// but not longer than ten seconds. Stopping takes the register lock, whose holder may be waiting for a disk that
    /// does not answer any more. That is why the work takes the lock, and not this function: the ten seconds then limit
    /// the wait for the lock, too.
    pub(crate) fn reboot(self: &Arc<Self>) {
        if self.rebooting.set() {
            return;
        }
        self.kick();
        let wait = bcache_kernel::time::msecs_to_jiffies(REBOOT_WAIT_MS);
        if !self.gone.wait_until_timeout(|| self.all_gone.get(), wait) {
            pr_notice!("Timeout waiting for devices to be closed\n");
        } else if self.stopping_all.get() {
            pr_info!("All devices stopped\n");
        }
    }
}

/// Claims the step that a device can take. The register lock is held.
fn claim_of_device(dev: &Arc<CachedDev>) -> Option<Step> {
    let att = dev.att.load();
    let attachment = match &att {
        None => AttachmentSeen::None,
        Some(att) if att.finishing.get() => AttachmentSeen::Finishing,
        Some(att) if att.detach_ready.get() => AttachmentSeen::Through,
        Some(att) if att.detaching.get() => AttachmentSeen::Detaching,
        Some(_) => AttachmentSeen::Attached,
    };
    let seen = DeviceSeen {
        stopped: dev.flags.closing.get(),
        open: dev.openers.get() != 0,
        freeing: dev.flags.freeing.get(),
        failed: att.as_ref().is_some_and(|a| {
            !a.set.io_disabled() && (dev.flags.io_disable.get() || a.wb.refused.get())
        }),
        attachment,
    };
    match (ends::device_step(seen)?, att) {
        (DeviceStep::FinishDetach, Some(att)) => {
            att.finishing.set();
            Some(Step::FinishDetach(att))
        }
        (DeviceStep::FinishDetach, None) => None,
        (DeviceStep::Free, _) => {
            dev.flags.freeing.set();
            Some(Step::FreeDev(dev.clone()))
        }
    }
}

/// Claims the step that a set can take. The register lock is held.
fn claim_of_set(set: &Arc<CacheSet>) -> Option<Step> {
    let flags = &set.flags;
    loop {
        let seen = SetSeen {
            failed: flags.io_disable.get(),
            stopping: flags.stopping.get(),
            told: flags.told_devices.get(),
            has_devices: set.has_devices(),
            finishing: flags.finishing.get(),
        };
        match ends::set_step(seen)? {
            SetStep::Retire => {
                flags.unregistering.set();
                flags.stopping.set();
            }
            SetStep::TellDevices => {
                flags.told_devices.set();
                return Some(Step::StopDevices(set.clone()));
            }
            SetStep::Finish => {
                flags.finishing.set();
                return Some(Step::FinishSet(set.clone()));
            }
        }
    }
}

/// Ties [`Registry::reboot`] to the kernel's reboot chain for as long as the value lives.
pub(crate) fn reboot_notifier(registry: &Arc<Registry>) -> Result<notifier::Reboot> {
    let registry = registry.clone();
    notifier::Reboot::register(move || registry.reboot())
}
