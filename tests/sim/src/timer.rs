// SPDX-License-Identifier: GPL-2.0

//! When a timer of the kernel fires: never early, and the farther away, the coarser.

use crate::{Ns, JIFFY};

/// Slots of a level of the timer wheel, and how much coarser each level is than the one before, as a shift.
const SLOTS: u64 = 64;
const COARSER: u32 = 3;

/// When a timer fires that is armed at `now`, a tick, to fire in `jiffies`. The wheel rounds up to the next slot of
/// the level that the delay belongs to, also on the first level: a delay of 1 takes two ticks.
///
/// Linux: `calc_wheel_index` in `kernel/time/timer.c`.
pub fn fires(now: Ns, jiffies: u64) -> Ns {
    let level = (0..8)
        .find(|&level| jiffies < (SLOTS - 1) << (COARSER * level))
        .unwrap_or(8);
    let shift = COARSER * level;
    let slot = ((now / JIFFY + jiffies) >> shift) + 1;
    (slot << shift) * JIFFY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_early_and_late_by_a_slot_at_most() {
        for (jiffies, slot) in [
            (0, 1),
            (1, 1),
            (62, 1),
            (63, 8),
            (503, 8),
            (504, 64),
            (1250, 64),
            (7500, 512),
        ] {
            for at in [0, 1, 7, 8, 63, 64, 1000, 12_345] {
                let late = fires(at * JIFFY, jiffies) / JIFFY - at - jiffies;
                assert!((1..=slot).contains(&late), "{at} + {jiffies}: {late}");
            }
        }
    }
}
