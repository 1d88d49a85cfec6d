// SPDX-License-Identifier: GPL-2.0

//! The life of a cache set. C: `CACHE_SET_RUNNING`, `CACHE_SET_UNREGISTERING` and
//! `CACHE_SET_STOPPING` in `super.c`.
//!
//! ```text
//!               Started          Stop, Unregister             DevicesGone
//!   Starting -----------> Running ---------------> Stopping --------------> Flushing
//!      |                                              ^                        | Flushed
//!      +---- Failed, Stop ----------------------------+                        +------> Gone
//! ```
//!
//! That the set does no more I/O (`CACHE_SET_IO_DISABLE`) is no state of its own: it can begin in
//! any of them and has no end. An error in `Running` disables I/O and unregisters.

/// Where a cache set is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetState {
    /// Being read from disk.
    Starting,
    /// In use.
    Running,
    /// Waiting for its devices to go. `detach` tells whether cached devices are detached, with
    /// their dirty data written back, or only stopped.
    Stopping {
        /// Unregistered, not just stopped.
        detach: bool,
    },
    /// Without devices; the index is being written out.
    Flushing,
    /// Given up.
    Gone,
}

/// What happens to a cache set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetEvent {
    /// Recovery is done.
    Started,
    /// Recovery failed.
    Failed,
    /// The user asks for it, or the machine goes down.
    Stop,
    /// The user asks for it, or an error has disabled I/O.
    Unregister,
    /// No device uses the set any more.
    DevicesGone,
    /// Everything is on disk, or can never get there.
    Flushed,
}

/// The state after an event; `None` if it is refused (or, for requests that are made twice, already
/// fulfilled).
pub fn next(state: SetState, event: SetEvent) -> Option<SetState> {
    use SetEvent as E;
    use SetState::*;
    Some(match (state, event) {
        (Starting, E::Started) => Running,
        (Starting, E::Failed) => Stopping { detach: false },
        (Starting | Running, E::Stop) => Stopping { detach: false },
        (Running, E::Unregister) => Stopping { detach: true },
        (Stopping { .. }, E::DevicesGone) => Flushing,
        (Flushing, E::Flushed) => Gone,
        _ => return None,
    })
}

/// Whether devices may be attached to the set.
pub fn may_attach(state: SetState) -> bool {
    matches!(state, SetState::Starting | SetState::Running)
}

#[cfg(test)]
mod tests {
    use super::{SetState::*, *};
    use SetEvent as E;

    #[test]
    fn lives() {
        for (how, detach) in [(E::Stop, false), (E::Unregister, true)] {
            let running = next(Starting, E::Started).unwrap();
            assert!(may_attach(running));
            let stopping = next(running, how).unwrap();
            assert_eq!(stopping, Stopping { detach });
            assert!(!may_attach(stopping));
            assert_eq!(next(stopping, how), None);
            let flushing = next(stopping, E::DevicesGone).unwrap();
            assert_eq!(next(flushing, E::Flushed), Some(Gone));
        }
        assert_eq!(next(Starting, E::Failed), Some(Stopping { detach: false }));
        assert_eq!(next(Running, E::Failed), None);
        assert_eq!(next(Gone, E::Stop), None);
    }
}
