// SPDX-License-Identifier: GPL-2.0

//! The protocols that the module ships over all interleavings, with up to [`platform::PREEMPTIONS`]
//! preemptions.
//!
//! [`ratework`]: arming, running and stopping the rate work. [`attachment`]: the same together with
//! the counted gate of an attachment, as attach, detach and the failure of a set use both.
//! [`counts`]: gate and journal pins on their own. [`idle`]: full speed while idle. [`kicks`]: what the writeback thread
//! is asked for while it falls asleep. [`c_protocol`]: the protocol of
//! the C driver on the same platform, where the known fault is found: the models can see it.
//!
//! Every seeded [`Fault`] is a mutant of the shipping source and has to be found by each scenario
//! that is named for it; a mutant without a scenario does not compile.

mod attachment;
mod c_protocol;
mod counts;
mod idle;
mod kicks;
mod platform;
mod ratework;

use attachment::{failing_attach, set_error};
use bcache_core::sync::Fault;
use counts::{gate, pins, reclaimer_is_woken, reopened, second_count};
use idle::{each_ends_its_own, request_ends_full_speed};
use kicks::stores_wake_the_thread;
use platform::{None, Seeded};
use ratework::{detach, gives_up, stop_of_idle, two_stops};

/// The scenarios over the source that ships.
macro_rules! shipping {
    ($($name:ident)+) => {
        mod shipping {
            $(#[test]
            fn $name() {
                let crate::platform::Outcome { wrong, runs } = super::$name::<super::None>();
                assert_eq!(wrong, [""; 0]);
                assert!(runs > 1);
                println!("{}: {runs} interleavings", stringify!($name));
            })+
        }
    };
}

/// The mutants, each with the scenarios that find it.
macro_rules! mutants {
    ($($fault:ident: $($scenario:ident)+;)+) => {
        $(impl Seeded for platform::$fault {
            const FAULT: Fault = Fault::$fault;
        })+

        #[allow(non_snake_case)]
        mod mutants {
            $(#[test]
            fn $fault() {
                $({
                    let crate::platform::Outcome { wrong, runs } = super::$scenario::<super::platform::$fault>();
                    let scenario = stringify!($scenario);
                    assert!(!wrong.is_empty(), "survives {scenario}, {runs} interleavings");
                    println!("{scenario}: {} after {runs} interleavings", wrong.join(", "));
                })+
            })+
        }

        /// Does not compile if a fault is missing above.
        #[allow(dead_code)]
        fn has_scenario(fault: Fault) {
            match fault {
                Fault::None => (),
                $(Fault::$fault => ()),+
            }
        }
    };
}

shipping! {
    detach two_stops gives_up stop_of_idle failing_attach set_error gate second_count reopened pins reclaimer_is_woken
    request_ends_full_speed each_ends_its_own stores_wake_the_thread
}

mutants! {
    NoWait: detach two_stops failing_attach set_error;
    NoCancel: detach two_stops;
    CancelFirst: detach failing_attach;
    SecondStopReturns: two_stops;
    NotForGood: detach failing_attach;
    QueueAfterCheck: detach two_stops;
    FlagClearedEarly: detach two_stops failing_attach;
    NoWake: detach gives_up;
    EndForgetsStop: set_error;
    ArmInTwoSteps: stop_of_idle;
    BeginInTwoSteps: detach two_stops;
    RunsUnarmed: detach two_stops;
    ArmsAfterStop: detach failing_attach;
    RetimesAlways: detach;
    EnterInTwoSteps: gate reopened failing_attach;
    EnterTooInTwoSteps: second_count;
    LeaveInTwoSteps: gate second_count reopened;
    LeaveSilently: gate second_count reopened failing_attach;
    IdleWithUsers: gate second_count reopened failing_attach;
    PinsUnneeded: pins;
    UnpinInTwoSteps: pins;
    OldestStoredLate: reclaimer_is_woken;
    ReclaimsPinned: pins;
    QuitsSilently: request_ends_full_speed each_ends_its_own;
    RequestKeepsCount: request_ends_full_speed;
    CountsInTwoSteps: request_ends_full_speed;
    LooksOnce: request_ends_full_speed;
    LooksBeforeRaise: request_ends_full_speed;
    LooksAtFlagAlone: request_ends_full_speed;
    LeavesRaisedRate: request_ends_full_speed;
    AsksNobody: stores_wake_the_thread;
    TakesAskingLate: stores_wake_the_thread;
}
