// SPDX-License-Identifier: GPL-2.0

//! The controller over its whole input space: against the law in exact arithmetic everywhere, against the model
//! in C's integer widths on all inputs that C can take, and each kind of input that C cannot take on its own.
//!
//! What is compared with C is [`Control::step`], which ships. Where it does something else than C by intent, that is left
//! out of the comparison and has a test of its own: [`tail_beyond_c`], [`integral_within_the_maximum`],
//! [`maximum_beyond_c`], [`new_inverse_beyond_c`].

use bcache_core::writeback::{
    control::{Control, Input, Law, Reason, Step, TAIL_SECONDS},
    latency::Waits,
    pi::{step, PiInput, PiOutput, PiState, RATE_MAX},
};
use model::{c_rate::in_c, Rng};

const NOW: u64 = 1 << 50;
const U32: u64 = u32::MAX as u64;
/// The highest rate that C can hold.
const INT_MAX: u32 = i32::MAX as u32;

/// The nearest number that the type of the term has.
fn sat(v: i128) -> i64 {
    v.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The nearest unsigned number.
fn usat(v: i128) -> u64 {
    v.clamp(0, u64::MAX.into()) as u64
}

/// The target of the law: the device's share of a percentage of the cache.
fn exact_target(i: &PiInput) -> u64 {
    let cache = usat(i128::from(i.nbuckets) * i128::from(i.bucket_sectors));
    let cache = cache.saturating_sub(i.flash_dirty);
    let scaled = usat(i128::from(i.bdev_sectors) << 14);
    let share = match i.cached_dev_sectors {
        0 => 1,
        all => (scaled / all).clamp(1, U32),
    };
    let whole = usat(i128::from(cache) * i128::from(i.percent) / 100);
    usat((i128::from(whole) * i128::from(share)) >> 14)
}

/// What fragmentation asks for.
fn exact_fragment(i: &PiInput) -> Option<i64> {
    let buckets = i
        .nbuckets
        .saturating_sub(i.avail_buckets)
        .min(i64::MAX as u64);
    if !i.consider_fragment || i.dirty <= 0 || i.in_use <= 50 || buckets == 0 {
        return None;
    }
    let used = sat(i128::from(buckets) * i128::from(i.bucket_sectors));
    let (gain, above) = match i.in_use {
        0..=57 => (i.fp_low, 50),
        58..=64 => (i.fp_mid, 57),
        _ => (i.fp_high, 64),
    };
    let gain = sat(i128::from(gain) * i128::from(i.in_use - above));
    let term = sat(i128::from(i.dirty / buckets as i64) * i128::from(gain));
    (used / i.dirty > 3).then_some(term)
}

/// The law, with each named term limited to what 64 bits hold.
fn exact(i: &PiInput, integral: i64) -> (PiOutput, i64) {
    let target = exact_target(i);
    let error = sat(i128::from(i.dirty) - i128::from(target.min(i64::MAX as u64)));
    let mut proportional = error / i64::from(i.p_inverse.max(1));
    if let Some(term) = exact_fragment(i) {
        proportional = proportional.max(term);
    }
    let deadline = i.next_ns.wrapping_add(1_000_000);
    let keeping_up = i.now_ns.wrapping_sub(deadline) >> 63 == 1;
    let counts = (error < 0 && integral > 0) || (error > 0 && keeping_up);
    let grown = sat(i128::from(error) * i128::from(i.update_seconds));
    let integral = if counts {
        integral.saturating_add(grown)
    } else {
        integral
    };
    let integral_scaled = integral / i64::from(i.i_inverse.max(1));
    let sum = proportional.saturating_add(integral_scaled);
    let lowest = i64::from(i.minimum.clamp(1, INT_MAX));
    let rate = sum.min(i64::from(RATE_MAX)).max(lowest) as u32;
    let out = PiOutput {
        rate,
        target,
        dirty: i.dirty,
        error,
        proportional,
        integral_scaled,
        change: i64::from(rate) - i64::from(i.old_rate),
    };
    (out, integral)
}

/// The controller's step, which has to be that of the law and within the bounds.
fn law(i: &PiInput, integral: i64) -> (PiOutput, i64) {
    let mut state = PiState { integral };
    let out = step(&mut state, i);
    assert_eq!(
        (out, state.integral),
        exact(i, integral),
        "{i:?} {integral}"
    );
    assert!(out.rate >= i.minimum.clamp(1, INT_MAX), "{i:?}");
    assert!(out.rate <= RATE_MAX.max(i.minimum).min(INT_MAX), "{i:?}");
    (out, state.integral)
}

/// The least term while the cache is fragmented, which C does not have.
fn exact_tail(i: &PiInput) -> Option<i64> {
    let buckets = i.nbuckets.saturating_sub(i.avail_buckets);
    let buckets = i128::from(buckets.min(i64::MAX as u64));
    exact_fragment(i)
        .map(|_| sat((buckets + i128::from(TAIL_SECONDS) - 1) / i128::from(TAIL_SECONDS)))
}

/// The furthest that the integral gets.
fn furthest(i: &Input) -> i64 {
    sat(i128::from(i.maximum.min(RATE_MAX)) * i128::from(i.pi.i_inverse.max(1)))
}

/// The law with what this driver does beyond C: the tail, and the maximum for rate and integral.
fn exact_step(i: &Input, integral: i64) -> (PiOutput, Reason, i64) {
    let (mut out, integral) = exact(&i.pi, integral);
    let integral = integral.clamp(-furthest(i), furthest(i));
    out.integral_scaled = integral / i64::from(i.pi.i_inverse.max(1));
    let plain = out.error / i64::from(i.pi.p_inverse.max(1));
    let mut reason = Reason::Terms;
    if let (Some(term), Some(tail)) = (exact_fragment(&i.pi), exact_tail(&i.pi)) {
        if term.max(tail) >= plain {
            out.proportional = term.max(tail);
            reason = if tail > term {
                Reason::Tail
            } else {
                Reason::Fragment
            };
        }
    }
    let sum = out.proportional.saturating_add(out.integral_scaled);
    out.rate = limited(i, sum);
    out.change = i64::from(out.rate) - i64::from(i.pi.old_rate);
    if sum < i64::from(out.rate) {
        reason = Reason::Minimum;
    } else if sum > i64::from(out.rate) {
        reason = Reason::Maximum;
    }
    (out, reason, integral)
}

/// A sum of terms as a rate.
fn limited(i: &Input, sum: i64) -> u32 {
    let highest = i64::from(i.maximum.min(RATE_MAX));
    let lowest = i64::from(i.pi.minimum.clamp(1, INT_MAX));
    sum.min(highest).max(lowest) as u32
}

/// The controller with this integral, to which it is brought by steps; `None` if it never gets there.
fn having(integral: i64, i_inverse: u32) -> Option<Control> {
    let mut control = Control::default();
    let mut add = |error: i64| {
        let pi = PiInput {
            dirty: error,
            update_seconds: 1,
            i_inverse,
            now_ns: NOW,
            next_ns: NOW,
            ..PiInput::default()
        };
        control.step(&Input {
            pi,
            maximum: INT_MAX,
            ..Input::default()
        });
    };
    if integral < 0 {
        // It goes down from above 0 only.
        add(1);
        add(integral.saturating_sub(1));
    } else {
        add(integral);
    }
    (control.integral() == integral).then_some(control)
}

/// What the driver hands over by default. What C's law has nothing to do with is anything.
fn by_default(r: &mut Rng, pi: PiInput) -> Input {
    Input {
        law: Law::Pi,
        pi,
        maximum: INT_MAX,
        cleaned: r.next(),
        waits: Waits {
            count: r.next() as u32,
            sum_us: r.next(),
        },
        latency_target_us: r.next() as u32,
    }
}

/// A step of the controller that ships, which has to be that of the law.
fn ships(control: &mut Control, i: &Input) -> Step {
    let before = control.integral();
    let step = control.step(i);
    assert_eq!(
        (step.out, step.reason, control.integral()),
        exact_step(i, before),
        "{i:?} {before}"
    );
    step
}

/// The numbers of an input, to be set by their place.
const FIELDS: [fn(&mut PiInput, u64); 18] = [
    |i, v| i.nbuckets = v,
    |i, v| i.bucket_sectors = v as u32,
    |i, v| i.flash_dirty = v,
    |i, v| i.bdev_sectors = v,
    |i, v| i.cached_dev_sectors = v,
    |i, v| i.percent = v as u32,
    |i, v| i.dirty = v as i64,
    |i, v| i.avail_buckets = v,
    |i, v| i.in_use = v as u32,
    |i, v| i.update_seconds = v as u32,
    |i, v| i.p_inverse = v as u32,
    |i, v| i.i_inverse = v as u32,
    |i, v| i.fp_low = v as u32,
    |i, v| i.fp_mid = v as u32,
    |i, v| i.fp_high = v as u32,
    |i, v| i.minimum = v as u32,
    |i, v| i.old_rate = v as u32,
    |i, v| i.next_ns = v,
];

/// Where integers of any width begin and end.
fn borders() -> Vec<u64> {
    let mut all = vec![0, 1, 2, 3, 50, 57, 64, 99, 100, 101, 1_000_000_000];
    for bits in [8, 14, 15, 16, 31, 32, 33, 47, 62, 63] {
        all.extend([(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
    }
    all.extend([
        u64::MAX - 1,
        u64::MAX,
        0u64.wrapping_sub(1 << 31),
        0u64.wrapping_sub(1 << 32),
    ]);
    all
}

/// An input of a running system.
fn usual() -> PiInput {
    PiInput {
        nbuckets: 204_800,
        bucket_sectors: 1024,
        bdev_sectors: 1_000_000_000,
        cached_dev_sectors: 1_000_000_000,
        percent: 10,
        dirty: 30_000_000,
        avail_buckets: 61_440,
        in_use: 70,
        consider_fragment: true,
        update_seconds: 5,
        p_inverse: 40,
        i_inverse: 10_000,
        fp_low: 1,
        fp_mid: 10,
        fp_high: 1000,
        minimum: 8,
        now_ns: NOW,
        next_ns: NOW,
        old_rate: 1024,
        ..PiInput::default()
    }
}

/// An input near the borders of what C can take.
fn in_range(r: &mut Rng) -> (PiInput, i64) {
    let nbuckets = 513 + r.edgy(1 << 27);
    let bucket_sectors = 1 << (3 + r.below(10));
    let cache = nbuckets * bucket_sectors;
    let bdev_sectors = 1 + r.edgy(1 << 36);
    let avail_buckets = r.edgy(nbuckets - 1);
    let buckets = nbuckets - avail_buckets;
    let near = r.below(5);
    let dirty = match r.below(8) {
        // Where fragmentation ceases, and where its quotient changes.
        0 => (buckets * bucket_sectors / 4 + near).saturating_sub(2),
        1 => (buckets * (1 + r.below(4)) + near).saturating_sub(2),
        _ => r.edgy(cache),
    };
    let consider_fragment = r.below(4) != 0;
    // C multiplies what is dirty in 32 bits where the cache is fragmented. It may be less than 0 for a moment.
    let dirty = match (r.below(16), consider_fragment) {
        (0, _) => -(r.edgy(1 << 40) as i64),
        (_, true) => dirty.min(cache.min(0x7fff_ffff)) as i64,
        (_, false) => dirty.min(cache) as i64,
    };
    let gains = if r.below(2) == 0 {
        [1, 10, 1000]
    } else {
        let [low, mid, high] = [r.edgy(1000), r.edgy(1000), r.edgy(100_000)];
        [1 + low, 1002 + mid, 2003 + high].map(|gain| gain as u32)
    };
    let input = PiInput {
        nbuckets,
        bucket_sectors: bucket_sectors as u32,
        flash_dirty: if r.below(2) == 0 { 0 } else { r.edgy(cache) },
        bdev_sectors,
        cached_dev_sectors: bdev_sectors + r.edgy(1 << 38),
        percent: r.edgy(70) as u32,
        dirty,
        avail_buckets,
        in_use: (if r.below(2) == 0 {
            r.edgy(100)
        } else {
            48 + r.below(20)
        }) as u32,
        consider_fragment,
        update_seconds: 1 + r.edgy(59) as u32,
        p_inverse: 1 + r.edgy(0x7fff_fffe) as u32,
        i_inverse: 1 + r.edgy(0x7fff_fffe) as u32,
        fp_low: gains[0],
        fp_mid: gains[1],
        fp_high: gains[2],
        minimum: 1 + r.edgy(999_999_999) as u32,
        now_ns: NOW,
        next_ns: NOW + r.edgy(4_000_000) - 2_000_000,
        old_rate: 1 + r.edgy(0x7fff_fffe) as u32,
    };
    let integral = r.edgy(1 << 52) as i64;
    (input, if r.below(2) == 0 { integral } else { -integral })
}

/// Any input that the types allow.
fn any(r: &mut Rng) -> (PiInput, i64) {
    let mut input = usual();
    input.consider_fragment = r.below(4) != 0;
    for set in FIELDS {
        // Some are left as they usually are: else nearly all would be out of every range.
        match r.below(3) {
            0 => (),
            1 => set(&mut input, r.edgy(U32)),
            _ => set(&mut input, r.edgy(u64::MAX)),
        }
    }
    (input, r.edgy(u64::MAX) as i64)
}

/// A million steps of the controller that ships are those of C, some of them one after the other.
#[test]
fn a_million_inputs_as_in_c() {
    let mut r = Rng::new(0xc0ffee);
    let (mut compared, mut tails, mut bounded) = (0u64, 0u64, 0u64);
    let (mut fragmented, mut decided, mut wound, mut carried) = (0u64, 0u64, 0u64, 0u64);
    for chain in 0.. {
        if compared >= 1_000_000 {
            break;
        }
        assert!(chain < 2_000_000, "{compared} in range");
        let (mut input, integral) = in_range(&mut r);
        let (i_inverse, mut c_integral) = (input.i_inverse, integral);
        let Some(mut control) = having(integral, i_inverse) else {
            bounded += 1;
            continue;
        };
        for n in 0..4 {
            let before = c_integral;
            let Some(c) = in_c(&input, &mut c_integral) else {
                break;
            };
            let shipping = by_default(&mut r, input);
            let step = control.step(&shipping);
            if c_integral.abs() > furthest(&shipping) {
                bounded += 1;
                break;
            }
            let ours = (step.out, control.integral());
            if exact_tail(&input).is_some_and(|tail| tail > c.proportional) {
                tails += 1;
                assert_eq!(ours.1, c_integral, "{input:?} {before}");
            } else {
                assert_eq!(ours, (c, c_integral), "{input:?} {before}");
                compared += 1;
                fragmented += u64::from(exact_fragment(&input) == Some(c.proportional));
                decided += u64::from(step.reason == Reason::Fragment);
                wound += u64::from(c_integral != before);
                carried += u64::from(n > 0);
            }
            // C has no say in what becomes of the integral with another inverse.
            input = PiInput {
                i_inverse,
                ..in_range(&mut r).0
            };
        }
    }
    println!(
        "{compared} compared: {fragmented} by the term of fragmentation, the rate too in {decided}; integral changed in {wound}, carried in {carried}"
    );
    println!("excepted: {tails} tails, {bounded} integrals beyond the maximum");
    assert!(fragmented > 50_000 && decided > 20_000);
    assert!(wound > 50_000 && carried > 200_000);
}

/// Where C's law leaves a fragmented cache to the minimum the tail takes the term's place, and nothing else differs.
#[test]
fn tail_beyond_c() {
    let (mut r, mut tails, mut faster) = (Rng::new(0x7a11), 0u64, 0u64);
    while tails < 20_000 {
        let (mut input, integral) = in_range(&mut r);
        (input.consider_fragment, input.in_use) = (true, 51 + r.below(50) as u32);
        input.dirty = input.dirty.min(r.edgy(1 << 28) as i64);
        let Some(mut control) = having(integral, input.i_inverse) else {
            continue;
        };
        let mut c_integral = integral;
        let (Some(c), Some(tail)) = (in_c(&input, &mut c_integral), exact_tail(&input)) else {
            continue;
        };
        let shipping = by_default(&mut r, input);
        if tail <= c.proportional || c_integral.abs() > furthest(&shipping) {
            continue;
        }
        let rate = limited(&shipping, tail + c.integral_scaled);
        let ours = PiOutput {
            proportional: tail,
            rate,
            change: i64::from(rate) - i64::from(input.old_rate),
            ..c
        };
        assert_eq!(control.step(&shipping).out, ours, "{input:?} {integral}");
        assert_eq!(control.integral(), c_integral);
        assert!(rate >= c.rate, "{input:?}");
        tails += 1;
        faster += u64::from(rate > c.rate);
    }
    assert!(faster > 1000, "{faster}");
}

/// C's integral goes on where the maximum is reached by it alone; ours stops there, and nothing else differs.
#[test]
fn integral_within_the_maximum() {
    let (mut r, mut stopped) = (Rng::new(0xb0), [0u64; 2]);
    while stopped.iter().any(|n| *n < 1_000) {
        let (mut input, _) = in_range(&mut r);
        input.consider_fragment = false;
        let shipping = by_default(&mut r, input);
        let most = furthest(&shipping);
        // Down from where it is above 0 only: a step may lead from there beyond the other end.
        let integral = match r.below(2) {
            0 => most - r.edgy(1 << 33).min(most as u64) as i64,
            _ => 1 + r.edgy(1 << 10) as i64,
        };
        let Some(mut control) = having(integral, input.i_inverse) else {
            continue;
        };
        let mut c_integral = integral;
        let Some(c) = in_c(&input, &mut c_integral) else {
            continue;
        };
        if c_integral.abs() <= most {
            continue;
        }
        let scaled = i64::from(RATE_MAX) * c_integral.signum();
        let rate = limited(&shipping, c.proportional + scaled);
        let ours = PiOutput {
            integral_scaled: scaled,
            rate,
            change: i64::from(rate) - i64::from(input.old_rate),
            ..c
        };
        assert_eq!(control.step(&shipping).out, ours, "{input:?} {integral}");
        assert_eq!(control.integral(), most * c_integral.signum());
        stopped[usize::from(c_integral < 0)] += 1;
    }
}

/// The maximum cuts C's rate and bounds the integral, and nothing else differs; the minimum wins over it.
#[test]
fn maximum_beyond_c() {
    let (mut r, mut cut, mut compared) = (Rng::new(0x3a), 0u64, 0u64);
    while compared < 20_000 {
        let (mut input, integral) = in_range(&mut r);
        input.consider_fragment = false;
        let Some(mut control) = having(integral, input.i_inverse) else {
            continue;
        };
        let mut c_integral = integral;
        let Some(c) = in_c(&input, &mut c_integral) else {
            continue;
        };
        let mut shipping = by_default(&mut r, input);
        shipping.maximum = r.edgy(U32) as u32;
        let step = control.step(&shipping);
        let kept = c_integral.clamp(-furthest(&shipping), furthest(&shipping));
        assert_eq!(control.integral(), kept, "{shipping:?} {integral}");
        if kept != c_integral {
            continue;
        }
        let rate = c.rate.min(shipping.maximum.max(input.minimum));
        let ours = PiOutput {
            rate,
            change: i64::from(rate) - i64::from(input.old_rate),
            ..c
        };
        assert_eq!(step.out, ours, "{shipping:?} {integral}");
        compared += 1;
        cut += u64::from(rate < c.rate);
    }
    assert!(cut > 500, "{cut}");
}

/// With a new inverse the step is that of C with the integral that is with it what the old one was before.
#[test]
fn new_inverse_beyond_c() {
    let (mut r, mut compared) = (Rng::new(0x14), 0u64);
    while compared < 20_000 {
        let (mut input, integral) = in_range(&mut r);
        input.consider_fragment = false;
        let old = input.i_inverse;
        input.i_inverse = 1 + r.edgy(0x7fff_fffe) as u32;
        let Some(mut control) = having(integral, old).filter(|_| old != input.i_inverse) else {
            continue;
        };
        let kept = i128::from(integral) * i128::from(input.i_inverse) / i128::from(old);
        let mut c_integral = sat(kept);
        let c = in_c(&input, &mut c_integral);
        let shipping = by_default(&mut r, input);
        let Some(c) = c.filter(|_| c_integral.abs() <= furthest(&shipping)) else {
            continue;
        };
        let ours = (control.step(&shipping).out, control.integral());
        assert_eq!(ours, (c, c_integral), "{input:?} {integral} {old}");
        compared += 1;
    }
}

/// Steps of the controller that ships with any input, one after the other: what it does beyond C is exact everywhere.
#[test]
fn chains_of_any_kind() {
    let (mut r, mut reasons) = (Rng::new(0xbeef), [0u64; 5]);
    for _ in 0..50_000 {
        let (mut control, mut inverse) = (Control::default(), None);
        for _ in 0..4 {
            let mut input = by_default(&mut r, PiInput::default());
            input.pi = any(&mut r).0;
            input.maximum = r.edgy(U32) as u32;
            // What a change of it does is looked at elsewhere.
            input.pi.i_inverse = *inverse.get_or_insert(input.pi.i_inverse);
            let step = ships(&mut control, &input);
            reasons[step.reason as usize] += 1;
        }
    }
    println!("terms, minimum, maximum, fragment, tail: {reasons:?}");
    assert!(reasons.iter().all(|n| *n > 500));
}

#[test]
fn a_million_inputs_of_any_kind() {
    let mut r = Rng::new(0xdead);
    for _ in 0..1_000_000 {
        let (input, integral) = any(&mut r);
        law(&input, integral);
    }
}

/// All pairs of fields at all pairs of borders.
#[test]
fn borders_in_pairs() {
    let (borders, mut steps) = (borders(), 0u64);
    for integral in [0, 1, -1, i64::MIN, i64::MAX] {
        for (n, set) in FIELDS.iter().enumerate() {
            for other in &FIELDS[n + 1..] {
                for v in &borders {
                    for w in &borders {
                        let mut input = usual();
                        set(&mut input, *v);
                        other(&mut input, *w);
                        law(&input, integral);
                        steps += 1;
                    }
                }
            }
        }
    }
    println!("{steps} steps");
}

/// More dirty data never lowers the rate, whatever the other inputs and the integral, with one exception: the
/// fragmentation term. It raises the rate as long as less than a fourth of the space in use is dirty and
/// ceases there, so that the rate may fall where dirty data grows past that fourth: see [`fragmentation_ceases`].
///
/// C's law, and the controller that ships: with tail and maximum, and with any integral that it can have.
#[test]
fn monotone_in_dirty() {
    let mut r = Rng::new(0x3030);
    let (mut compared, mut excepted, mut shipped) = (0u64, 0u64, [0u64; 2]);
    for n in 0..600_000 {
        let (input, integral) = if n % 2 == 0 {
            in_range(&mut r)
        } else {
            any(&mut r)
        };
        let other = match r.below(3) {
            0 => input.dirty.saturating_add(1 + r.below(4) as i64),
            1 => r.edgy(u64::MAX) as i64,
            _ => r.edgy(1 << 32) as i64,
        };
        let less = PiInput {
            dirty: input.dirty.min(other),
            ..input
        };
        let more = PiInput {
            dirty: input.dirty.max(other),
            ..input
        };
        let (low, low_integral) = law(&less, integral);
        let (high, high_integral) = law(&more, integral);
        assert!(
            low.error <= high.error && low_integral <= high_integral,
            "{less:?} {more:?}"
        );
        let was_fragmented = exact_fragment(&less).is_some();
        let ceases = was_fragmented && exact_fragment(&more).is_none();
        if ceases {
            excepted += 1;
        } else {
            assert!(low.rate <= high.rate, "{less:?} {more:?} {integral}");
            compared += 1;
        }
        if let Some(control) = having(integral, input.i_inverse) {
            let mut low = by_default(&mut r, less);
            low.maximum = (r.edgy(U32) as u32).max(r.below(2) as u32 * INT_MAX);
            let high = Input { pi: more, ..low };
            let (mut of_low, mut of_high) = (control, control);
            let (low, high) = (of_low.step(&low), of_high.step(&high));
            assert!(of_low.integral() <= of_high.integral());
            if !ceases {
                assert!(
                    low.out.rate <= high.out.rate,
                    "{less:?} {more:?} {integral}"
                );
                shipped[usize::from(was_fragmented)] += 1;
            }
        }
    }
    println!(
        "{compared} pairs of C's law, {shipped:?} that ship; {excepted} where fragmentation ceases"
    );
    assert!(compared > 400_000 && shipped[0] > 100_000 && shipped[1] > 20_000);
}

/// The adaptive law from a state that it can have, with two amounts of dirty data: more never lowers the rate, but where
/// fragmentation ceases. Near the target, where the trim moves, and out of there; in a drain, and with the sector that ends it.
/// The latency law has the same rate for both.
#[test]
fn monotone_in_dirty_when_adaptive() {
    const SECOND: u64 = 1_000_000_000;
    let mut r = Rng::new(0xada);
    let (mut compared, mut excepted, mut across) = (0u64, 0u64, [0u64; 2]);
    for n in 0..100_000 {
        let (mut pi, _) = if n % 2 == 0 {
            in_range(&mut r)
        } else {
            any(&mut r)
        };
        pi.update_seconds = 1 + r.below(60) as u32;
        (pi.now_ns, pi.next_ns) = (NOW, NOW.wrapping_sub(r.below(3)));
        let mut input = by_default(&mut r, pi);
        input.law = Law::Adaptive;
        let size = exact_target(&pi).clamp(8, 1 << 48);
        let mut control = Control::default();
        let quiet = r.below(4) == 0;
        for _ in 0..r.below(40) {
            input.pi.dirty = if quiet {
                size as i64
            } else {
                r.below(2 * size) as i64
            };
            let long = if quiet { 60 * SECOND } else { SECOND };
            input.pi.now_ns = input.pi.now_ns.wrapping_add(SECOND + r.below(long));
            input.pi.next_ns = input.pi.now_ns;
            control.step(&input);
        }
        input.pi.now_ns = input.pi.now_ns.wrapping_add(SECOND);
        let (a, b) = (r.below(2 * size) as i64, r.below(2 * size) as i64);
        let [less, more] = [a.min(b), a.max(b)].map(|dirty| {
            let mut input = input;
            input.pi.dirty = dirty;
            let (mut control, target) = (control, exact_target(&input.pi));
            let aimed = control.reaim(&input).map(|s| s.out.rate);
            let step = control.step(&input);
            let error = sat(i128::from(dirty) - i128::from(target));
            let near = error.saturating_abs() <= sat(i128::from(target)) / 4;
            let fragmented = exact_fragment(&input.pi).is_some();
            let (mut of_latency, mut other) = (Control::default(), input);
            other.law = Law::Latency;
            let latency = of_latency.step(&other).out.rate;
            (step, aimed, latency, fragmented, near)
        });
        assert_eq!(less.2, more.2);
        if less.3 && !more.3 {
            excepted += 1;
            continue;
        }
        let rates = less.0.out.rate <= more.0.out.rate && less.1 <= more.1;
        assert!(rates, "{input:?} {less:?} {more:?}");
        compared += 1;
        across[0] += u64::from(less.4 != more.4);
        let drains = less.0.reason == Reason::Drain;
        across[1] += u64::from(drains && less.0.inflow == 0 && more.0.inflow > 0);
    }
    println!("{compared} pairs, {across:?} across a border of the trim, of a drain; {excepted} where fragmentation ceases");
    assert!(compared > 60_000 && across[0] > 5000 && across[1] > 500);
}

/// A change of the target between two steps: the rate is that of a step with the new one which sums nothing up.
#[test]
fn aims_at_once() {
    let (mut r, mut compared) = (Rng::new(0xa1), 0u64);
    while compared < 100_000 {
        let (input, integral) = if compared % 2 == 0 {
            in_range(&mut r)
        } else {
            any(&mut r)
        };
        let Some(control) = having(integral, input.i_inverse) else {
            continue;
        };
        let input = by_default(&mut r, input);
        if integral.saturating_abs() > furthest(&input) {
            continue;
        }
        let mut still = input;
        still.pi.update_seconds = 0;
        let want = exact_step(&still, integral);
        let got = control.reaim(&input).map(|s| (s.out, s.reason, integral));
        assert_eq!(got, Some(want), "{input:?} {integral}");
        compared += 1;
    }
}

/// What does not look at the target keeps its rate, as does a law that has not made a step.
#[test]
fn aims_at_nothing() {
    let (mut control, mut input) = (Control::default(), by_default(&mut Rng::new(1), usual()));
    assert!(control.reaim(&input).is_some());
    for law in [Law::Latency, Law::Adaptive] {
        input.law = law;
        assert_eq!(control.reaim(&input), None);
        control.step(&input);
        assert_eq!(control.reaim(&input).is_some(), law == Law::Adaptive);
    }
}

/// The exception of [`monotone_in_dirty`]: from one sector to the next the term and the tail are gone. The rate may fall,
/// but to no less than what it would be without them, and that goes on rising.
#[test]
fn fragmentation_ceases() {
    let (mut r, mut fell, mut pairs) = (Rng::new(0x4), 0u64, 0u64);
    while pairs < 50_000 {
        let (mut input, integral) = in_range(&mut r);
        (input.consider_fragment, input.in_use) = (true, 51 + r.below(50) as u32);
        let used = (input.nbuckets - input.avail_buckets) * u64::from(input.bucket_sectors);
        let Some(control) = having(integral, input.i_inverse) else {
            continue;
        };
        let rate = |dirty: u64, consider_fragment: bool| {
            let pi = PiInput {
                dirty: dirty as i64,
                consider_fragment,
                ..input
            };
            let input = Input {
                pi,
                maximum: INT_MAX,
                ..Input::default()
            };
            ships(&mut control.clone(), &input).out.rate
        };
        // A fourth of it, and a sector more.
        let (last, first) = (used / 4, used / 4 + 1);
        assert_eq!(rate(first, true), rate(first, false), "{input:?}");
        assert!(rate(last, true) >= rate(last, false), "{input:?}");
        assert!(rate(first, false) >= rate(last, false), "{input:?}");
        fell += u64::from(rate(first, true) < rate(last, true));
        pairs += 1;
    }
    assert!(fell > 5_000, "{fell}");
}

/// The same as it happens.
#[test]
fn rate_falls_where_fragmentation_ceases() {
    let rate = |dirty| {
        let pi = PiInput { dirty, ..usual() };
        let mut control = Control::default();
        let shipping = ships(&mut control, &by_default(&mut Rng::new(1), pi)).out;
        assert_eq!(law(&pi, 0).0, shipping);
        shipping.rate
    };
    // 143360 buckets in use are 146800640 sectors.
    assert_eq!(rate(36_700_160), 256 * 6 * 1000 + 7864);
    assert_eq!(rate(36_700_161), 393_216 + 7864);
}

/// Runs random inputs of which `make` makes such as C cannot take, and gives the rates.
fn excepted(seed: u64, make: impl Fn(&mut Rng, &mut PiInput)) -> Vec<(PiInput, PiOutput)> {
    let mut r = Rng::new(seed);
    let mut all = Vec::new();
    for _ in 0..20_000 {
        let (mut input, mut integral) = in_range(&mut r);
        make(&mut r, &mut input);
        all.push((input, law(&input, integral).0));
        assert_eq!(in_c(&input, &mut integral), None, "{input:?} {integral}");
    }
    all
}

/// C: the sum is cut to 32 bits and looks negative, the slowest rate when there is most to do (H3).
#[test]
fn sums_beyond_32_bits() {
    let all = excepted(1, |r, i| {
        // Two sets of 8 EiB.
        i.nbuckets = 1 << 50;
        i.flash_dirty = 0;
        (i.bdev_sectors, i.cached_dev_sectors) = (1, 1);
        (i.percent, i.p_inverse) = (0, 1 + r.below(40) as u32);
        i.dirty = (1 << 52) + r.edgy(1 << 52) as i64;
        (i.consider_fragment, i.next_ns) = (false, i.now_ns - 5_000_000);
        i.i_inverse = INT_MAX;
    });
    for (input, out) in all {
        assert_eq!(out.rate, RATE_MAX.max(input.minimum), "{input:?}");
    }
}

/// C: a negative divisor turns the term around (H4).
#[test]
fn inverses_beyond_31_bits() {
    let inverse = |r: &mut Rng| (INT_MAX + 1).saturating_add(r.edgy(U32) as u32 % INT_MAX);
    for (input, out) in excepted(2, |r, i| i.p_inverse = inverse(r)) {
        let fragment = exact_fragment(&input).unwrap_or(i64::MIN);
        assert_eq!(
            out.proportional,
            (out.error / i64::from(input.p_inverse)).max(fragment)
        );
    }
    excepted(3, |r, i| i.i_inverse = inverse(r));
    // No gain at all would divide by zero.
    excepted(4, |_, i| i.p_inverse = 0);
    excepted(5, |_, i| i.i_inverse = 0);
}

/// C: a divisor of 32 bits; 1 TiB of dirty data turns fragmentation off, 2 TiB divide by zero (H4).
#[test]
fn more_than_a_tebibyte_dirty() {
    let all = excepted(6, |r, i| {
        (i.nbuckets, i.bucket_sectors, i.avail_buckets) = (1 << 28, 1 << 13, 1 << 20);
        (i.in_use, i.consider_fragment) = (51 + r.below(49) as u32, true);
        i.dirty = match r.below(2) {
            0 => (1 + r.below(3) as i64) << 32,
            _ => (1 << 31) + r.edgy(1 << 32) as i64,
        };
    });
    for (input, out) in all {
        let term = exact_fragment(&input).unwrap();
        assert!(out.proportional >= term, "{input:?}");
    }
}

/// C: a minimum above 2^31 becomes a negative bound, so that the rate may be 0, by which the thread divides (H2).
#[test]
fn minimum_beyond_31_bits() {
    let all = excepted(7, |r, i| {
        i.minimum = (INT_MAX + 1).saturating_add(r.edgy(U32) as u32 / 2)
    });
    for (input, out) in all {
        assert_eq!(out.rate, INT_MAX, "{input:?}");
    }
    // sysfs refuses 0, but the controller does not rely on that.
    for (input, out) in excepted(8, |_, i| i.minimum = 0) {
        assert!(out.rate >= 1, "{input:?}");
    }
}

/// C: its bound of 10^9 sectors per second wins over a minimum above it, but only while the sum is above that; here the minimum.
#[test]
fn minimum_above_the_maximum() {
    let (mut r, mut lower, mut same) = (Rng::new(9), 0u64, 0u64);
    for _ in 0..200_000 {
        let (mut input, mut integral) = in_range(&mut r);
        input.minimum = RATE_MAX + 1 + r.below(u64::from(INT_MAX - RATE_MAX)) as u32;
        let out = law(&input, integral).0;
        assert_eq!(out.rate, input.minimum);
        if let Some(c) = in_c(&input, &mut integral) {
            let sum = c.proportional + c.integral_scaled;
            if sum >= i64::from(RATE_MAX) {
                assert_eq!(c.rate, RATE_MAX, "{input:?}");
                lower += 1;
            } else {
                assert_eq!(c.rate, input.minimum, "{input:?}");
                same += 1;
            }
        }
    }
    println!("C: {lower} lower, {same} the same");
    assert!(lower > 100 && same > 1000);
}

/// C: divides by the sum of the sizes of all devices, which is 0 when the last one was pulled (H5).
#[test]
fn no_size_known() {
    for (input, out) in excepted(10, |_, i| i.cached_dev_sectors = 0) {
        // The smallest share.
        let shared = PiInput {
            bdev_sectors: 1,
            cached_dev_sectors: 1 << 40,
            ..input
        };
        assert_eq!(out.target, exact_target(&shared), "{input:?}");
    }
}
