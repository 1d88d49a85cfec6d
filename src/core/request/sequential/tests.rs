// SPDX-License-Identifier: GPL-2.0

//! The detector against a plain list with the rules of C.

use super::*;
use std::vec::Vec;

/// The same as plainly as possible: newest last.
struct Plain(Vec<(u64, u64, u32)>);

impl Plain {
    fn observe(&mut self, now: u64, life: u64, start: u64, sectors: u32, task: &mut TaskIo) -> u32 {
        // C looks along a chain with the newest first.
        let found = self
            .0
            .iter()
            .rposition(|&(end, expires, _)| end == start && now < expires);
        let bytes = match found {
            Some(i) => self.0.remove(i).2,
            None => {
                task.average = ((task.average as u64 * 7 + task.sequential as u64) / 8) as u32;
                self.0.remove(0);
                0
            }
        };
        let bytes = bytes.checked_add(sectors * 512).unwrap_or(bytes);
        self.0.push((start + sectors as u64, now + life, bytes));
        task.sequential = bytes;
        task.sequential.max(task.average) / 512
    }
}

#[test]
fn grows_and_expires() {
    let mut recent = RecentIo::new();
    let mut task = TaskIo::default();
    assert_eq!(recent.observe(100, 50, 0, 8, &mut task), 8);
    assert_eq!(recent.observe(100, 50, 8, 8, &mut task), 16);
    assert_eq!(recent.observe(149, 50, 16, 8, &mut task), 24);
    // Too late by one.
    assert_eq!(recent.observe(199, 50, 24, 8, &mut task), 8);
    assert_eq!(task.average, 24 * 512 / 8);
    // The average of the task decides when it is longer than the stream.
    task.average = 1 << 20;
    assert_eq!(
        recent.observe(199, 50, 999, 8, &mut task),
        (7 * (1 << 20) + 4096) / 8 / 512
    );
}

#[test]
fn lengths_saturate() {
    let mut recent = RecentIo::new();
    let mut task = TaskIo::default();
    let big = u32::MAX / 512;
    assert_eq!(recent.observe(0, 9, 0, big, &mut task), big);
    assert_eq!(recent.observe(0, 9, big.into(), big, &mut task), big);
    // A request that no 32-bit number of bytes can hold adds nothing.
    assert_eq!(recent.observe(0, 9, 1 << 40, u32::MAX, &mut task), big / 8);
    task.average = u32::MAX;
    task.sequential = u32::MAX;
    assert_eq!(recent.observe(0, 9, u64::MAX, 1, &mut task), u32::MAX / 512);
}

#[test]
fn random_requests_equal_the_plain_list() {
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut random = move |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let mut recent = RecentIo::new();
    let mut plain = Plain((0..128).map(|_| (0, 0, 0)).collect());
    let (mut a, mut b) = ([TaskIo::default(); 3], [TaskIo::default(); 3]);
    let mut now = 0;
    for _ in 0..200_000 {
        now += random(3);
        // Starts that meet earlier ends often, and more live ends than slots.
        let (start, sectors) = (8 * random(400), 8 * (1 + random(4)) as u32);
        let task = random(3) as usize;
        assert_eq!(
            recent.observe(now, 90, start, sectors, &mut a[task]),
            plain.observe(now, 90, start, sectors, &mut b[task]),
        );
        assert_eq!(a, b);
    }
}
