// SPDX-License-Identifier: GPL-2.0

//! What `priority_stats` shows of a cache device. C: `SHOW(__bch_cache)` in `sysfs.c`.

use super::{
    prio::{
        BTREE_PRIO,
        INITIAL_PRIO, //
    },
    sort::heapsort, //
};
use crate::num::{
    u64_from_usize, //
    usize_from_u64_sat,
};
use core::fmt;

/// Quantiles shown; the priorities are cut into one more part.
const QUANTILES: usize = 31;
/// Those parts.
const PARTS: u64 = 32;

/// Buckets by what gc made of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MarkCounts {
    /// No sector in use.
    pub unused: u64,
    /// Reclaimable, shown as clean.
    pub clean: u64,
    /// With dirty data.
    pub dirty: u64,
    /// With metadata.
    pub metadata: u64,
}

/// The contents of `priority_stats`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriorityStats {
    /// Percent of the buckets of each kind.
    percent: MarkCounts,
    /// Average age of the buckets with cached data.
    average: u64,
    /// Sectors of the buckets of one part.
    sectors_per_quantile: u64,
    /// Ages, ascending.
    quantiles: [u16; QUANTILES],
}

impl PriorityStats {
    /// Computes the numbers from the priorities of all buckets from the first data bucket on; sorts
    /// them. Any context, takes `n log n` time.
    ///
    /// C lets uninitialised memory for the buckets before the first one take part; they are left
    /// out here.
    pub fn compute(
        prios: &mut [u16],
        counts: &MarkCounts,
        nbuckets: u64,
        bucket_sectors: u32,
    ) -> Self {
        heapsort(prios);
        // Ascending here, so unused buckets (0) come first and those of the index last.
        let mut cached: &[u16] = prios;
        while let [0, rest @ ..] = cached {
            cached = rest;
        }
        while let [rest @ .., BTREE_PRIO] = cached {
            cached = rest;
        }
        let n = u64_from_usize(cached.len());

        let sum = cached.iter().map(|p| u64::from(age(*p)));
        let sum = sum.fold(0u64, |a, b| a.saturating_add(b));
        let percent = |v: u64| v.saturating_mul(100).checked_div(nbuckets).unwrap_or(0);
        Self {
            percent: MarkCounts {
                unused: percent(counts.unused),
                clean: percent(counts.clean),
                dirty: percent(counts.dirty),
                metadata: percent(counts.metadata),
            },
            average: sum.checked_div(n).unwrap_or(0),
            sectors_per_quantile: n.saturating_mul(u64::from(bucket_sectors)) / PARTS,
            quantiles: core::array::from_fn(|i| quantile(cached, n, u64_from_usize(i))),
        }
    }
}

/// The age of a priority as C prints it, modulo 2^16: priorities above the initial one do not
/// occur.
fn age(prio: u16) -> u16 {
    INITIAL_PRIO.wrapping_sub(prio)
}

/// The age at which part number `i` ends; 0 if there is no bucket with data.
fn quantile(ascending: &[u16], n: u64, i: u64) -> u16 {
    let from_the_top = n.saturating_mul(i.saturating_add(1)) / PARTS;
    let at = n.checked_sub(from_the_top.saturating_add(1));
    at.and_then(|at| ascending.get(usize_from_u64_sat(at)))
        .map_or(0, |p| age(*p))
}

impl fmt::Display for PriorityStats {
    /// The whole file, with its last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Unused:\t\t{}%", self.percent.unused)?;
        writeln!(f, "Clean:\t\t{}%", self.percent.clean)?;
        writeln!(f, "Dirty:\t\t{}%", self.percent.dirty)?;
        writeln!(f, "Metadata:\t{}%", self.percent.metadata)?;
        writeln!(f, "Average:\t{}", self.average)?;
        writeln!(f, "Sectors per Q:\t{}", self.sectors_per_quantile)?;
        f.write_str("Quantiles:\t[")?;
        let mut blank = "";
        for q in self.quantiles {
            write!(f, "{blank}{q}")?;
            blank = " ";
        }
        f.write_str("]\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        format,
        string::ToString,
        vec::Vec, //
    };

    /// C's arithmetic on a descending array, without its faults.
    fn as_in_c(prios: &[u16]) -> (u64, u64, Vec<u16>) {
        let mut p = prios.to_vec();
        p.sort_unstable_by(|a, b| b.cmp(a));
        let mut n = p.len();
        while n > 0 && p[n - 1] == 0 {
            n -= 1;
        }
        let skip = p[..n].iter().take_while(|v| **v == BTREE_PRIO).count();
        let cached = &p[skip..n];
        let n = cached.len();
        let sum: u64 = cached.iter().map(|v| 32768 - u64::from(*v)).sum();
        let q = (0..31).map(|i| match n {
            0 => 0,
            n => 32768 - cached[n * (i + 1) / 32],
        });
        (
            sum.checked_div(n as u64).unwrap_or(0),
            n as u64,
            q.collect(),
        )
    }

    #[test]
    fn equals_c() {
        let mut seed = 9u32;
        for n in 0..300usize {
            let prios: Vec<u16> = (0..n)
                .map(|_| {
                    seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                    match seed >> 30 {
                        0 => 0,
                        1 => BTREE_PRIO,
                        _ => 32768 - (seed >> 24) as u16,
                    }
                })
                .collect();
            let (average, cached, quantiles) = as_in_c(&prios);
            let counts = MarkCounts {
                unused: 5,
                clean: 1,
                dirty: 2,
                metadata: 9,
            };
            let got = PriorityStats::compute(&mut prios.clone(), &counts, 10, 1024);
            assert_eq!(got.average, average);
            assert_eq!(got.sectors_per_quantile, cached * 1024 / 32);
            assert_eq!(got.quantiles.to_vec(), quantiles);
            assert_eq!(got.percent.metadata, 90);
        }
    }

    #[test]
    fn file() {
        let mut prios = [32768, 32768 - 77, 0, BTREE_PRIO];
        let counts = MarkCounts {
            unused: 91,
            clean: 0,
            dirty: 7,
            metadata: 0,
        };
        let stats = PriorityStats::compute(&mut prios, &counts, 100, 1024);
        let zeros = "0 ".repeat(15);
        let rest = ["77"; 16].join(" ");
        assert_eq!(
            stats.to_string(),
            format!(
                "Unused:\t\t91%\nClean:\t\t0%\nDirty:\t\t7%\nMetadata:\t0%\nAverage:\t38\n\
                 Sectors per Q:\t64\nQuantiles:\t[{zeros}{rest}]\n"
            )
        );
        let empty = PriorityStats::compute(&mut [], &counts, 0, 0).to_string();
        assert!(empty.starts_with("Unused:\t\t0%\n") && empty.ends_with(" 0 0]\n"));
    }
}
