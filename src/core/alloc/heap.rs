// SPDX-License-Identifier: GPL-2.0

//! The smallest elements of a long sequence. C: the heap of `bch_moving_gc` in
//! `movinggc.c`.

use super::sort::{
    sift_down,
    sift_up,
    unheap, //
};

/// Keeps the smallest elements it is offered, as many as its slice holds.
///
/// Among equal elements those that came first are kept.
pub struct Smallest<'a, T> {
    slots: &'a mut [T],
    /// Elements in use, a heap with the largest on top.
    len: usize,
}

impl<'a, T: Ord + Copy> Smallest<'a, T> {
    /// Keeps up to `slots.len()` elements; what the slice holds now does not matter.
    pub fn new(slots: &'a mut [T]) -> Self {
        Self { slots, len: 0 }
    }

    /// Offers an element. True if it is kept, for now.
    pub fn offer(&mut self, element: T) -> bool {
        if let Some(slot) = self.slots.get_mut(self.len) {
            *slot = element;
            self.len = self.len.saturating_add(1);
            if let Some(heap) = self.slots.get_mut(..self.len) {
                sift_up(heap);
            }
            return true;
        }
        match self.slots.first_mut() {
            Some(largest) if element < *largest => {
                *largest = element;
                sift_down(self.slots, 0);
                true
            }
            _ => false,
        }
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Those that were kept, ascending, at the head of the slice.
    pub fn into_ascending(self) -> &'a mut [T] {
        let Some((heap, _)) = self.slots.split_at_mut_checked(self.len) else {
            return &mut [];
        };
        unheap(heap);
        heap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn keeps_the_smallest() {
        let mut seed = 7u32;
        for slots in 0..40usize {
            let all: Vec<u32> = (0..100)
                .map(|_| {
                    seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                    seed >> 24
                })
                .collect();
            let mut space = std::vec![0; slots];
            let mut heap = Smallest::new(&mut space);
            assert!(heap.is_empty());
            for v in &all {
                heap.offer(*v);
            }
            assert_eq!(heap.len(), slots);
            let mut want = all;
            want.sort_unstable();
            assert_eq!(heap.into_ascending(), &want[..slots]);
        }
    }

    #[test]
    fn fewer_than_slots() {
        let mut space = [9; 5];
        let mut heap = Smallest::new(&mut space);
        assert!(heap.offer(3) && heap.offer(1) && heap.offer(2));
        assert_eq!(heap.into_ascending(), [1, 2, 3]);
    }
}
