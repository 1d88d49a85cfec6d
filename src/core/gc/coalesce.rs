// SPDX-License-Identifier: GPL-2.0

//! When neighbouring nodes are merged into one node less. C: `btree_gc_coalesce` in `btree.c`.

use crate::{
    arith::div_ceil,
    num::{
        u64_from_u32,
        u64_from_usize, //
    }, //
};

/// Most nodes that are merged at a time.
pub const MERGE_NODES: usize = 4;

/// Bytes before the keys of a set on disk.
const SET_HEADER: u64 = 32;

/// The size of nodes on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeShape {
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Blocks of a node.
    pub node_blocks: u32,
}

impl NodeShape {
    /// Blocks that a set of so many words of keys takes.
    fn blocks(&self, words: u64) -> u64 {
        let bytes = words.saturating_mul(8).saturating_add(SET_HEADER);
        div_ceil(bytes, u64_from_u32(self.block_bytes))
    }

    /// Blocks up to which merged nodes are filled: two thirds.
    fn target_blocks(&self) -> u64 {
        u64_from_u32(self.node_blocks).saturating_mul(2) / 3
    }
}

/// A merge that is worth it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    shape: NodeShape,
    /// New nodes, one less than the old ones.
    nodes: usize,
}

/// Whether the nodes with these words of keys (their valid keys only) fit into one node less, each
/// new one filled to two thirds.
///
/// `None` also for fewer than two nodes; of more than [`MERGE_NODES`] the rest is not looked at.
pub fn plan(shape: &NodeShape, words: &[usize]) -> Option<Plan> {
    let words = words.get(..MERGE_NODES).unwrap_or(words);
    let nodes = words.len().checked_sub(1).filter(|n| *n > 0)?;
    let total = words
        .iter()
        .fold(0u64, |sum, w| sum.saturating_add(u64_from_usize(*w)));
    let room = shape.target_blocks().saturating_mul(u64_from_usize(nodes));
    (shape.blocks(total) <= room).then_some(Plan {
        shape: *shape,
        nodes,
    })
}

impl Plan {
    /// How many new nodes to make.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Distributes the keys: to be asked for each in ascending order.
    pub fn splitter(&self) -> Splitter {
        Splitter {
            plan: *self,
            node: 0,
            words: 0,
        }
    }
}

/// Fills the new nodes of a [`Plan`] from the first to the last.
#[derive(Clone, Debug)]
pub struct Splitter {
    plan: Plan,
    /// The node being filled.
    node: usize,
    /// Words in it.
    words: u64,
}

impl Splitter {
    /// The number of the new node for the next key, of so many words. The last node takes all that
    /// is left, up to its full size.
    ///
    /// `None` if the key fits nowhere: the merge has to be given up (in practice it cannot happen,
    /// as nodes are only filled to two thirds).
    pub fn place(&mut self, words: usize) -> Option<usize> {
        let words = u64_from_usize(words);
        let last = self.plan.nodes.saturating_sub(1);
        let shape = &self.plan.shape;
        if self.node < last
            && shape.blocks(self.words.saturating_add(words)) > shape.target_blocks()
        {
            self.node = self.node.saturating_add(1);
            self.words = 0;
        }
        let filled = self.words.saturating_add(words);
        if shape.blocks(filled) > u64_from_u32(shape.node_blocks) {
            return None;
        }
        self.words = filled;
        Some(self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SHAPE: NodeShape = NodeShape {
        block_bytes: 512,
        node_blocks: 256,
    };

    #[test]
    fn rule_of_c() {
        // Two thirds of 256 blocks are 170: 170 * 512 - 32 bytes of keys.
        let fits = (170 * 512 - 32) / 8;
        assert!(plan(&SHAPE, &[fits, 0]).is_some());
        assert!(plan(&SHAPE, &[fits, 1]).is_none());
        assert!(plan(&SHAPE, &[1]).is_none());
        assert!(plan(&SHAPE, &[]).is_none());
        let three = (340 * 512 - 32) / 8;
        assert_eq!(plan(&SHAPE, &[three, 0, 0]).map(|p| p.nodes()), Some(2));
        // Only four count.
        assert_eq!(plan(&SHAPE, &[1; 6]).map(|p| p.nodes()), Some(3));
        assert!(plan(&SHAPE, &[usize::MAX; 4]).is_none());
    }

    #[test]
    fn splits() {
        let words = [5000, 5000, 5000, 5000];
        let plan = plan(&SHAPE, &words).unwrap();
        let mut splitter = plan.splitter();
        let placed: Vec<_> = (0..6666).map(|_| splitter.place(3)).collect();
        assert!(placed.is_sorted() && placed.iter().all(Option::is_some));
        let in_node = |n| placed.iter().filter(|p| **p == Some(n)).count() * 3;
        assert_eq!(in_node(0), (170 * 512 - 32) / 8 / 3 * 3);
        assert_eq!(in_node(0) + in_node(1) + in_node(2), 6666 * 3);
        // More than fits.
        let mut splitter = plan.splitter();
        assert!((0..20000).any(|_| splitter.place(3).is_none()));
        assert_eq!(plan.splitter().place(usize::MAX), None);
    }
}
