// SPDX-License-Identifier: GPL-2.0

//! What the controller does beyond C's law, and that it does no more than that.

use bcache_core::writeback::{
    control::{Control, Input, Law, Reason, TAIL_SECONDS},
    latency::Waits,
    pi::{self, PiInput, PiState, RATE_MAX},
};
use model::Rng;

const SECOND: u64 = 1_000_000_000;
const LAWS: [Law; 3] = [Law::Pi, Law::Adaptive, Law::Latency];

/// A device of a 100 GiB cache, target 20971520 sectors, at a time.
fn input(law: Law, seconds: u64, dirty: i64) -> Input {
    Input {
        law,
        pi: PiInput {
            nbuckets: 204_800,
            bucket_sectors: 1024,
            flash_dirty: 0,
            bdev_sectors: 1_000_000_000,
            cached_dev_sectors: 1_000_000_000,
            percent: 10,
            dirty,
            avail_buckets: 180_000,
            in_use: 12,
            consider_fragment: true,
            update_seconds: 5,
            p_inverse: 40,
            i_inverse: 10_000,
            fp_low: 1,
            fp_mid: 10,
            fp_high: 1000,
            minimum: 8,
            now_ns: seconds * SECOND,
            next_ns: seconds * SECOND,
            old_rate: 1024,
        },
        maximum: 0x7fff_ffff,
        cleaned: 0,
        waits: Waits::default(),
        latency_target_us: 20_000,
    }
}

const TARGET: i64 = 20_971_520;

/// Any input that the types allow, near edges.
fn wild(r: &mut Rng) -> Input {
    let mut n = |max: u64| r.edgy(max);
    let u32_max = u64::from(u32::MAX);
    Input {
        law: LAWS[(n(2)) as usize],
        pi: PiInput {
            nbuckets: n(u64::MAX),
            bucket_sectors: n(u32_max) as u32,
            flash_dirty: n(u64::MAX),
            bdev_sectors: n(u64::MAX),
            cached_dev_sectors: n(u64::MAX),
            percent: n(u32_max) as u32,
            dirty: n(u64::MAX) as i64,
            avail_buckets: n(u64::MAX),
            in_use: n(120) as u32,
            consider_fragment: n(1) == 1,
            update_seconds: n(u32_max) as u32,
            p_inverse: n(u32_max) as u32,
            i_inverse: n(u32_max) as u32,
            fp_low: n(u32_max) as u32,
            fp_mid: n(u32_max) as u32,
            fp_high: n(u32_max) as u32,
            minimum: n(u32_max) as u32,
            now_ns: n(u64::MAX),
            next_ns: n(u64::MAX),
            old_rate: n(u32_max) as u32,
        },
        maximum: n(u32_max) as u32,
        cleaned: n(u64::MAX),
        waits: Waits {
            count: n(u32_max) as u32,
            sum_us: n(u64::MAX),
        },
        latency_target_us: n(u32_max) as u32,
    }
}

/// Steps with any input, one after the other: no overflow, no panic, the rate within its limits, and the terms of C's
/// law where nothing of ours has a part.
#[test]
fn always_within_limits() {
    let mut r = Rng::new(0xc0de);
    let mut as_in_c = 0u32;
    for _ in 0..20_000 {
        let mut control = Control::default();
        for _ in 0..8 {
            let mut i = wild(&mut r);
            if r.below(2) == 0 {
                // Time mostly goes on, by a period.
                i.pi.now_ns = 5 * SECOND;
            }
            let state = PiState {
                integral: control.integral(),
            };
            let step = control.step(&i);
            let lo = i.pi.minimum.clamp(1, 0x7fff_ffff);
            let hi = i.maximum.min(RATE_MAX).max(lo);
            assert!((lo..=hi).contains(&step.out.rate), "{i:?} {step:?}");
            let sum = step
                .out
                .proportional
                .saturating_add(step.out.integral_scaled);
            assert_eq!(
                i64::from(step.out.rate),
                sum.clamp(lo.into(), hi.into()),
                "{i:?}"
            );
            as_in_c +=
                u32::from(state.integral == 0 && step.out == pi::step(&mut { state }, &i.pi));
        }
    }
    println!("{as_in_c} of 160000 steps are those of C's law");
    assert!(as_in_c > 1000, "{as_in_c}");
}

/// With default limits, no tail and one `i_inverse` the default is C's law, step by step.
#[test]
fn default_is_the_law_of_c() {
    let mut r = Rng::new(0xdef);
    let mut control = Control::default();
    let mut state = PiState::default();
    for n in 0..100_000 {
        let mut i = input(Law::Pi, n * 5, r.below(60_000_000) as i64);
        i.pi.next_ns = i.pi.next_ns + r.below(4_000_000) - 2_000_000;
        i.pi.in_use = r.below(50) as u32;
        assert_eq!(control.step(&i).out, pi::step(&mut state, &i.pi));
        assert_eq!(control.integral(), state.integral);
    }
    assert_ne!(state.integral, 0);
}

#[test]
fn maximum() {
    // C's law asks for 225712 + 4514.
    let mut i = input(Law::Pi, 5, 30_000_000);
    let rate = |i: &Input| Control::default().step(i);
    i.pi.next_ns += 5_000_000;
    assert_eq!(
        (rate(&i).out.rate, rate(&i).reason),
        (230_226, Reason::Terms)
    );
    i.maximum = 1000;
    assert_eq!(
        (rate(&i).out.rate, rate(&i).reason),
        (1000, Reason::Maximum)
    );
    assert_eq!(rate(&i).out.change, 1000 - 1024);
    // The minimum wins.
    i.pi.minimum = 5000;
    assert_eq!(
        (rate(&i).out.rate, rate(&i).reason),
        (5000, Reason::Maximum)
    );
    i.pi.dirty = 0;
    assert_eq!(
        (rate(&i).out.rate, rate(&i).reason),
        (5000, Reason::Minimum)
    );
}

/// The integral stops where it alone gives the maximum, so it is back as soon as the error is.
#[test]
fn integral_is_bounded() {
    let mut control = Control::default();
    for n in 0..1000 {
        let mut i = input(Law::Pi, n * 5, 2 * TARGET);
        i.maximum = 20_000;
        let step = control.step(&i);
        assert!(step.out.integral_scaled <= 20_000);
        assert_eq!(step.out.rate, 20_000);
    }
    assert_eq!(control.integral(), 200_000_000);
    // 1000 steps up are some steps down.
    for n in 1000..1004 {
        control.step(&input(Law::Pi, n * 5, TARGET / 2));
    }
    assert!(control.integral() <= 0);
}

/// A new `i_inverse` keeps the part of the integral in the rate; C multiplies it.
#[test]
fn integral_survives_its_inverse() {
    let mut control = Control::default();
    let at_target = |n: u64, inverse| {
        let mut i = input(Law::Pi, n * 5, TARGET);
        i.pi.i_inverse = inverse;
        i
    };
    for n in 0..100 {
        control.step(&input(Law::Pi, n * 5, TARGET + 1_000_000));
    }
    let before = control.step(&at_target(100, 10_000)).out;
    assert_eq!(before.integral_scaled, 50_000);
    for (n, inverse) in [10, 1, 4_000_000_000, 1, 123, 10_000]
        .into_iter()
        .enumerate()
    {
        let out = control.step(&at_target(101 + n as u64, inverse)).out;
        assert_eq!(out.integral_scaled, 50_000, "{inverse}");
    }
}

/// Fewer dirty sectors than buckets, all of the state space of the tail: gone in ten minutes or so, whatever the size
/// of the cache is. C: at the minimum.
#[test]
fn tail_does_not_crawl() {
    let mut cases = 0u32;
    for in_use in 51..=100 {
        for buckets in [1u64, 7, 1000, 112_640, 10_000_000, 1 << 40] {
            for share in [1u64, 2, 3, 10, 1000] {
                let dirty = (buckets / share).max(1) as i64;
                let mut i = input(Law::Pi, 5, dirty);
                i.pi.in_use = in_use;
                i.pi.nbuckets = buckets + 1000;
                i.pi.avail_buckets = 1000;
                let step = Control::default().step(&i);
                let seconds = dirty / i64::from(step.out.rate);
                let at_most = step.out.rate == RATE_MAX;
                assert!(
                    seconds <= TAIL_SECONDS || at_most,
                    "{in_use} {buckets} {dirty}: {step:?}"
                );
                // C's term is never cut.
                let c = pi::step(&mut PiState::default(), &i.pi);
                assert!(step.out.rate >= c.rate);
                if c.rate < step.out.rate {
                    let why = [Reason::Tail, Reason::Maximum];
                    assert_eq!(step.reason, why[usize::from(at_most)]);
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 500, "{cases}");
    // No tail: not fragmented, not to be considered, nothing dirty.
    let mut i = input(Law::Pi, 5, 20_000);
    i.pi.in_use = 60;
    i.pi.avail_buckets = 180_200;
    let rate = |i: &Input| Control::default().step(i).out.rate;
    assert_eq!(rate(&i), 41);
    assert_eq!(
        rate(&Input {
            pi: PiInput { in_use: 50, ..i.pi },
            ..i
        }),
        8
    );
    assert_eq!(
        rate(&Input {
            pi: PiInput {
                consider_fragment: false,
                ..i.pi
            },
            ..i
        }),
        8
    );
    assert_eq!(
        rate(&Input {
            pi: PiInput { dirty: 0, ..i.pi },
            ..i
        }),
        8
    );
}

/// At the target, with as much cleaned as comes in: the rate is the inflow, whatever was before.
#[test]
fn adaptive_follows_the_inflow() {
    let mut control = Control::default();
    let mut out = pi::PiOutput::default();
    for n in 1..100 {
        let mut i = input(Law::Adaptive, n, TARGET);
        i.cleaned = n * 3000;
        let step = control.step(&i);
        out = step.out;
        assert!(step.inflow <= 3000);
    }
    assert_eq!((out.proportional, out.integral_scaled), (0, 2999));
    // Above the target by t = 10 seconds of a rate.
    let mut i = input(Law::Adaptive, 100, TARGET + 10_000);
    i.cleaned = 100 * 3000 - 10_000;
    assert_eq!(control.step(&i).out.proportional, 1000);
    // The periods follow `writeback_rate_update_seconds`.
    assert_eq!(
        [1, 5, 6, 60].map(|t| Law::Adaptive.period(t)),
        [1, 1, 2, 12]
    );
    assert_eq!([1, 5, 60].map(|t| Law::Pi.period(t)), [1, 5, 60]);
    assert_eq!([1, 5, 60].map(|t| Law::Adaptive.idle_steps(t)), [6, 30, 30]);
    assert_eq!([1, 5, 60].map(|t| Law::Pi.idle_steps(t)), [6, 6, 6]);
}

/// Half a minute without new dirty data: from the next step on it drains, in ten minutes.
#[test]
fn adaptive_drains() {
    let mut control = Control::default();
    let mut last = control.step(&input(Law::Adaptive, 0, TARGET / 2));
    for n in 1..=31 {
        assert_ne!(last.reason, Reason::Drain, "{n}");
        last = control.step(&input(Law::Adaptive, n, TARGET / 2));
    }
    assert_eq!(last.reason, Reason::Drain);
    assert_eq!(i64::from(last.out.rate), TARGET / 600);
    // The step that sees a new sector is no slower for it, the next one is none of the drain.
    let step = control.step(&input(Law::Adaptive, 32, TARGET / 2 + 8));
    assert_eq!(i64::from(step.out.rate), TARGET / 600 + 4);
    let step = control.step(&input(Law::Adaptive, 33, TARGET / 2 + 8));
    assert_eq!((step.out.rate, step.reason), (8, Reason::Minimum));
}

#[test]
fn latency_moves_the_rate() {
    let run = |mean_us: u64, steps: u64| {
        let mut control = Control::default();
        let mut i = input(Law::Latency, 1, TARGET);
        i.pi.old_rate = 10_000;
        for n in 1..=steps {
            i.pi.now_ns = n * SECOND;
            // The thread is as fast as the rate is at first.
            i.cleaned = n * 10_000;
            i.waits = Waits {
                count: u32::from(mean_us != 0) * 5,
                sum_us: mean_us * 5,
            };
            i.pi.old_rate = control.step(&i).out.rate;
        }
        i.pi.old_rate
    };
    // The first step knows no outflow yet: it starts low.
    assert_eq!(run(0, 1), 512);
    // At the target it stays, below and with nobody there it grows, up to four times what is written.
    assert_eq!(run(20_000, 50), 512);
    assert!(run(15_000, 3) > 512 && run(15_000, 3) < run(0, 3));
    assert_eq!((run(0, 60), run(1, 60)), (39_996, 39_996));
    // Above it falls, to the minimum.
    assert!(run(25_000, 3) < 512 && run(25_000, 3) > run(60_000, 3));
    assert_eq!(run(1 << 50, 60), 8);
}

/// A change of the law starts from the rate that was.
#[test]
fn laws_change() {
    let mut control = Control::default();
    for n in 0..50 {
        control.step(&input(Law::Pi, n * 5, 2 * TARGET));
    }
    assert_ne!(control.integral(), 0);
    let mut i = input(Law::Latency, 251, 2 * TARGET);
    i.pi.old_rate = 400;
    i.waits = Waits {
        count: 1,
        sum_us: 20_000,
    };
    assert_eq!(control.step(&i).out.rate, 400);
    let back = control.step(&input(Law::Pi, 255, TARGET));
    assert_eq!((back.out.integral_scaled, control.integral()), (0, 0));
}
