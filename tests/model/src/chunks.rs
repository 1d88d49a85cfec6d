// SPDX-License-Identifier: GPL-2.0

//! Memory for the keys of a leaf.

use bcache_core::keymap::{Chunk, Chunks, NoMem};

/// Chunks in a `Vec`, with an allocator that can run dry.
#[derive(Default)]
pub struct VecChunks {
    /// Those in use.
    pub list: Vec<Chunk>,
    spare: Vec<Chunk>,
    /// Allocations left; `None`: no limit.
    pub budget: Option<usize>,
}

impl VecChunks {
    fn alloc(&mut self) -> Result<Chunk, NoMem> {
        match &mut self.budget {
            Some(0) => return Err(NoMem),
            Some(n) => *n -= 1,
            None => {}
        }
        Ok(Chunk::new())
    }
}

impl Chunks for VecChunks {
    fn len(&self) -> usize {
        self.list.len()
    }
    fn get(&self, i: usize) -> Option<&Chunk> {
        self.list.get(i)
    }
    fn get_mut(&mut self, i: usize) -> Option<&mut Chunk> {
        self.list.get_mut(i)
    }
    fn neighbours(&mut self, i: usize) -> Option<(&mut Chunk, &mut Chunk)> {
        let (head, tail) = self.list.split_at_mut_checked(i + 1)?;
        Some((head.last_mut()?, tail.first_mut()?))
    }
    fn partition(&self, before: impl Fn(&Chunk) -> bool) -> usize {
        self.list.partition_point(|chunk| before(chunk))
    }

    fn insert(&mut self, i: usize) -> Result<&mut Chunk, NoMem> {
        let c = match self.spare.pop() {
            Some(c) => c,
            None => self.alloc()?,
        };
        self.list.insert(i, c);
        Ok(&mut self.list[i])
    }
    fn remove(&mut self, i: usize) {
        self.list.remove(i);
    }
    fn reserve(&mut self, n: usize) -> Result<(), NoMem> {
        while self.spare.len() < n {
            let c = self.alloc()?;
            self.spare.push(c);
        }
        Ok(())
    }
}
