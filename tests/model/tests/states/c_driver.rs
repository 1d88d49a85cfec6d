// SPDX-License-Identifier: GPL-2.0

//! The C driver: flags `WB_RUNNING` and `RATE_DW_RUNNING`, the pointer `disk.c`, one slot in the work
//! queue, and the register lock. The negative control: the fault must be found.

use crate::{report, search, System};

/// The kworker.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Worker {
    Idle,
    /// Off the queue, before it says that it runs.
    Taken,
    Running,
    /// Past the first look at `WB_RUNNING`; `c` was read on entry.
    Looked,
    /// About to follow `c` and to look again.
    Used,
    Leaving,
}

/// A store to `writeback_percent`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Store {
    Wait,
    Locked,
    Armed,
}

/// Attach, detach, attach again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Attach(u8),
    Attaching(u8),
    Attached,
    Detaching,
    Cancel,
    CancelSync,
    Finish,
    Finishing,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct C {
    wb_running: bool,
    rate_running: bool,
    pending: bool,
    set: bool,
    detaching: bool,
    locked: bool,
    stores: u8,
    worker: Worker,
    store: Store,
    life: Life,
    /// The store refuses while the device detaches.
    mended: bool,
    /// A second arming at attach counts as a fault (C: `WARN_ON`).
    warns: bool,
}

impl C {
    fn new(mended: bool, warns: bool) -> Self {
        Self {
            wb_running: false,
            rate_running: false,
            pending: false,
            set: false,
            detaching: false,
            locked: false,
            stores: 2,
            worker: Worker::Idle,
            store: Store::Wait,
            life: Life::Attach(1),
            mended,
            warns,
        }
    }

    /// This state after `f`.
    fn with(mut self, f: impl FnOnce(&mut Self)) -> Self {
        f(&mut self);
        self
    }

    fn worker(&self, add: &mut impl FnMut(&'static str, Self)) -> Result<(), &'static str> {
        let to = |worker| self.with(|s| s.worker = worker);
        match self.worker {
            Worker::Idle if self.pending => add(
                "work: taken off the queue",
                to(Worker::Taken).with(|s| s.pending = false),
            ),
            Worker::Idle => (),
            Worker::Taken => add(
                "work: RATE_DW_RUNNING set",
                to(Worker::Running).with(|s| s.rate_running = true),
            ),
            Worker::Running if self.wb_running => {
                add("work: WB_RUNNING is set", to(Worker::Looked))
            }
            Worker::Running => add("work: WB_RUNNING is clear", to(Worker::Leaving)),
            Worker::Looked if !self.set => return Err("c->flags with c == NULL"),
            Worker::Looked => add("work: updates the rate", to(Worker::Used)),
            Worker::Used if self.wb_running && !self.set => return Err("c->flags with c == NULL"),
            Worker::Used => add(
                "work: looks whether to go on",
                to(Worker::Leaving).with(|s| s.pending |= s.wb_running),
            ),
            Worker::Leaving => add(
                "work: RATE_DW_RUNNING cleared",
                to(Worker::Idle).with(|s| s.rate_running = false),
            ),
        }
        Ok(())
    }

    fn store(&self, add: &mut impl FnMut(&'static str, Self)) {
        match self.store {
            Store::Wait if self.stores > 0 && !self.locked => add(
                "store: register lock taken",
                self.with(|s| (s.store, s.locked) = (Store::Locked, true)),
            ),
            Store::Wait => (),
            Store::Locked => add(
                "store: arms if attached",
                self.with(|s| {
                    s.store = Store::Armed;
                    if s.set && !(s.mended && s.detaching) && !s.wb_running {
                        (s.wb_running, s.pending) = (true, true);
                    }
                }),
            ),
            Store::Armed => add(
                "store: register lock released",
                self.with(|s| {
                    (s.store, s.locked) = (Store::Wait, false);
                    s.stores -= 1;
                }),
            ),
        }
    }

    fn life(&self, add: &mut impl FnMut(&'static str, Self)) -> Result<(), &'static str> {
        let to = |life| self.with(|s| s.life = life);
        match self.life {
            Life::Attach(_) | Life::Attached | Life::Finish if self.locked => (),
            Life::Attach(left) => add(
                "attach: register lock taken",
                to(Life::Attaching(left)).with(|s| s.locked = true),
            ),
            Life::Attaching(_) if self.wb_running && self.warns => {
                return Err("WARN: WB_RUNNING at attach")
            }
            Life::Attaching(left) => add(
                "attach: armed",
                to(if left > 0 { Life::Attached } else { Life::Done }).with(|s| {
                    (s.set, s.wb_running, s.pending) = (true, true, true);
                    s.locked = false;
                }),
            ),
            Life::Attached => add(
                "detach: DETACHING set",
                to(Life::Detaching).with(|s| s.detaching = true),
            ),
            Life::Detaching if self.wb_running => add(
                "detach: WB_RUNNING cleared",
                to(Life::Cancel).with(|s| s.wb_running = false),
            ),
            Life::Detaching => add("detach: WB_RUNNING is clear", to(Life::Finish)),
            // The wait for RATE_DW_RUNNING may time out.
            Life::Cancel => add(
                "detach: cancelled",
                to(Life::CancelSync).with(|s| s.pending = false),
            ),
            Life::CancelSync if self.worker == Worker::Idle => add(
                "detach: callback is over",
                to(Life::Finish).with(|s| s.pending = false),
            ),
            Life::CancelSync => (),
            Life::Finish => add(
                "detach: register lock taken",
                to(Life::Finishing).with(|s| s.locked = true),
            ),
            Life::Finishing => add(
                "detach: c = NULL",
                to(Life::Attach(0)).with(|s| {
                    (s.set, s.detaching, s.locked) = (false, false, false);
                }),
            ),
            Life::Done => (),
        }
        Ok(())
    }
}

impl System for C {
    fn next(&self, add: &mut impl FnMut(&'static str, Self)) -> Result<(), &'static str> {
        self.store(add);
        self.life(add)?;
        self.worker(add)
    }

    fn may_end(&self) -> bool {
        self.life == Life::Done && self.stores == 0
    }
}

#[test]
fn fault_is_found() {
    for (warns, want) in [(true, "WARN"), (false, "c->flags")] {
        let found = search(C::new(false, warns));
        report("C", &found);
        assert!(found.wrong.unwrap().starts_with(want));
        let last = |step| found.steps.iter().rposition(|s| *s == step);
        // It is the fault that oopses: a store arms again after the cancellation has begun.
        assert!(last("store: arms if attached") > last("detach: WB_RUNNING cleared"));
    }
}

#[test]
fn store_that_refuses_is_clean() {
    let found = search(C::new(true, true));
    report("C with a store that refuses", &found);
    assert_eq!(found.wrong, None);
}
