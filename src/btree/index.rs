// SPDX-License-Identifier: GPL-2.0

//! The index of leaves: which leaf has the keys of a position.
//!
//! An immutable array of two levels, published through RCU and replaced as a whole when leaves
//! split or merge. Lookups take no lock and write no shared memory; those that may wait count the
//! leaf they find. C walks down from the root with a lock per node (`bcache_btree` in `btree.h`).

use super::leaf::Leaf;
use bcache_core::key::Pos;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Most leaves of a group; what a change copies.
const GROUP_LEAVES: usize = 256;

/// Neighbouring leaves.
///
/// # Invariants
///
/// `ends` has the end of each leaf of `leaves`, both ascending; there is at least one.
pub(super) struct Group {
    ends: KVec<Pos>,
    leaves: KVec<Arc<Leaf>>,
}

impl Group {
    fn new(leaves: &[Arc<Leaf>]) -> Result<Arc<Self>> {
        let mut group = Self {
            ends: KVec::with_capacity(leaves.len(), GFP_KERNEL)?,
            leaves: KVec::with_capacity(leaves.len(), GFP_KERNEL)?,
        };
        for leaf in leaves {
            group.ends.push(leaf.key.end, GFP_KERNEL)?;
            group.leaves.push(leaf.clone(), GFP_KERNEL)?;
        }
        Ok(Arc::new(group, GFP_KERNEL)?)
    }

    fn end(&self) -> Pos {
        self.ends.last().copied().unwrap_or(Pos::MIN)
    }
}

/// All leaves of a tree, in order; they cover every position.
///
/// # Invariants
///
/// `ends` has the end of each group of `groups`, both ascending.
pub(super) struct Index {
    ends: KVec<Pos>,
    groups: KVec<Arc<Group>>,
}

impl Index {
    /// Index of `leaves`, which are in order. Allocates.
    pub(super) fn new(leaves: &[Arc<Leaf>]) -> Result<Arc<Self>> {
        let mut index = Self::with_room(leaves.len().div_ceil(GROUP_LEAVES / 2))?;
        index.push_leaves(leaves)?;
        Ok(Arc::new(index, GFP_KERNEL)?)
    }

    fn with_room(groups: usize) -> Result<Self> {
        Ok(Self {
            ends: KVec::with_capacity(groups, GFP_KERNEL)?,
            groups: KVec::with_capacity(groups, GFP_KERNEL)?,
        })
    }

    fn push_group(&mut self, group: Arc<Group>) -> Result {
        self.ends.push(group.end(), GFP_KERNEL)?;
        self.groups.push(group, GFP_KERNEL)?;
        Ok(())
    }

    /// Appends leaves in as many groups as they need; several groups are filled by half at least.
    fn push_leaves(&mut self, leaves: &[Arc<Leaf>]) -> Result {
        let groups = leaves.len().div_ceil(GROUP_LEAVES).max(1);
        let each = leaves.len().div_ceil(groups).max(1);
        for part in leaves.chunks(each) {
            self.push_group(Group::new(part)?)?;
        }
        Ok(())
    }

    /// The leaf that has the keys at `pos`; the last one for positions behind all keys.
    #[inline]
    pub(super) fn find(&self, pos: Pos) -> Option<&Arc<Leaf>> {
        let g = self.ends.partition_point(|end| *end <= pos);
        let last = self.groups.len().saturating_sub(1);
        let group = self.groups.get(g.min(last))?;
        let l = group.ends.partition_point(|end| *end <= pos);
        let last = group.leaves.len().saturating_sub(1);
        group.leaves.get(l.min(last))
    }

    /// All leaves in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Leaf>> {
        self.groups.iter().flat_map(|group| group.leaves.iter())
    }

    /// Number of leaves.
    pub(super) fn len(&self) -> usize {
        self.groups
            .iter()
            .fold(0, |sum, group| sum.saturating_add(group.leaves.len()))
    }

    /// The index after `new` took the place of `old`, some leaves of this index that are in a row.
    /// Allocates.
    pub(super) fn replaced(&self, old: &[Arc<Leaf>], new: &[Arc<Leaf>]) -> Result<Arc<Self>> {
        let first = old.first().ok_or(EINVAL)?.key.end;
        let last = old.last().ok_or(EINVAL)?.key.end;
        // The groups that have old leaves, by their ends.
        let from = self.ends.partition_point(|end| *end < first);
        let to = self
            .ends
            .partition_point(|end| *end < last)
            .saturating_add(1);
        let touched = self.groups.get(from..to).ok_or(EINVAL)?;

        let mut leaves = KVec::with_capacity(GROUP_LEAVES, GFP_KERNEL)?;
        let mut placed = false;
        for leaf in touched.iter().flat_map(|group| group.leaves.iter()) {
            if leaf.key.end < first || leaf.key.end > last {
                leaves.push(leaf.clone(), GFP_KERNEL)?;
            } else if !placed {
                placed = true;
                for leaf in new {
                    leaves.push(leaf.clone(), GFP_KERNEL)?;
                }
            }
        }

        let mut index = Self::with_room(self.groups.len().saturating_add(2))?;
        for group in self.groups.get(..from).ok_or(EINVAL)? {
            index.push_group(group.clone())?;
        }
        index.push_leaves(&leaves)?;
        for group in self.groups.get(to..).ok_or(EINVAL)? {
            index.push_group(group.clone())?;
        }
        Ok(Arc::new(index, GFP_KERNEL)?)
    }
}
