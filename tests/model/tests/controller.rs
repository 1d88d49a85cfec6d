// SPDX-License-Identifier: GPL-2.0

//! The writeback-rate controller: the 21 vectors of the reference, and random inputs against a model of
//! `__update_writeback_rate` in C's integer widths.

use bcache_core::writeback::pi::{step, PiInput, PiOutput, PiState, RATE_MAX};
use model::{c_rate::in_c, Rng};

/// A clock in the middle of its range.
const NOW: u64 = 1 << 50;

/// One vector: buckets of 1024 sectors, T = 5, i_inverse = 10000, old rate 1024 in all of them.
struct V {
    name: &'static str,
    nb: u64,
    flash: u64,
    csec: u64,
    bsec: u64,
    pct: u32,
    dirty: i64,
    avail: u64,
    in_use: u32,
    frag: bool,
    i: i64,
    late: i64,
    pinv: u32,
    min: u32,
    target: u64,
    err: i64,
    p: i64,
    i2: i64,
    is: i64,
    rate: u32,
    change: i64,
    hazard: bool,
}

#[rustfmt::skip]
const VECTORS: &[V] = &[
    V { name: "empty target exact", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 20971520, avail: 202752, in_use: 1, frag: true, i: 0, late: 0, pinv: 40, min: 8, target: 20971520, err: 0, p: 0, i2: 0, is: 0, rate: 8, change: -1016, hazard: false },
    V { name: "dirty above target, keeping up", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 30000000, avail: 180000, in_use: 12, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: 9028480, p: 225712, i2: 45142400, is: 4514, rate: 230226, change: 229202, hazard: false },
    V { name: "same, behind (next 10ms ago)", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 30000000, avail: 180000, in_use: 12, frag: true, i: 0, late: -10000000, pinv: 40, min: 8, target: 20971520, err: 9028480, p: 225712, i2: 0, is: 0, rate: 225712, change: 224688, hazard: false },
    V { name: "below target, integral 0", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 1000000, avail: 200000, in_use: 2, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -19971520, p: -499288, i2: 0, is: 0, rate: 8, change: -1016, hazard: false },
    V { name: "below target, integral positive", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 20000000, avail: 180000, in_use: 12, frag: true, i: 30000000, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -971520, p: -24288, i2: 25142400, is: 2514, rate: 8, change: -1016, hazard: false },
    V { name: "below, integral goes negative", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 1000000, avail: 180000, in_use: 12, frag: true, i: 1, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -19971520, p: -499288, i2: -99857599, is: -9985, rate: 8, change: -1016, hazard: false },
    V { name: "two devices 1:3 (small)", nb: 204800, flash: 0, csec: 4000000000, bsec: 1000000000, pct: 10, dirty: 6000000, avail: 180000, in_use: 12, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 5242880, err: 757120, p: 18928, i2: 3785600, is: 378, rate: 19306, change: 18282, hazard: false },
    V { name: "tiny share clamps to 1", nb: 204800, flash: 0, csec: 4000000000, bsec: 1000, pct: 10, dirty: 0, avail: 180000, in_use: 12, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 1280, err: -1280, p: -32, i2: 0, is: 0, rate: 8, change: -1016, hazard: false },
    V { name: "flash dirty subtracted", nb: 204800, flash: 100000000, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 15000000, avail: 180000, in_use: 12, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 10971520, err: 4028480, p: 100712, i2: 20142400, is: 2014, rate: 102726, change: 101702, hazard: false },
    V { name: "frag low in_use 55", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 10000000, avail: 92160, in_use: 55, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -10971520, p: 440, i2: 0, is: 0, rate: 440, change: -584, hazard: false },
    V { name: "frag mid in_use 60", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 10000000, avail: 81920, in_use: 60, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -10971520, p: 2430, i2: 0, is: 0, rate: 2430, change: 1406, hazard: false },
    V { name: "frag high in_use 70", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 10000000, avail: 61440, in_use: 70, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -10971520, p: 414000, i2: 0, is: 0, rate: 414000, change: 412976, hazard: false },
    V { name: "frag boundary in_use 50 (off)", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 10000000, avail: 102400, in_use: 50, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -10971520, p: -274288, i2: 0, is: 0, rate: 8, change: -1016, hazard: false },
    V { name: "frag fragment==3 (off)", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 40000000, avail: 81920, in_use: 60, frag: true, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: 19028480, p: 475712, i2: 95142400, is: 9514, rate: 485226, change: 484202, hazard: false },
    V { name: "frag disabled", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 10000000, avail: 61440, in_use: 70, frag: false, i: 0, late: 5000000, pinv: 40, min: 8, target: 20971520, err: -10971520, p: -274288, i2: 0, is: 0, rate: 8, change: -1016, hazard: false },
    V { name: "hi clamp 1e9", nb: 2000000000, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 0, dirty: 60000000000, avail: 1, in_use: 12, frag: false, i: 0, late: -10000000, pinv: 40, min: 8, target: 0, err: 60000000000, p: 1500000000, i2: 0, is: 0, rate: 1000000000, change: 999998976, hazard: false },
    V { name: "wrap: p sum 2^31 -> min", nb: 2000000000, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 0, dirty: 85899345920, avail: 1, in_use: 12, frag: false, i: 0, late: -10000000, pinv: 40, min: 8, target: 0, err: 85899345920, p: 2147483648, i2: 0, is: 0, rate: 8, change: -1016, hazard: true },
    V { name: "p_inv 4294967295 => -1", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 1000000, avail: 180000, in_use: 12, frag: false, i: 0, late: 5000000, pinv: 4294967295, min: 8, target: 20971520, err: -19971520, p: 19971520, i2: 0, is: 0, rate: 19971520, change: 19970496, hazard: true },
    V { name: "min 3e9 => rate may be 0", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 20971521, avail: 180000, in_use: 12, frag: false, i: 0, late: -10000000, pinv: 40, min: 3000000000, target: 20971520, err: 1, p: 0, i2: 0, is: 0, rate: 0, change: -1024, hazard: true },
    V { name: "min 3e9 negative sum => huge", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 1000000, avail: 180000, in_use: 12, frag: false, i: 0, late: 5000000, pinv: 40, min: 3000000000, target: 20971520, err: -19971520, p: -499288, i2: 0, is: 0, rate: 4294468008, change: -500312, hazard: true },
    V { name: "min 1.5e9 > max", nb: 204800, flash: 0, csec: 1000000000, bsec: 1000000000, pct: 10, dirty: 1000000, avail: 180000, in_use: 12, frag: false, i: 0, late: 5000000, pinv: 40, min: 1500000000, target: 20971520, err: -19971520, p: -499288, i2: 0, is: 0, rate: 1500000000, change: 1499998976, hazard: false },
];

impl V {
    fn input(&self) -> PiInput {
        PiInput {
            nbuckets: self.nb,
            bucket_sectors: 1024,
            flash_dirty: self.flash,
            bdev_sectors: self.bsec,
            cached_dev_sectors: self.csec,
            percent: self.pct,
            dirty: self.dirty,
            avail_buckets: self.avail,
            in_use: self.in_use,
            consider_fragment: self.frag,
            update_seconds: 5,
            p_inverse: self.pinv,
            i_inverse: 10000,
            fp_low: 1,
            fp_mid: 10,
            fp_high: 1000,
            minimum: self.min,
            now_ns: NOW,
            next_ns: NOW.wrapping_add_signed(self.late),
            old_rate: 1024,
        }
    }
}

#[test]
fn vectors() {
    assert_eq!(VECTORS.len(), 21);
    for v in VECTORS {
        let mut state = PiState { integral: v.i };
        let out = step(&mut state, &v.input());
        assert_eq!(
            (out.target, out.error, out.dirty),
            (v.target, v.err, v.dirty),
            "{}",
            v.name
        );
        if !v.hazard {
            let want = (v.p, v.i2, v.is, v.rate, v.change);
            let got = (
                out.proportional,
                state.integral,
                out.integral_scaled,
                out.rate,
                out.change,
            );
            assert_eq!(got, want, "{}", v.name);
            // The model says the same, so it can be trusted with other inputs.
            let mut integral = v.i;
            let c = in_c(&v.input(), &mut integral).unwrap();
            assert_eq!((c, integral), (out, state.integral), "{}", v.name);
        }
    }
}

/// What the hazard rows give here: saturated terms, and the minimum clamped to `i32::MAX`.
#[test]
fn hazards() {
    let rate = |name: &str| {
        let v = VECTORS.iter().find(|v| v.name.starts_with(name)).unwrap();
        assert!(
            v.hazard && in_c(&v.input(), &mut v.i.clone()).is_none(),
            "{name}"
        );
        step(&mut PiState { integral: v.i }, &v.input())
    };
    // C: the minimum. The sum is 2^31, far above the highest rate.
    assert_eq!(rate("wrap: p sum 2^31").rate, 1_000_000_000);
    // C: the divisor becomes -1.
    let out = rate("p_inv 4294967295");
    assert_eq!((out.proportional, out.rate), (0, 8));
    // C: 0, and nearly 2^32.
    assert_eq!(rate("min 3e9 => rate may be 0").rate, 0x7fff_ffff);
    assert_eq!(rate("min 3e9 negative sum").rate, 0x7fff_ffff);
}

/// Any input that the types allow, near edges.
fn wild(r: &mut Rng) -> (PiInput, i64) {
    let u32_max = u64::from(u32::MAX);
    let clock = r.edgy(u64::MAX);
    let mut v32 = |max: u64| r.edgy(max) as u32;
    let input = PiInput {
        bucket_sectors: v32(u32_max),
        percent: v32(u32_max),
        in_use: v32(u32_max),
        update_seconds: v32(u32_max),
        p_inverse: v32(u32_max),
        i_inverse: v32(u32_max),
        fp_low: v32(u32_max),
        fp_mid: v32(u32_max),
        fp_high: v32(u32_max),
        minimum: v32(u32_max),
        old_rate: v32(u32_max),
        consider_fragment: v32(1) == 1,
        nbuckets: r.edgy(u64::MAX),
        flash_dirty: r.edgy(u64::MAX),
        bdev_sectors: r.edgy(u64::MAX),
        cached_dev_sectors: r.edgy(u64::MAX),
        dirty: r.edgy(u64::MAX) as i64,
        avail_buckets: r.edgy(u64::MAX),
        now_ns: clock,
        next_ns: clock
            .wrapping_add(r.edgy(4_000_000))
            .wrapping_sub(2_000_000),
    };
    (input, r.edgy(u64::MAX) as i64)
}

/// An input as a running system has it, near the edges of what sysfs and superblocks allow.
fn sane(r: &mut Rng) -> (PiInput, i64) {
    let nbuckets = 513 + r.edgy(1 << 27);
    let bucket_sectors = 1 << (3 + r.below(10));
    let cache = nbuckets * bucket_sectors;
    let bdev_sectors = 1 + r.edgy(1 << 36);
    let clock = (1 << 40) + r.below(1 << 50);
    let low = 1 + r.edgy(1000);
    let mid = low + 1 + r.edgy(1000);
    let high = mid + 1 + r.edgy(100_000);
    let integral = r.edgy(1 << 52) as i64;
    let input = PiInput {
        nbuckets,
        bucket_sectors: bucket_sectors as u32,
        flash_dirty: if r.below(2) == 0 { 0 } else { r.edgy(cache) },
        bdev_sectors,
        cached_dev_sectors: bdev_sectors + r.edgy(1 << 38),
        percent: r.edgy(70) as u32,
        dirty: r.edgy(cache.min(0x7fff_ffff)) as i64,
        avail_buckets: r.edgy(nbuckets - 1),
        in_use: match r.below(2) {
            0 => r.edgy(100),
            _ => 48 + r.below(20),
        } as u32,
        consider_fragment: r.below(4) != 0,
        update_seconds: 1 + r.edgy(59) as u32,
        p_inverse: 1 + r.edgy(0x7fff_fffe) as u32,
        i_inverse: 1 + r.edgy(0x7fff_fffe) as u32,
        fp_low: low as u32,
        fp_mid: mid as u32,
        fp_high: high as u32,
        minimum: 1 + r.edgy(0x7fff_fffe) as u32,
        now_ns: clock,
        next_ns: clock + r.edgy(4_000_000) - 2_000_000,
        old_rate: 1 + r.edgy(0x7fff_fffe) as u32,
    };
    (input, if r.below(2) == 0 { integral } else { -integral })
}

/// Compares one input; true if it was in range for C.
fn compare(input: &PiInput, integral: i64) -> bool {
    let mut state = PiState { integral };
    let out = step(&mut state, input);
    assert!((1..=0x7fff_ffff).contains(&out.rate), "{input:?}");
    assert!(out.rate >= input.minimum.min(0x7fff_ffff), "{input:?}");
    assert!(out.rate <= input.minimum.max(1_000_000_000), "{input:?}");
    let mut c_integral = integral;
    let Some(c) = in_c(input, &mut c_integral) else {
        return false;
    };
    if input.minimum > RATE_MAX && c.rate == RATE_MAX {
        // `minimum_above_the_maximum` has these.
        assert_eq!(out.rate, input.minimum, "{input:?} {integral}");
        return false;
    }
    assert_eq!(
        (out, state.integral),
        (c, c_integral),
        "{input:?} {integral}"
    );
    true
}

#[test]
fn equals_c_in_range() {
    let mut r = Rng::new(0x5eed);
    let mut in_range = 0u32;
    for _ in 0..150_000 {
        let (input, integral) = sane(&mut r);
        in_range += u32::from(compare(&input, integral));
    }
    println!("{in_range} of 150000 inputs in range for C");
    assert!(in_range > 100_000, "{in_range}");
}

#[test]
fn never_out_of_bounds() {
    let mut r = Rng::new(0xbad);
    let mut in_range = 0u32;
    for _ in 0..100_000 {
        let (input, integral) = wild(&mut r);
        in_range += u32::from(compare(&input, integral));
    }
    println!("{in_range} of 100000 wild inputs in range for C");
}

/// A closed loop: the controller brings the dirty data of a device to its target, and keeps it
/// there.
#[test]
fn converges() {
    let v = &VECTORS[0];
    let mut state = PiState::default();
    let mut input = PiInput {
        dirty: 40_000_000,
        next_ns: NOW,
        ..v.input()
    };
    let mut out = PiOutput::default();
    for _ in 0..2000 {
        out = step(&mut state, &input);
        let written = i64::from(out.rate) * 5;
        // The user writes 10 MB/s all the time.
        input.dirty = (input.dirty + 20_000 * 5 - written).max(0);
        input.old_rate = out.rate;
    }
    let off = (input.dirty - out.target as i64).abs();
    assert!(off < out.target as i64 / 50, "off by {off}");
    assert!((18_000..22_000).contains(&out.rate), "{}", out.rate);
}
