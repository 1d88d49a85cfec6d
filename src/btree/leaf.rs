// SPDX-License-Identifier: GPL-2.0

//! Leaves: where the keys of cached extents are.
//!
//! C: `struct btree` with level 0 in `btree.h`. The range, bucket and size of a leaf never change:
//! a split or a merge makes new leaves and marks the old ones dead.

use super::{
    chunks::LeafMap,
    interior::NodeKey,
    reserve::Depth, //
};
use crate::journal::JournalPin;
use bcache_kernel::{
    atomic::{
        Atomic,
        AtomicFlag,
        Relaxed, //
    },
    rwsem::RwSem,
    time, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Sequence number of a leaf that pins no journal entry.
pub(super) const NO_PIN: u64 = u64::MAX;

/// Content of a leaf that is in memory.
pub(super) struct LeafNode {
    /// What the leaf says: all sets merged, check keys included.
    pub(super) keys: LeafMap,
    /// What is not on disk yet: the next set. Holds keys without pointer where something was
    /// erased.
    pub(super) pending: LeafMap,
    /// Identity of this incarnation of the node on disk.
    pub(super) seq: u64,
    /// Blocks written; the next set goes there.
    pub(super) written: u32,
    /// The oldest journal entry that has keys of `pending`.
    pub(super) pin: Option<JournalPin>,
    /// The leaf on disk, or what is pending, has keys without pointer: ranges that were erased.
    pub(super) erased: bool,
    /// The leaf on disk has stale keys that `keys` has no more. Gc does not see how old they get, so that it has to write the
    /// leaf anew.
    pub(super) hides_stale: bool,
    /// A successor is being built: no changes any more.
    pub(super) frozen: bool,
}

impl LeafNode {
    /// A node with these keys that is not on disk yet.
    pub(super) fn fresh(keys: LeafMap, seq: u64) -> Self {
        Self {
            pending: keys.chunks().sibling(),
            keys,
            seq,
            written: 0,
            pin: None,
            erased: false,
            hides_stale: false,
            frozen: false,
        }
    }

    /// How deep into the reserve a change may go from now on.
    pub(super) fn set_depth(&mut self, depth: Depth) {
        self.keys.chunks_mut().set_depth(depth);
        self.pending.chunks_mut().set_depth(depth);
    }
}

/// What is known of a leaf.
pub(super) enum LeafState {
    /// Only on disk.
    NotLoaded,
    /// In memory.
    Loaded(LeafNode),
    /// Replaced by other leaves; the index no longer has it (or is about to lose it).
    Dead,
}

/// A leaf of the btree. Shared by the index and whoever looks at it.
#[pin_data]
pub(crate) struct Leaf {
    /// Where it is on disk and where its range ends.
    pub(super) key: NodeKey,
    /// Held while the node is read or written; serialises its disk I/O.
    #[pin]
    pub(super) io: Mutex<()>,
    /// The content. Held for short times only, never while waiting for I/O once others can reach the leaf.
    #[pin]
    pub(super) state: RwSem<LeafState>,
    /// Jiffies when the pending set got its first key; 0 if there is none. Written under `state`.
    dirty_since: Atomic<u64>,
    /// Journal entry held by `LeafNode::pin`, or [`NO_PIN`]. Written under `state`.
    pin_seq: Atomic<u64>,
    /// Used since the shrinker last came by.
    accessed: AtomicFlag,
    /// In the queue of the flusher.
    queued: AtomicFlag,
}

impl Leaf {
    /// A leaf in memory. Allocates.
    pub(super) fn new(key: NodeKey, state: LeafState) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                key,
                io <- new_mutex!((), "Leaf::io"),
                state <- RwSem::new(state),
                dirty_since: Atomic::new(0),
                pin_seq: Atomic::new(NO_PIN),
                accessed: AtomicFlag::new(false),
                queued: AtomicFlag::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Notes that the leaf is of use.
    #[inline]
    pub(super) fn touch(&self) {
        // Read first: the line stays shared between readers.
        if !self.accessed.load(Relaxed) {
            self.accessed.store(true, Relaxed);
        }
    }

    /// Whether the leaf was used since the last call.
    pub(super) fn untouch(&self) -> bool {
        self.accessed.xchg(false, Relaxed)
    }

    /// Jiffies since when there is something to write.
    pub(super) fn dirty_since(&self) -> Option<u64> {
        match self.dirty_since.load(Relaxed) {
            0 => None,
            when => Some(when),
        }
    }

    /// The oldest journal entry this leaf pins, or [`NO_PIN`].
    pub(super) fn pin_seq(&self) -> u64 {
        self.pin_seq.load(Relaxed)
    }

    /// Puts the leaf down for the flusher; true if it was not yet.
    pub(super) fn queue(&self) -> bool {
        !self.queued.xchg(true, Relaxed)
    }

    /// Takes the leaf off the flusher's list.
    pub(super) fn unqueue(&self) {
        self.queued.store(false, Relaxed);
    }

    /// The pending set got keys, journalled with `pin` if they are. `n` is the content of this
    /// leaf.
    pub(super) fn mark_dirty(&self, n: &mut LeafNode, pin: Option<&JournalPin>) {
        if self.dirty_since.load(Relaxed) == 0 {
            self.dirty_since.store(time::jiffies().max(1), Relaxed);
        }
        let Some(pin) = pin else { return };
        // The oldest pin protects the younger entries too: the journal frees in order.
        if n.pin.as_ref().is_none_or(|have| have.seq() > pin.seq()) {
            n.pin = Some(pin.clone());
            self.pin_seq.store(pin.seq(), Relaxed);
        }
    }

    /// The pending set was taken, or will never be needed. Called with `state` held for writing.
    pub(super) fn mark_clean(&self) {
        self.dirty_since.store(0, Relaxed);
        self.pin_seq.store(NO_PIN, Relaxed);
    }

    /// The leaf has successors: nobody shall use it any more. Waits for I/O on it; what it held is
    /// given back, to be dropped without locks.
    pub(super) fn kill(&self) -> LeafState {
        let _io = self.io.lock();
        let mut state = self.state.write();
        self.mark_clean();
        core::mem::replace(&mut *state, LeafState::Dead)
    }
}
