// SPDX-License-Identifier: GPL-2.0

//! The writeback thread: when it works, what it looks for, and what a clean scan means.
//!
//! C: `bch_writeback_thread`, `refill_dirty`, `refill_full_stripes` in `writeback.c`.

use super::{
    count::MAX_SECTOR,
    io::Written,
    keybuf::Offered, //
};
use crate::attach::Bond;
use bcache_core::{
    gc::pace,
    key::Pos,
    writeback::{
        control::Law,
        kicks::Asked,
        timing::{self, Backoff}, //
    }, //
};
use bcache_kernel::{
    kthread::should_stop,
    memalloc,
    time, //
};
use kernel::prelude::*;

/// How a scan ended.
enum Scan {
    /// There are keys to work on; `all`: the whole device was looked at.
    Found { all: bool },
    /// Nothing is dirty.
    Clean,
    /// Nothing is dirty, and the device is to be detached: it is.
    Detached,
    /// It is to be tried again.
    Failed(Trouble),
}

/// What is tried again after a pause.
#[derive(Clone, Copy)]
enum Trouble {
    /// Dirty data could not be written back, or the index not be read.
    DirtyData,
    /// The superblock of the backing device could not be written.
    Superblock,
}

impl Trouble {
    /// In words.
    fn text(self) -> &'static str {
        match self {
            Self::DirtyData => "dirty data could not be written back",
            Self::Superblock => "its superblock could not be written",
        }
    }
}

/// The thread. Runs until it is stopped, the device is detached or the set dead.
pub(super) fn main(att: &Bond) {
    let _noio = memalloc::noio();
    let mut state = Scanner {
        att,
        last: 0,
        backoff: Backoff::default(),
    };
    att.dev.rate.reset();
    while state.wait_for_work() {
        if state.round() {
            return;
        }
    }
    att.drain();
    if att.set.io_disabled() && !should_stop() {
        // Whoever retires the set decides about the device first.
        if att.wb.wake.wait_until_or_stop(|| att.detaching.get()) {
            att.set_is_dead();
        }
    }
}

/// What the thread remembers.
struct Scanner<'a> {
    att: &'a Bond,
    /// Sector up to which the last scan went.
    last: u64,
    /// Waits between passes with errors.
    backoff: Backoff,
}

impl Scanner<'_> {
    /// True if the thread must end.
    fn over(&self) -> bool {
        should_stop() || self.att.set.io_disabled()
    }

    /// Sleeps until there is work; false if the thread must end.
    fn wait_for_work(&self) -> bool {
        let att = self.att;
        let ready = || {
            att.set.io_disabled()
                || att.detaching.get()
                || (att.wb.has_work() && att.dev.tun.writeback_running.get())
        };
        if !ready() {
            // What is on its way comes to its end before the thread sleeps.
            att.drain();
        }
        att.wb.wake.wait_until_or_stop(ready) && !self.over()
    }

    /// One scan and the writeback of what it found; true if the thread is through.
    fn round(&mut self) -> bool {
        let asked = self.att.wb.kicks.asked();
        let (pause, trouble) = match self.scan() {
            Scan::Detached => return true,
            Scan::Failed(trouble) => (false, Some(trouble)),
            Scan::Clean => (true, None),
            Scan::Found { all } => match self.att.write_back(all) {
                Written::All => (all, None),
                Written::Some => (false, None),
                Written::Failed => (false, Some(Trouble::DirtyData)),
            },
        };
        if let Some(trouble) = trouble {
            self.att.drain();
            self.back_off(trouble, asked);
            return false;
        }
        self.backoff.reset();
        if pause {
            self.pause();
        }
        false
    }

    /// Looks for dirty keys, under the exclusive writeback lock.
    fn scan(&mut self) -> Scan {
        let att = self.att;
        let _exclusive = att.wb.lock.exclusive();
        att.wb.keybuf.begin_scan();
        let all = match self.refill() {
            Ok(all) => all,
            Err(_) => return Scan::Failed(Trouble::DirtyData),
        };
        if !all || !att.wb.keybuf.found_nothing() {
            return Scan::Found { all };
        }
        if self.over() {
            // The scan may have been cut short.
            return Scan::Failed(Trouble::DirtyData);
        }
        let detaching = att.detaching.get();
        if detaching {
            return match att.leave_set() {
                Ok(()) => Scan::Detached,
                Err(_) => Scan::Failed(Trouble::Superblock),
            };
        }
        if att.wb.has_work() && att.mark_clean().is_err() {
            return Scan::Failed(Trouble::Superblock);
        }
        let gc_wanted = &att.set.tun.gc_after_writeback;
        if gc_wanted.change(pace::take_after_writeback) {
            att.set.force_wake_gc();
        }
        Scan::Clean
    }

    /// Fills the key list from where the last scan ended; true if that was the whole device.
    fn refill(&mut self) -> Result<bool> {
        let keybuf = &self.att.wb.keybuf;
        if self.att.dev.flags.partial_stripes_expensive.get() {
            self.refill_full_stripes()?;
            if keybuf.is_full() {
                return Ok(false);
            }
        }
        let start = self.last;
        self.last = self.refill_range(start, MAX_SECTOR)?;
        if self.last < MAX_SECTOR {
            return Ok(false);
        }
        self.last = self.refill_range(0, start)?;
        Ok(self.last >= start)
    }

    /// Takes stripes that are dirty all over, from the one where the last scan ended, around the device.
    fn refill_full_stripes(&mut self) -> Result {
        let map = &self.att.wb.stripes;
        let stripes = *map.stripes();
        let start = stripes.stripe_of(self.last).unwrap_or(0);
        for (from, to) in [(start, stripes.count()), (0, start)] {
            let mut at = from;
            while let Some((first, behind)) = map.next_full(at).filter(|run| run.0 < to) {
                self.last = self.refill_range(stripes.start_of(first), stripes.start_of(behind))?;
                if self.att.wb.keybuf.is_full() || self.over() {
                    return Ok(());
                }
                at = behind;
            }
        }
        Ok(())
    }

    /// Offers the dirty keys of `from..to` to the list; gives the sector up to which it went.
    fn refill_range(&self, from: u64, to: u64) -> Result<u64> {
        let att = self.att;
        let mut reached = to;
        att.set.btree_lookup(
            Pos::new(att.inode, from),
            Pos::new(att.inode, to),
            false,
            &mut |k| {
                let k = k.piece(from, to);
                if self.over() {
                    reached = k.start();
                    return false;
                }
                // A stale key is dirty no more: it was written back, and a crash brought the old key again.
                if !k.dirty() || k.size() == 0 || att.set.usable_ptr(&k).is_none() {
                    return true;
                }
                match att.wb.keybuf.offer(&k) {
                    Offered::Taken => true,
                    Offered::Full(at) => {
                        reached = at;
                        false
                    }
                }
            },
        )?;
        Ok(reached)
    }

    /// Waits after a whole scan, until `writeback_delay` (as it is then) is over or the controller does not want to
    /// wait. It is asked each second.
    fn pause(&self) {
        let att = self.att;
        let begin = time::jiffies();
        let look = || {
            if self.over() || att.detaching.get() {
                return None;
            }
            let waited = time::jiffies().wrapping_sub(begin);
            let left = timing::left(att.dev.tun.writeback_delay.get(), time::HZ, waited);
            let second = u64::from(time::HZ);
            if left == 0 || (waited >= second && att.cuts_delay()) {
                return None;
            }
            Some(match att.law() {
                Law::Pi => left,
                Law::Adaptive | Law::Latency => left.min(second),
            })
        };
        att.wb.kicks.wait(look, |nap, asked| {
            att.wb.sleep(nap, || asked() || att.set.io_disabled());
        });
        att.dev.rate.reset();
    }

    /// Waits after errors, longer and longer, instead of trying in a loop. Whoever asks for a detach meanwhile, or
    /// changes a setting, gets the next try at once: `asked` is from before the one that failed.
    fn back_off(&mut self, trouble: Trouble, asked: Asked) {
        let att = self.att;
        if self.over() {
            return;
        }
        let ms = self.backoff.next_ms();
        // While the attachment ends nothing more is written back, which is no failure.
        if !att.is_closed() {
            pr_warn!(
                "{}: {}, trying again in {} ms\n",
                att.dev.name,
                trouble.text(),
                ms
            );
        }
        let woken = || att.wb.kicks.since(asked) || att.set.io_disabled();
        att.wb.sleep(time::msecs_to_jiffies(ms), woken);
    }
}
