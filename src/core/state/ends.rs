// SPDX-License-Identifier: GPL-2.0

//! What may end next: the order in which devices, attachments and sets are taken apart.
//!
//! C: `BCACHE_DEV_CLOSING`, `BCACHE_DEV_DETACHING`, `cached_dev.count`, `CACHE_SET_STOPPING`,
//! `CACHE_SET_UNREGISTERING` in `super.c`, where the order follows from who drops the last closure reference.
//!
//! ```text
//!   device:      registered -- attach --> Attached -- detach --> Detaching -- flushed or set dead --> Through
//!                    ^                                                                                  |
//!                    +------------------------------- FinishDetach -------------------------------------+
//!                stopped and closed, not Detaching or that cannot end -- Free --> gone
//!   set:         running -- stop, unregister, Retire --> stopping -- TellDevices --> told -- no device left: Finish --> gone
//! ```
//!
//! The caller looks under one lock and marks the step as begun before it lets go, so that each is taken once.

/// How far an attachment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachmentSeen {
    /// The device has no set.
    None,
    /// In use.
    Attached,
    /// Detach was asked for; the writeback thread is at work.
    Detaching,
    /// The writeback thread is through.
    Through,
    /// [`DeviceStep::FinishDetach`] has begun.
    Finishing,
}

/// What decides about a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceSeen {
    /// Stop was asked for.
    pub stopped: bool,
    /// Somebody has the disk open.
    pub open: bool,
    /// [`DeviceStep::Free`] has begun.
    pub freeing: bool,
    /// The backing device takes no I/O any more, or not the superblock of a detach, though the set does: a detach cannot end.
    pub failed: bool,
    /// Its attachment.
    pub attachment: AttachmentSeen,
}

/// A step of the end of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceStep {
    /// The device leaves its set and goes on without, or is freed next.
    FinishDetach,
    /// The device leaves its set, if it has one, without being clean, and is gone.
    Free,
}

/// The step that a device can take now.
pub fn device_step(seen: DeviceSeen) -> Option<DeviceStep> {
    match seen.attachment {
        AttachmentSeen::Through if !seen.freeing => Some(DeviceStep::FinishDetach),
        AttachmentSeen::Through | AttachmentSeen::Finishing => None,
        // A device that is stopped while it detaches is detached first, if that can ever be.
        AttachmentSeen::Detaching if !seen.failed => None,
        AttachmentSeen::None | AttachmentSeen::Attached | AttachmentSeen::Detaching => {
            let over = seen.stopped && !seen.open && !seen.freeing;
            over.then_some(DeviceStep::Free)
        }
    }
}

/// What decides about a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetSeen {
    /// An error has ended its I/O.
    pub failed: bool,
    /// Stop or unregister was asked for, or [`SetStep::Retire`] was taken.
    pub stopping: bool,
    /// [`SetStep::TellDevices`] has begun.
    pub told: bool,
    /// A device is attached.
    pub has_devices: bool,
    /// [`SetStep::Finish`] has begun.
    pub finishing: bool,
}

/// A step of the end of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetStep {
    /// It failed: it is to be unregistered.
    Retire,
    /// Its devices are asked to detach or stop.
    TellDevices,
    /// It is closed and gone.
    Finish,
}

/// The step that a set can take now.
pub fn set_step(seen: SetSeen) -> Option<SetStep> {
    if !seen.stopping {
        return seen.failed.then_some(SetStep::Retire);
    }
    if !seen.told {
        return Some(SetStep::TellDevices);
    }
    (!seen.has_devices && !seen.finishing).then_some(SetStep::Finish)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_ends))]
mod tests {
    use super::{
        AttachmentSeen::{Attached, Detaching, Finishing, Through},
        *, //
    };

    const BOOLS: [bool; 2] = [false, true];

    fn devices() -> impl Iterator<Item = DeviceSeen> {
        let attachments = [
            AttachmentSeen::None,
            Attached,
            Detaching,
            Through,
            Finishing,
        ];
        (0..16).flat_map(move |n: u32| {
            attachments.map(|attachment| DeviceSeen {
                stopped: n & 1 != 0,
                open: n & 2 != 0,
                freeing: n & 4 != 0,
                failed: n & 8 != 0,
                attachment,
            })
        })
    }

    fn sets() -> impl Iterator<Item = SetSeen> {
        (0..32).map(|n: u32| SetSeen {
            failed: n & 1 != 0,
            stopping: n & 2 != 0,
            told: n & 4 != 0,
            has_devices: n & 8 != 0,
            finishing: n & 16 != 0,
        })
    }

    #[test]
    fn a_device_is_freed_only_when_stopped_closed_and_not_about_to_detach() {
        for seen in devices() {
            let detaches = match seen.attachment {
                AttachmentSeen::None | Attached => false,
                Detaching => !seen.failed,
                Through | Finishing => true,
            };
            let may = seen.stopped && !seen.open && !detaches;
            let step = device_step(seen);
            assert_eq!(
                (seen, step == Some(DeviceStep::Free)),
                (seen, may && !seen.freeing)
            );
            let through = seen.attachment == Through && !seen.freeing;
            assert_eq!(
                (seen, step == Some(DeviceStep::FinishDetach)),
                (seen, through)
            );
        }
    }

    /// Marking a step as begun makes it impossible; so each is taken once.
    #[test]
    fn no_step_twice() {
        for seen in devices() {
            match device_step(seen) {
                Some(DeviceStep::Free) => {
                    let begun = DeviceSeen {
                        freeing: true,
                        ..seen
                    };
                    assert_eq!(device_step(begun), None);
                }
                Some(DeviceStep::FinishDetach) => {
                    let begun = DeviceSeen {
                        attachment: Finishing,
                        ..seen
                    };
                    assert_eq!(device_step(begun), None);
                }
                None => (),
            }
        }
        for seen in sets() {
            let begun = match set_step(seen) {
                Some(SetStep::Retire) => SetSeen {
                    stopping: true,
                    ..seen
                },
                Some(SetStep::TellDevices) => SetSeen { told: true, ..seen },
                Some(SetStep::Finish) => SetSeen {
                    finishing: true,
                    ..seen
                },
                None => continue,
            };
            assert!(set_step(begun) != set_step(seen));
        }
    }

    #[test]
    fn a_set_is_finished_only_without_devices_and_after_they_were_told() {
        for seen in sets() {
            if set_step(seen) == Some(SetStep::Finish) {
                assert!(seen.stopping && seen.told && !seen.has_devices && !seen.finishing);
            }
        }
    }

    /// Whatever happened before, a failed set whose devices go comes to its end.
    #[test]
    fn a_failed_set_ends() {
        for (stopping, told) in BOOLS.iter().flat_map(|s| BOOLS.map(|t| (*s, t))) {
            let mut seen = SetSeen {
                failed: true,
                stopping,
                told: stopping && told,
                has_devices: true,
                finishing: false,
            };
            let mut steps = 0;
            while let Some(step) = set_step(seen) {
                match step {
                    SetStep::Retire => seen.stopping = true,
                    SetStep::TellDevices => seen.told = true,
                    SetStep::Finish => seen.finishing = true,
                }
                steps += 1;
                assert!(steps < 4);
            }
            assert!(!seen.finishing);
            seen.has_devices = false;
            assert_eq!(set_step(seen), Some(SetStep::Finish));
        }
    }
}
