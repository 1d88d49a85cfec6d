// SPDX-License-Identifier: GPL-2.0

//! Doubly linked lists over a fixed set of numbers.
//!
//! C: `struct list_head` in `struct open_bucket`.

/// No number.
const NONE: u8 = u8::MAX;

/// The neighbours of a number, or the ends of a list.
#[derive(Clone, Copy)]
struct Pair {
    front: u8,
    back: u8,
}

impl Pair {
    const NONE: Self = Self {
        front: NONE,
        back: NONE,
    };
}

/// `H` lists of the numbers below `N`, at most 255. A number is in one list at most, which the caller knows.
pub(super) struct Chains<const H: usize, const N: usize> {
    ends: [Pair; H],
    links: [Pair; N],
}

impl<const H: usize, const N: usize> Chains<H, N> {
    const FITS: () = assert!(N <= 255 && H <= 256);

    /// Empty lists.
    pub(super) const fn new() -> Self {
        const { Self::FITS };
        Self {
            ends: [Pair::NONE; H],
            links: [Pair::NONE; N],
        }
    }

    fn link(&mut self, i: u8) -> Option<&mut Pair> {
        self.links.get_mut(usize::from(i))
    }

    /// Puts `i`, which is in no list, at the front of list `h`.
    pub(super) fn push_front(&mut self, h: u8, i: u8) {
        let Some(ends) = self.ends.get_mut(usize::from(h)) else {
            return;
        };
        let second = ends.front;
        ends.front = i;
        if second == NONE {
            ends.back = i;
        } else if let Some(link) = self.link(second) {
            link.front = i;
        }
        if let Some(link) = self.link(i) {
            *link = Pair {
                front: NONE,
                back: second,
            };
        }
    }

    /// Takes `i`, which is in list `h`, out of it.
    pub(super) fn remove(&mut self, h: u8, i: u8) {
        let Some(link) = self.link(i) else {
            return;
        };
        let Pair { front, back } = *link;
        match self.link(front) {
            Some(link) => link.back = back,
            None => {
                if let Some(ends) = self.ends.get_mut(usize::from(h)) {
                    ends.front = back;
                }
            }
        }
        match self.link(back) {
            Some(link) => link.front = front,
            None => {
                if let Some(ends) = self.ends.get_mut(usize::from(h)) {
                    ends.back = front;
                }
            }
        }
    }

    /// The numbers of list `h`, from the front.
    pub(super) fn front_to_back(&self, h: u8) -> impl Iterator<Item = u8> + '_ {
        let mut at = self.ends.get(usize::from(h)).map_or(NONE, |p| p.front);
        core::iter::from_fn(move || {
            let i = at;
            at = self.links.get(usize::from(i))?.back;
            Some(i)
        })
    }

    /// The numbers of list `h`, from the back.
    pub(super) fn back_to_front(&self, h: u8) -> impl Iterator<Item = u8> + '_ {
        let mut at = self.ends.get(usize::from(h)).map_or(NONE, |p| p.back);
        core::iter::from_fn(move || {
            let i = at;
            at = self.links.get(usize::from(i))?.front;
            Some(i)
        })
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
    fn equals_deques() {
        let mut lists = Chains::<3, 10>::new();
        let mut want = std::vec![VecDeque::<u8>::new(); 3];
        let mut place = [None; 10];
        let mut seed = 5u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            let (i, h) = ((seed >> 20) % 10, (seed >> 27) % 3);
            let (i, h) = (u8::try_from(i).unwrap(), u8::try_from(h).unwrap());
            if let Some(old) = place[usize::from(i)].take() {
                lists.remove(old, i);
                want[usize::from(old)].retain(|x| *x != i);
            } else {
                lists.push_front(h, i);
                want[usize::from(h)].push_front(i);
                place[usize::from(i)] = Some(h);
            }
            for (h, want) in (0u8..).zip(&want) {
                assert!(lists.front_to_back(h).eq(want.iter().copied()));
                let back: Vec<u8> = lists.back_to_front(h).collect();
                assert!(want.iter().rev().eq(&back));
            }
        }
    }
}
