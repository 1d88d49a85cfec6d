// SPDX-License-Identifier: GPL-2.0

//! The kernel as the protocols see it, out of loom's primitives, and the run of a scenario.

use bcache_core::sync::{Event, Fault, Word};
use bcache_core::writeback::ratework::{Phase, Platform, RateState, RateWork};
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use model::Seen;
use std::any::Any;
use std::marker::PhantomData;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64 as Count, Ordering::Relaxed};
use std::sync::Arc;

/// Times that a thread may be interrupted where it need not, per interleaving; `LOOM_MAX_PREEMPTIONS` sets a higher bound
/// (all is found, and all is clean, with 4 too; that takes ten times as long).
pub const PREEMPTIONS: usize = 3;

pub const TOUCHED: &str = "touched a freed cache set";
pub const QUEUED: &str = "queued after the end";
pub const STILL_QUEUED: &str = "still queued at the end";
pub const HANGS: &str = "hangs";

/// Which mutant of the source is looked at.
pub trait Seeded: Send + Sync + 'static {
    const FAULT: Fault;
}

/// The source that ships.
pub struct None;

impl Seeded for None {
    const FAULT: Fault = Fault::None;
}

macro_rules! types {
    ($($fault:ident)+) => { $(pub struct $fault;)+ };
}

types! {
    NoWait NoCancel CancelFirst SecondStopReturns NotForGood QueueAfterCheck FlagClearedEarly NoWake
    EndForgetsStop ArmInTwoSteps BeginInTwoSteps RunsUnarmed ArmsAfterStop RetimesAlways
    EnterInTwoSteps EnterTooInTwoSteps LeaveInTwoSteps LeaveSilently IdleWithUsers
    PinsUnneeded UnpinInTwoSteps OldestStoredLate ReclaimsPinned
    QuitsSilently RequestKeepsCount CountsInTwoSteps LooksOnce LooksBeforeRaise LooksAtFlagAlone LeavesRaisedRate
    AsksNobody TakesAskingLate
}

/// What came of a scenario.
pub struct Outcome {
    /// What went wrong in any interleaving.
    pub wrong: Vec<&'static str>,
    /// Interleavings looked at: all, or those up to the first one that went wrong.
    pub runs: u64,
}

/// The end of a check that has found something.
const ENOUGH: &str = "enough";

/// Runs `f` in all interleavings, until something goes wrong.
pub fn check(f: impl Fn(&Seen) + Send + Sync + 'static) -> Outcome {
    let (seen, runs) = (Seen::default(), Arc::new(Count::new(0)));
    let mut builder = loom::model::Builder::new();
    let bound = builder.preemption_bound.unwrap_or(PREEMPTIONS);
    builder.preemption_bound = Some(bound.max(PREEMPTIONS));
    let (inner, count) = (seen.clone(), runs.clone());
    let checked = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            assert!(inner.all().is_empty(), "{ENOUGH}");
            count.fetch_add(1, Relaxed);
            f(&inner);
        })
    }));
    if let Err(panic) = checked {
        let text = text_of(&*panic);
        if text.starts_with("deadlock") {
            seen.expect(false, HANGS);
        } else if text != ENOUGH {
            resume_unwind(panic);
        }
    }
    Outcome {
        wrong: seen.all(),
        runs: runs.load(Relaxed),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default()
}

/// A shared word.
pub struct W<F>(AtomicU64, PhantomData<F>);

impl<F> W<F> {
    pub fn new() -> Self {
        Self(AtomicU64::new(0), PhantomData)
    }
}

impl<F: Seeded> Word for W<F> {
    const FAULT: Fault = F::FAULT;

    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.0.compare_exchange(old, new, SeqCst, SeqCst)
    }
    fn swap(&self, v: u64) -> u64 {
        self.0.swap(v, SeqCst)
    }
    fn fetch_add(&self, v: u64) -> u64 {
        self.0.fetch_add(v, SeqCst)
    }
}

/// Where one sleeps.
pub struct Sleep(Mutex<()>, Condvar);

impl Sleep {
    pub fn new() -> Self {
        Self(Mutex::new(()), Condvar::new())
    }
}

impl Event for Sleep {
    fn wake_all(&self) {
        drop(self.0.lock().unwrap());
        self.1.notify_all();
    }
    fn wait_until(&self, mut cond: impl FnMut() -> bool) {
        let mut guard = self.0.lock().unwrap();
        while !cond() {
            guard = self.1.wait(guard).unwrap();
        }
    }
}

/// The cache set: what must not be touched once it is freed.
pub struct CacheSet {
    freed: AtomicBool,
    io_disable: AtomicBool,
    pub seen: Seen,
}

impl CacheSet {
    pub fn new(seen: &Seen) -> Arc<Self> {
        Arc::new(Self {
            freed: AtomicBool::new(false),
            io_disable: AtomicBool::new(false),
            seen: seen.clone(),
        })
    }
    pub fn touch(&self) {
        self.seen.expect(!self.freed.load(SeqCst), TOUCHED);
    }
    pub fn free(&self) {
        self.freed.store(true, SeqCst);
    }
    pub fn set_error(&self) {
        self.io_disable.store(true, SeqCst);
    }
    pub fn io_disabled(&self) -> bool {
        self.io_disable.load(SeqCst)
    }
}

/// The work queue, as weak as the protocol allows: `cancel` does not wait for a running callback.
#[derive(Default)]
struct Queue {
    pending: bool,
    /// No callback will start any more: the worker may go home.
    closed: bool,
}

/// What the rate work runs on.
pub struct Kernel<F> {
    pub set: Arc<CacheSet>,
    state: Mutex<RateState>,
    queue: Mutex<Queue>,
    queued: Condvar,
    event: Sleep,
    fault: PhantomData<F>,
}

impl<F> Kernel<F> {
    pub fn new(set: &Arc<CacheSet>) -> Self {
        Self {
            set: set.clone(),
            state: Mutex::new(RateState::default()),
            queue: Mutex::new(Queue::default()),
            queued: Condvar::new(),
            event: Sleep::new(),
            fault: PhantomData,
        }
    }
}

impl<F: Seeded> Platform for Kernel<F> {
    const FAULT: Fault = F::FAULT;

    fn locked<R>(&self, f: impl FnOnce(&mut RateState) -> R) -> R {
        f(&mut self.state.lock().unwrap())
    }

    fn queue(&self) {
        let freed = self.set.freed.load(SeqCst);
        self.set.seen.expect(!freed, QUEUED);
        self.queue.lock().unwrap().pending = true;
        self.queued.notify_all();
    }

    fn requeue(&self) {
        self.queue();
    }

    fn cancel(&self) {
        self.queue.lock().unwrap().pending = false;
    }

    fn wake(&self) {
        self.event.wake_all();
    }

    fn wait_until(&self, cond: impl FnMut() -> bool) {
        self.event.wait_until(cond);
    }
}

pub type Work<F> = RateWork<Kernel<F>>;

/// A worker of the queue: runs `body` whenever the work is queued, until the queue is closed.
pub fn worker<F: Seeded>(work: &Work<F>, mut body: impl FnMut() -> bool) {
    let kernel = work.platform();
    loop {
        {
            let mut queue = kernel.queue.lock().unwrap();
            while !queue.pending && !queue.closed {
                queue = kernel.queued.wait(queue).unwrap();
            }
            if !queue.pending {
                return;
            }
            queue.pending = false;
        }
        work.run(&mut body);
    }
}

/// After `stop`: the set is freed.
pub fn free_set<F: Seeded>(work: &Work<F>) {
    let kernel = work.platform();
    kernel.set.free();
    let pending = kernel.queue.lock().unwrap().pending;
    let seen = &kernel.set.seen;
    seen.expect(work.phase() == Phase::Stopped, "not stopped");
    seen.expect(!pending, STILL_QUEUED);
}

/// The worker may go home.
pub fn close_queue<F: Seeded>(work: &Work<F>) {
    let kernel = work.platform();
    kernel.queue.lock().unwrap().closed = true;
    kernel.queued.notify_all();
}
