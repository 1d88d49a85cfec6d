// SPDX-License-Identifier: GPL-2.0

//! Full speed while idle, and the requests that end it (H9).

use crate::platform::{check, None, Outcome, Seeded, W};
use bcache_core::sync::Word;
use bcache_core::writeback::idle::{Idle, MaxGate, Round, MAX_RATE, QUIT_RATE};
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread::spawn;
use std::sync::Arc;

const STEPS: u32 = 6;
const STAYS: &str = "full speed after a request";

/// A device: what its requests and its controller share.
struct Device<F> {
    idle: Arc<Idle<W<F>>>,
    rate: AtomicU32,
}

impl<F: Seeded> Device<F> {
    fn new(idle: Arc<Idle<W<F>>>) -> Arc<Self> {
        let rate = AtomicU32::new(QUIT_RATE);
        Arc::new(Self { idle, rate })
    }

    /// A request, as `note_io` of the driver.
    fn request(&self) {
        if self.idle.note_io() {
            self.rate.store(QUIT_RATE, SeqCst);
        }
    }

    /// A round of the controller, as `idle_maximum` of the driver. The step that comes next is skipped, as it may be: it
    /// would hide a rate that is wrong.
    fn round(&self) {
        let gate = MaxGate {
            enabled: true,
            gc_mark_valid: true,
            steps: STEPS,
        };
        let raise = || self.rate.store(MAX_RATE, SeqCst);
        if self.idle.set_at_max(&gate, raise) == Round::Ended {
            self.rate.store(QUIT_RATE, SeqCst);
        }
    }

    fn at_full_speed(&self) -> bool {
        self.rate.load(SeqCst) == MAX_RATE
    }
}

/// What has been idle for so many rounds.
fn idle<F: Seeded>(rounds: u32) -> Arc<Idle<W<F>>> {
    let counter = W::new();
    counter.swap(rounds.into());
    Arc::new(Idle::new(counter, W::new()))
}

/// A request comes while the controller takes the device for idle: it does not get full speed, or does not keep it.
pub fn request_ends_full_speed<F: Seeded>() -> Outcome {
    check(|seen| {
        let dev = Device::<F>::new(idle(STEPS - 1));
        let controller = {
            let dev = dev.clone();
            spawn(move || dev.round())
        };
        dev.request();
        controller.join().unwrap();
        seen.expect(!dev.at_full_speed(), STAYS);
        seen.expect(!dev.idle.at_max(), "still takes itself for idle");
    })
}

/// A device at full speed and one that is just getting there; requests to both, at the same time.
fn requests_to_two<F: Seeded>(
    idle_of: impl Fn() -> [Arc<Idle<W<F>>>; 2] + Send + Sync + 'static,
) -> Outcome {
    check(move |seen| {
        let [a, b] = idle_of().map(Device::new);
        a.round();
        seen.expect(a.at_full_speed(), "not at full speed");
        let controller = {
            let b = b.clone();
            spawn(move || b.round())
        };
        let other = {
            let b = b.clone();
            spawn(move || b.request())
        };
        a.request();
        controller.join().unwrap();
        other.join().unwrap();
        seen.expect(!a.at_full_speed() && !b.at_full_speed(), STAYS);
    })
}

/// Each device ends its own full speed.
pub fn each_ends_its_own<F: Seeded>() -> Outcome {
    requests_to_two::<F>(|| [idle(STEPS - 1), idle(STEPS - 1)])
}

/// C: the set is idle, not the device, and the request that ends that sets the rate of its own device alone when the
/// register lock is taken. Requests to the others then find nothing to end.
#[test]
fn one_idleness_for_all_is_found() {
    let outcome = requests_to_two::<None>(|| {
        let of_the_set = idle(STEPS - 1);
        [of_the_set.clone(), of_the_set]
    });
    assert_eq!(outcome.wrong, [STAYS]);
}
