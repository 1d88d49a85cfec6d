// SPDX-License-Identifier: GPL-2.0

//! Properties of the small parts, against plain models or as "never panics".

use bcache_core::alloc::{heap::Smallest, prio, quantiles};
use bcache_core::gc::coalesce::{plan, NodeShape};
use bcache_core::journal::replay::{check, SeqSpan};
use bcache_core::request::congested::{account, limit, CongestedInput};
use bcache_core::request::sequential::{RecentIo, TaskIo};
use bcache_core::stats::{Accounting, Counts, Period};
use bcache_core::text::{
    parse_set_uuid, parse_size, parse_u64, HPrint, ParseError, RateDebug, CACHE_MODES,
};
use bcache_core::time_stats::TimeStats;
use bcache_core::writeback::stripes::Stripes;
use proptest::prelude::*;

/// `bch_hprint` in the types of C.
fn hprint_in_c(v: i64) -> String {
    let mut q = if v < 0 {
        (v as u64).wrapping_neg()
    } else {
        v as u64
    };
    let (mut u, mut t);
    u = 0;
    loop {
        u += 1;
        t = (q & 1023) as i32;
        q >>= 10;
        if q < 1000 {
            break;
        }
    }
    let sign = if v < 0 { "-" } else { "" };
    format!("{sign}{q}.{}{}", t * 10 / 1024, b"?kMGTPEZY"[u] as char)
}

/// `kstrtoul(text, 10)` by other means.
fn kstrtoul(text: &str) -> Result<u64, ParseError> {
    let text = text.split('\0').next().unwrap();
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.trim_start_matches('0').len() > 20
        || digits.parse::<u128>().is_ok_and(|v| v > u64::MAX.into())
    {
        return Err(ParseError::Range);
    }
    match (digits.parse(), rest) {
        (Ok(v), "" | "\n") => Ok(v),
        _ => Err(ParseError::Invalid),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn hprint(v in any::<i64>(), shift in 0u32..64) {
        let v = v >> shift;
        prop_assert_eq!(HPrint(v).to_string(), hprint_in_c(v));
    }

    #[test]
    fn numbers(text in "[+]?[0-9]{0,22}[\n kx\0]{0,2}") {
        prop_assert_eq!(parse_u64(text.as_bytes()), kstrtoul(&text));
    }

    #[test]
    fn sizes(n in any::<u64>(), shift in 0u32..64, suffix in 0usize..9) {
        let n = n >> shift;
        let text = format!("{n}{}\n", ["", "k", "M", "g", "T", "p", "E", "z", "Y"][suffix]);
        let power = suffix.min(7) as u32;
        let exact = u128::from(n) << (10 * power);
        let fits = power == 0 || exact <= u128::from(((1u64 << 53) - 1) << 10);
        let want = if fits { Ok(exact as u64) } else { Err(ParseError::Invalid) };
        prop_assert_eq!(parse_size(text.as_bytes()), want);
    }

    #[test]
    fn texts_never_panic(text in any::<Vec<u8>>()) {
        let _ = (parse_u64(&text), parse_size(&text), parse_set_uuid(&text), CACHE_MODES.find(&text));
    }

    #[test]
    fn rate_debug_never_panics(v in any::<[i64; 7]>(), running in any::<bool>()) {
        let [rate, dirty, target, proportional, integral, change, next_io_ms] = v;
        let d = RateDebug { running, rate, dirty, target, proportional, integral, change, next_io_ms };
        prop_assert_eq!(d.to_string().lines().count(), 7);
    }

    #[test]
    fn stripes(cap in 1u64..1 << 40, opt in 0u32..1 << 26, start in 0u64..1 << 41, len in 0u64..1 << 26) {
        let s = Stripes::derive(cap, opt).unwrap();
        prop_assert!(s.size() >= 8192);
        prop_assert!(opt < 512 || s.size() % u64::from(opt / 512) == 0);
        let end = s.start_of(s.count());
        prop_assert!(end >= cap && end - cap < s.size());
        let mut at = start;
        for p in s.pieces(start, len) {
            prop_assert!(p.sectors > 0 && s.stripe_of(at) == Some(p.stripe));
            at += p.sectors;
            prop_assert_eq!(s.stripe_of(at - 1), Some(p.stripe));
        }
        prop_assert_eq!(at, (start + len).min(end).max(start));
    }

    #[test]
    fn smallest(all in any::<Vec<u16>>(), n in 0usize..20) {
        let mut slots = vec![0; n];
        let mut heap = Smallest::new(&mut slots);
        for v in &all {
            heap.offer(*v);
        }
        let mut want = all;
        want.sort();
        want.truncate(n);
        prop_assert_eq!(heap.into_ascending().to_vec(), want);
    }

    #[test]
    fn merges_fit(words in prop::collection::vec(0usize..8000, 2..5), sizes in prop::collection::vec(2usize..4, 1..64)) {
        let shape = NodeShape { block_bytes: 512, node_blocks: 256 };
        let total: usize = words.iter().sum();
        if let Some(plan) = plan(&shape, &words) {
            let mut splitter = plan.splitter();
            let mut left = total;
            for size in sizes.iter().cycle() {
                if left < *size {
                    break;
                }
                left -= size;
                let node = splitter.place(*size);
                prop_assert!(node.is_some_and(|n| n < plan.nodes()));
            }
        }
    }

    #[test]
    fn replay_wants_each_once(spans in prop::collection::vec((1u64..40, 0u64..10), 1..200), once in any::<bool>()) {
        let mut list: Vec<SeqSpan> = spans
            .into_iter()
            .map(|(seq, back)| SeqSpan { seq, last_seq: seq.saturating_sub(back) })
            .collect();
        list.sort_by_key(|e| e.seq);
        if once {
            list.dedup_by_key(|e| e.seq);
        }
        // What the driver takes of the entries that it has read.
        let newest = list[list.len() - 1];
        list.retain(|e| e.seq >= newest.last_seq);
        let whole = list.iter().map(|e| e.seq).eq(newest.last_seq..=newest.seq);
        prop_assert_eq!(check(&list).ok(), whole.then_some(list.len()));
    }

    #[test]
    fn nothing_panics(a in any::<[u32; 6]>(), b in any::<[u64; 6]>(), c in any::<i32>(), p in any::<Vec<u16>>()) {
        let input = CongestedInput {
            read_threshold_us: a[0], write_threshold_us: a[1], last_us: a[3], congested: c,
        };
        let _ = limit(&input, || a[2], || a[4]);
        let adjust = account(a[0], a[1], a[2], c.clamp(-1024, 0));
        prop_assert!((-1024..=0).contains(&(c.clamp(-1024, 0) + adjust.delta)));
        let mut recent = RecentIo::new();
        let mut task = TaskIo { sequential: a[0], average: a[1] };
        for n in 0..6 {
            recent.observe(b[n], b[(n + 1) % 6], b[(n + 2) % 6], a[n], &mut task);
        }
        let mut acc = Accounting::default();
        let counts = Counts {
            hits: b[0], misses: b[1], bypass_hits: b[2], bypass_misses: b[3], collisions: b[4], bypassed: b[5],
        };
        for _ in 0..20 {
            acc.tick(&counts);
        }
        for period in Period::ALL {
            let w = acc.window(period);
            prop_assert!(w.hit_ratio() <= 100 && w.bypassed_bytes() >= 0);
        }
        let mut t = TimeStats::new();
        t.update(b[0], b[1]);
        t.update(b[2], b[3]);
        let _ = (t.last(b[4], b[5]), t.average_duration(b[5]), t.average_frequency(b[5]), t.max_duration(b[5]));
        let marks = quantiles::MarkCounts { unused: b[0], clean: b[1], dirty: b[2], metadata: b[3] };
        let _ = quantiles::PriorityStats::compute(&mut p.clone(), &marks, b[4], a[5]).to_string();
        let _ = prio::lru_key(a[0], a[1] as u16, a[2]);
        let _ = prio::ReserveSizes::derive(b[0], a[0]);
        let _ = Stripes::derive(b[0], a[0]).map(|s| s.pieces(b[1], b[2]).take(5).count());
        let shape = NodeShape { block_bytes: a[0], node_blocks: a[1] };
        let _ = plan(&shape, &[b[0] as usize, b[1] as usize, b[2] as usize]);
    }
}
