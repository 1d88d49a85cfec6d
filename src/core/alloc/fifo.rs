// SPDX-License-Identifier: GPL-2.0

//! Queues of a fixed size. C: `DECLARE_FIFO` in `util.h`.

use core::ops::DerefMut;

/// A queue in a slice (`KVec`, `Vec`, `&mut [T]`). Holds as many elements as the slice is long.
///
/// Invariant: `head < slots.len()` unless that is 0, `len <= slots.len()`.
pub struct Fifo<S> {
    slots: S,
    head: usize,
    len: usize,
}

impl<T: Copy, S: DerefMut<Target = [T]>> Fifo<S> {
    /// An empty queue; what the slice holds now does not matter.
    pub fn new(slots: S) -> Self {
        Self {
            slots,
            head: 0,
            len: 0,
        }
    }

    /// Where the element number `i`, counted from the oldest, is or would be.
    fn place(&self, i: usize) -> usize {
        let size = self.slots.len();
        let at = self.head.saturating_add(i);
        at.checked_sub(size).unwrap_or(at)
    }

    /// Appends an element.
    ///
    /// # Errors
    ///
    /// Gives the element back if the queue is full.
    pub fn push(&mut self, element: T) -> Result<(), T> {
        if self.is_full() {
            return Err(element);
        }
        let at = self.place(self.len);
        match self.slots.get_mut(at) {
            Some(slot) => *slot = element,
            None => return Err(element),
        }
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Puts an element before the oldest one.
    ///
    /// # Errors
    ///
    /// Gives the element back if the queue is full.
    pub fn push_front(&mut self, element: T) -> Result<(), T> {
        if self.is_full() {
            return Err(element);
        }
        let size = self.slots.len();
        let at = self.head.checked_sub(1).unwrap_or(size.saturating_sub(1));
        match self.slots.get_mut(at) {
            Some(slot) => *slot = element,
            None => return Err(element),
        }
        self.head = at;
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    /// Takes the oldest element.
    pub fn pop(&mut self) -> Option<T> {
        let element = self.front()?;
        self.head = self.place(1);
        self.len = self.len.saturating_sub(1);
        Some(element)
    }

    /// The oldest element.
    pub fn front(&self) -> Option<T> {
        self.get(0)
    }

    /// The element number `i`, counted from the oldest.
    pub fn get(&self, i: usize) -> Option<T> {
        if i >= self.len {
            return None;
        }
        self.slots.get(self.place(i)).copied()
    }

    /// All elements from the oldest on.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.len).map_while(|i| self.get(i))
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many elements fit.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many more elements fit.
    pub fn free(&self) -> usize {
        self.capacity().saturating_sub(self.len)
    }

    /// Whether no more fit.
    pub fn is_full(&self) -> bool {
        self.free() == 0
    }

    /// Forgets all elements.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::VecDeque,
        vec::Vec, //
    };

    #[test]
    fn equals_a_deque() {
        let mut seed = 3u32;
        for size in 0..9usize {
            let mut fifo = Fifo::new(std::vec![0u32; size]);
            let mut want = VecDeque::new();
            for n in 0..2000 {
                seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                match seed >> 29 {
                    0..=2 => assert_eq!(fifo.pop(), want.pop_front()),
                    3 if want.len() < size => {
                        assert_eq!(fifo.push_front(n), Ok(()));
                        want.push_front(n);
                    }
                    _ if want.len() < size => {
                        assert_eq!(fifo.push(n), Ok(()));
                        want.push_back(n);
                    }
                    _ => {
                        assert_eq!((fifo.push(n), fifo.push_front(n)), (Err(n), Err(n)));
                    }
                }
                assert_eq!(fifo.iter().collect::<Vec<_>>(), Vec::from(want.clone()));
                assert_eq!(
                    (fifo.len(), fifo.front()),
                    (want.len(), want.front().copied())
                );
                assert_eq!(fifo.free() + fifo.len(), fifo.capacity());
            }
            fifo.clear();
            assert!(fifo.is_empty());
        }
    }
}
