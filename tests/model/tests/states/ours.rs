// SPDX-License-Identifier: GPL-2.0

//! The driver: each attachment has a work of its own, with the shipping [`RateState`]; the device's slot
//! says which attachment a store finds. Detach, a failing attach and the failure of the set end it
//! alike: stop, slot empty, set freed.

use crate::{report, search, System};
use bcache_core::writeback::ratework::{Arming, Phase, RateState};

/// Attachments in the life of the device.
const LIVES: usize = 3;

/// The worker of one work item, as weak as the protocol allows: a cancellation does not wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Worker {
    #[default]
    Idle,
    /// Off the queue, not begun.
    Taken,
    InBody,
    /// The body has looked whether I/O is disabled.
    Over(bool),
    /// Out of the body; has to wake who waits.
    Wakes,
}

/// One attachment and its set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Att {
    rate: RateState,
    pending: bool,
    worker: Worker,
    io_disable: bool,
    freed: bool,
}

/// A store to `writeback_percent` and `writeback_rate_update_seconds`: it takes no lock but that of the rate work.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Store {
    Wait,
    /// Found this attachment in the slot.
    Arms(usize),
    Retimes(usize),
}

/// Attach and its end, once per attachment.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Arm(usize),
    Publish(usize),
    /// Attached; ends at any moment: detach, failing last step of attach, failed set.
    Attached(usize),
    /// Looked at the body once after it closed: runs, so that it sleeps until it is woken.
    Waits(usize),
    Sleeps(usize),
    Cancel(usize),
    Finish(usize),
    Unlink(usize),
    Free(usize),
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Ours {
    atts: [Att; LIVES],
    slot: Option<usize>,
    stores: u8,
    store: [Store; 2],
    life: Life,
    /// Seeded fault: the end does not wait for the body.
    no_wait: bool,
    /// Seeded fault: the end does not cancel.
    no_cancel: bool,
}

impl Ours {
    fn new(no_wait: bool, no_cancel: bool) -> Self {
        Self {
            atts: [Att::default(); LIVES],
            slot: None,
            stores: 4,
            store: [Store::Wait; 2],
            life: Life::Arm(0),
            no_wait,
            no_cancel,
        }
    }

    fn with(mut self, f: impl FnOnce(&mut Self)) -> Self {
        f(&mut self);
        self
    }

    /// Puts the work of attachment `n` on the queue.
    fn queue(&mut self, n: usize) -> Result<(), &'static str> {
        self.atts[n].pending = true;
        if self.atts[n].freed {
            return Err("queued after the end");
        }
        Ok(())
    }

    fn arm(&mut self, n: usize) -> Result<(), &'static str> {
        match self.atts[n].rate.arm() {
            Arming::Queue => self.queue(n),
            Arming::Already | Arming::Refused => Ok(()),
        }
    }

    fn worker(
        &self,
        n: usize,
        add: &mut impl FnMut(&'static str, Self),
    ) -> Result<(), &'static str> {
        let att = self.atts[n];
        let to = |worker| self.with(|s| s.atts[n].worker = worker);
        match att.worker {
            Worker::Idle if att.pending => add(
                "work: taken off the queue",
                to(Worker::Taken).with(|s| s.atts[n].pending = false),
            ),
            Worker::Idle => (),
            Worker::Taken => {
                let mut s = *self;
                let enter = s.atts[n].rate.begin();
                s.atts[n].worker = if enter { Worker::InBody } else { Worker::Idle };
                add("work: begins", s);
            }
            Worker::InBody | Worker::Over(_) if att.freed => {
                return Err("touched a freed cache set")
            }
            Worker::InBody => add("work: body", to(Worker::Over(!att.io_disable))),
            Worker::Over(again) => {
                let mut s = to(Worker::Wakes);
                if s.atts[n].rate.end(again) {
                    s.queue(n)?;
                }
                add("work: ends", s);
            }
            Worker::Wakes => add(
                "work: wakes",
                to(Worker::Idle).with(|s| {
                    if s.life == Life::Sleeps(n) {
                        s.life = Life::Waits(n);
                    }
                }),
            ),
        }
        Ok(())
    }

    fn store(
        &self,
        k: usize,
        add: &mut impl FnMut(&'static str, Self),
    ) -> Result<(), &'static str> {
        let to = |store| self.with(|s| s.store[k] = store);
        match self.store[k] {
            Store::Wait if self.stores > 0 => {
                let found = self.slot.map_or(Store::Wait, Store::Arms);
                add(
                    "store: looks for the attachment",
                    to(found).with(|s| s.stores -= 1),
                );
            }
            Store::Wait => (),
            Store::Arms(n) => {
                let mut s = to(Store::Retimes(n));
                s.arm(n)?;
                add("store: arms", s);
            }
            Store::Retimes(n) => {
                let mut s = to(Store::Wait);
                if s.atts[n].rate.phase() == Phase::Armed {
                    s.queue(n)?;
                }
                add("store: retimes", s);
            }
        }
        Ok(())
    }

    fn life(&self, add: &mut impl FnMut(&'static str, Self)) -> Result<(), &'static str> {
        let to = |life| self.with(|s| s.life = life);
        match self.life {
            Life::Arm(n) => {
                let mut s = to(Life::Publish(n));
                s.arm(n)?;
                add("attach: arms", s);
            }
            Life::Publish(n) => add(
                "attach: publishes",
                to(Life::Attached(n)).with(|s| s.slot = Some(n)),
            ),
            Life::Attached(n) => {
                let next = if self.no_wait {
                    Life::Cancel(n)
                } else {
                    Life::Waits(n)
                };
                add("end: closes", to(next).with(|s| s.atts[n].rate.close()));
            }
            Life::Waits(n) if self.atts[n].rate.in_body() => {
                add("end: sleeps", to(Life::Sleeps(n)))
            }
            Life::Waits(n) => add("end: body is over", to(Life::Cancel(n))),
            Life::Sleeps(_) => (),
            Life::Cancel(n) => add(
                "end: cancels",
                to(Life::Finish(n)).with(|s| s.atts[n].pending &= s.no_cancel),
            ),
            Life::Finish(n) => add(
                "end: stopped",
                to(Life::Unlink(n)).with(|s| s.atts[n].rate.finish()),
            ),
            Life::Unlink(n) => add("end: slot empty", to(Life::Free(n)).with(|s| s.slot = None)),
            Life::Free(n) => {
                if self.atts[n].pending {
                    return Err("still queued at the end");
                }
                let next = if n + 1 < LIVES {
                    Life::Arm(n + 1)
                } else {
                    Life::Done
                };
                add("end: set freed", to(next).with(|s| s.atts[n].freed = true));
            }
            Life::Done => (),
        }
        Ok(())
    }

    /// The set of an attachment fails.
    fn error(&self, n: usize, add: &mut impl FnMut(&'static str, Self)) {
        if !self.atts[n].io_disable && !self.atts[n].freed && self.slot == Some(n) {
            add("set error", self.with(|s| s.atts[n].io_disable = true));
        }
    }
}

impl System for Ours {
    fn next(&self, add: &mut impl FnMut(&'static str, Self)) -> Result<(), &'static str> {
        for k in 0..self.store.len() {
            self.store(k, add)?;
        }
        self.life(add)?;
        for n in 0..LIVES {
            self.worker(n, add)?;
            self.error(n, add);
        }
        Ok(())
    }

    fn may_end(&self) -> bool {
        self.life == Life::Done
    }
}

#[test]
fn is_clean() {
    let found = search(Ours::new(false, false));
    report("ours", &found);
    assert_eq!(found.wrong, None);
    assert!(found.states > 10_000, "{}", found.states);
}

#[test]
fn faults_are_found() {
    for (no_wait, no_cancel) in [(true, false), (false, true)] {
        let found = search(Ours::new(no_wait, no_cancel));
        report("fault", &found);
        assert!(found.wrong.is_some());
    }
}
