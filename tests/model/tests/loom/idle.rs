// SPDX-License-Identifier: GPL-2.0

//! Full speed while idle, and the request that ends it.

use crate::platform::{check, None, W};
use bcache_core::sync::Word;
use bcache_core::writeback::idle::{Idle, MaxGate, Round, MAX_RATE, QUIT_RATE};
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread::spawn;
use std::sync::Arc;

/// A request comes while the controller takes the device for idle: it does not keep full speed (H9). The step that comes
/// next is skipped, as it may be: it would hide a rate that is wrong.
#[test]
fn request_ends_full_speed() {
    let outcome = check(|seen| {
        let (counter, at_max) = (W::<None>::new(), W::new());
        Word::swap(&counter, 5);
        let shared = Arc::new((Idle::new(counter, at_max), AtomicU32::new(0)));
        let controller = {
            let shared = shared.clone();
            spawn(move || {
                let gate = MaxGate {
                    enabled: true,
                    gc_mark_valid: true,
                    steps: 6,
                };
                let (idle, rate) = &*shared;
                let raise = || rate.store(MAX_RATE, SeqCst);
                if idle.set_at_max(&gate, raise) == Round::Ended {
                    rate.store(QUIT_RATE, SeqCst);
                }
            })
        };
        let (idle, rate) = &*shared;
        if idle.note_io() {
            rate.store(QUIT_RATE, SeqCst);
        }
        controller.join().unwrap();
        let full = rate.load(SeqCst) == MAX_RATE;
        seen.expect(!full, "full speed after a request");
        seen.expect(!idle.at_max(), "still takes itself for idle");
    });
    assert_eq!(outcome.wrong, [""; 0]);
}
