// SPDX-License-Identifier: GPL-2.0

//! The life of a cached device. C: `BCACHE_DEV_CLOSING`, `BCACHE_DEV_DETACHING` and
//! `BCACHE_DEV_UNLINK_DONE`, with `cached_dev.count`, in `super.c`.
//!
//! ```text
//!              Attach          Attached       Detach             Flushed
//!   Detached ---------> Attaching -----> Attached -----> Detaching -----> Detached
//!                          | AttachFailed
//!                          +-------> Detached
//!   any of these -- Stop --> Closing* -- LastClose --> Freed
//! ```
//!
//! A device that is stopped while attached stays so until its last opener has gone: its requests
//! are cached until then.

/// Where a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DevState {
    /// Registered, without a set: passes requests through if it runs.
    Detached,
    /// Being attached; requests pass through.
    Attaching,
    /// Attached to a set.
    Attached,
    /// Being detached: dirty data is written back, new writes bypass the cache.
    Detaching,
    /// Stopped: no new openers, the sysfs directory is gone. `attached` tells whether its set has
    /// to be let go.
    Closing {
        /// It was attached when it was stopped.
        attached: bool,
    },
    /// Given up.
    Freed,
}

/// What happens to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DevEvent {
    /// A set is there, or the user asks for it.
    Attach,
    /// Everything is set up.
    Attached,
    /// Something could not be set up; all of it is undone.
    AttachFailed,
    /// The user asks for it, or the set is unregistered or has failed.
    Detach,
    /// Nothing dirty is left, or the set can do no more I/O.
    Flushed,
    /// The user asks for it, the set stops, or the device has failed.
    Stop,
    /// Stopped, and the last opener has gone.
    LastClose,
}

/// The state after an event; `None` if it is refused (or, for requests that are made twice, already
/// fulfilled).
pub fn next(state: DevState, event: DevEvent) -> Option<DevState> {
    use DevEvent as E;
    use DevState::*;
    Some(match (state, event) {
        (Detached, E::Attach) => Attaching,
        (Attaching, E::Attached) => Attached,
        (Attaching, E::AttachFailed) => Detached,
        (Attached, E::Detach) => Detaching,
        (Detaching, E::Flushed) => Detached,
        (Detached, E::Stop) => Closing { attached: false },
        (Attached | Detaching, E::Stop) => Closing { attached: true },
        // The flush of a device that is stopped while it detaches may still end well.
        (Closing { attached: true }, E::Flushed) => Closing { attached: false },
        (Closing { .. }, E::LastClose) => Freed,
        _ => return None,
    })
}

/// Whether requests look at the cache.
pub fn is_cached(state: DevState) -> bool {
    use DevState::*;
    matches!(state, Attached | Detaching | Closing { attached: true })
}

#[cfg(test)]
mod tests {
    use super::{DevState::*, *};
    use DevEvent as E;

    #[test]
    fn attach_detach_stop() {
        let mut state = Detached;
        for event in [
            E::Attach,
            E::Attached,
            E::Detach,
            E::Flushed,
            E::Attach,
            E::AttachFailed,
            E::Attach,
            E::Attached,
            E::Stop,
            E::LastClose,
        ] {
            state = next(state, event).unwrap();
        }
        assert_eq!(state, Freed);
    }

    #[test]
    fn refused() {
        let all = [
            Detached,
            Attaching,
            Attached,
            Detaching,
            Closing { attached: false },
            Closing { attached: true },
            Freed,
        ];
        let events = [
            E::Attach,
            E::Attached,
            E::AttachFailed,
            E::Detach,
            E::Flushed,
            E::Stop,
            E::LastClose,
        ];
        let legal = |s| events.iter().filter(|e| next(s, **e).is_some()).count();
        assert_eq!(all.map(legal), [2, 2, 2, 2, 1, 2, 0]);
        assert_eq!(next(Closing { attached: true }, E::Detach), None);
        assert_eq!(next(Detaching, E::Attach), None);
        assert!(
            is_cached(Detaching)
                && !is_cached(Attaching)
                && !is_cached(Closing { attached: false })
        );
    }
}
