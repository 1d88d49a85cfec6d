// SPDX-License-Identifier: GPL-2.0

//! The state word in the superblock of a backing device. C: `BDEV_STATE`, written in `super.c` and
//! `writeback.c`.

use crate::ondisk::superblock::BdevState;

/// What changes the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BdevEvent {
    /// Attached to a set that did not know it.
    AttachNew,
    /// Attached again to its set.
    AttachKnown,
    /// The first dirty write since it was clean.
    FirstDirty,
    /// The writeback thread found nothing dirty.
    AllClean,
    /// Detached, everything written back.
    Detached,
    /// Started by the user without its set (`running`).
    ForceRun,
}

/// The state after an event; `None` if the event must not happen in that state.
pub fn next(state: BdevState, event: BdevEvent) -> Option<BdevState> {
    use BdevEvent::*;
    Some(match (event, state) {
        // An unknown device must not claim to have data in the cache (C: ENOENT).
        (AttachNew, BdevState::Dirty) => return None,
        (AttachNew, _) => BdevState::Clean,
        // What the set knows of it is void; it attaches as a new device (see `attach_as`).
        (AttachKnown, BdevState::None | BdevState::Stale) => return None,
        (AttachKnown, kept) => kept,
        (FirstDirty, BdevState::Clean | BdevState::Dirty) => BdevState::Dirty,
        (AllClean, BdevState::Clean | BdevState::Dirty) => BdevState::Clean,
        (Detached, BdevState::Clean | BdevState::None) => BdevState::None,
        (ForceRun, BdevState::Clean | BdevState::Dirty) => BdevState::Stale,
        (ForceRun, kept) => kept,
        (FirstDirty | AllClean, BdevState::None | BdevState::Stale) => return None,
        (Detached, BdevState::Dirty | BdevState::Stale) => return None,
    })
}

/// How a device attaches to the set that its superblock or the user names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachAs {
    /// In a new slot of the uuid table; the slot it has, if any, is made invalid first.
    New,
    /// In the slot it has.
    Known,
    /// Not at all: it has dirty data in a cache that does not know it (C: ENOENT).
    Refused,
}

/// Decides by the state of the device and whether the set has a valid slot for it.
pub fn attach_as(state: BdevState, has_slot: bool) -> AttachAs {
    match (state, has_slot) {
        (BdevState::Clean | BdevState::Dirty, true) => AttachAs::Known,
        (BdevState::Dirty, false) => AttachAs::Refused,
        (BdevState::None | BdevState::Stale | BdevState::Clean, _) => AttachAs::New,
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_bdev))]
mod tests {
    use super::{BdevEvent::*, *};

    #[test]
    fn life() {
        let mut state = BdevState::None;
        for (event, want) in [
            (ForceRun, BdevState::None),
            (AttachNew, BdevState::Clean),
            (FirstDirty, BdevState::Dirty),
            (AttachKnown, BdevState::Dirty),
            (AllClean, BdevState::Clean),
            (Detached, BdevState::None),
            (AttachNew, BdevState::Clean),
            (FirstDirty, BdevState::Dirty),
            (ForceRun, BdevState::Stale),
            (AttachNew, BdevState::Clean),
        ] {
            state = next(state, event).unwrap();
            assert_eq!((event, state), (event, want));
        }
    }

    #[test]
    fn refused() {
        for (state, event) in [
            (BdevState::Dirty, AttachNew),
            (BdevState::Stale, AttachKnown),
            (BdevState::None, AttachKnown),
            (BdevState::Dirty, Detached),
            (BdevState::None, FirstDirty),
            (BdevState::Stale, AllClean),
        ] {
            assert_eq!(next(state, event), None);
        }
    }

    #[test]
    fn attaching_agrees_with_the_table() {
        use BdevState::*;
        for state in [None, Clean, Dirty, Stale] {
            for has_slot in [false, true] {
                let event = match attach_as(state, has_slot) {
                    AttachAs::New => AttachNew,
                    AttachAs::Known => AttachKnown,
                    AttachAs::Refused => continue,
                };
                assert_eq!(
                    (state, has_slot, next(state, event).is_some()),
                    (state, has_slot, true)
                );
            }
        }
        assert_eq!(attach_as(Dirty, false), AttachAs::Refused);
        assert_eq!(attach_as(Stale, true), AttachAs::New);
    }
}
