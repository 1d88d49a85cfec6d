// SPDX-License-Identifier: GPL-2.0

//! Heapsort. C: `lib/sort.c`.
//!
//! The sorts of `core::slice` may panic on an inconsistent order and are large; this one needs a
//! dozen lines, no memory, and `n log n` steps for any input.

/// Swaps two elements; unlike `slice::swap` without a panic. Does nothing if one is not there or
/// they are the same.
fn swap<T>(slice: &mut [T], a: usize, b: usize) {
    let Some((head, tail)) = slice.split_at_mut_checked(a.max(b)) else {
        return;
    };
    if let (Some(a), Some(b)) = (head.get_mut(a.min(b)), tail.first_mut()) {
        core::mem::swap(a, b);
    }
}

/// Restores the heap (largest first) below `root`, whose children are heaps.
pub(crate) fn sift_down<T: Ord>(heap: &mut [T], mut root: usize) {
    loop {
        let left = root.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let Some(mut child) = heap.get(left) else {
            return;
        };
        let mut larger = left;
        if let Some(other) = heap.get(right).filter(|r| *r > child) {
            child = other;
            larger = right;
        }
        if heap.get(root).is_none_or(|r| r >= child) {
            return;
        }
        swap(heap, root, larger);
        root = larger;
    }
}

/// Moves the last element of a heap up to its place.
pub(crate) fn sift_up<T: Ord>(heap: &mut [T]) {
    let Some(mut at) = heap.len().checked_sub(1) else {
        return;
    };
    while let Some(below) = at.checked_sub(1) {
        let parent = below / 2;
        if heap.get(parent) >= heap.get(at) {
            return;
        }
        swap(heap, parent, at);
        at = parent;
    }
}

/// Turns a heap into an ascending slice.
pub(crate) fn unheap<T: Ord>(heap: &mut [T]) {
    for last in (1..heap.len()).rev() {
        swap(heap, 0, last);
        if let Some((rest, _)) = heap.split_at_mut_checked(last) {
            sift_down(rest, 0);
        }
    }
}

/// Sorts ascending, not stable. Any context; the time is proportional to `n log n`.
pub fn heapsort<T: Ord>(slice: &mut [T]) {
    for root in (0..slice.len() / 2).rev() {
        sift_down(slice, root);
    }
    unheap(slice);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn sorts() {
        let mut seed = 1u32;
        for n in 0..200usize {
            let mut v: Vec<u32> = (0..n)
                .map(|_| {
                    seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                    seed >> 26
                })
                .collect();
            let mut want = v.clone();
            want.sort_unstable();
            heapsort(&mut v);
            assert_eq!(v, want);
        }
    }
}
