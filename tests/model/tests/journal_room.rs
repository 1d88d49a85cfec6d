// SPDX-License-Identifier: GPL-2.0

//! Room in the journal: what the newest durable entry needs is never overwritten, entries that cannot wait have room, and who
//! waits to add keys gets room once the leaves are written. With power cuts, each of which tears the entry under way.

use bcache_core::journal::pins::Pins;
use bcache_core::journal::room::{Place, Room, Turn};
use bcache_core::journal::space::Space;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug)]
enum Op {
    /// Somebody adds keys, of so many words or so much of what an entry can have, in percent.
    Add(Result<usize, usize>),
    /// The open entry is old enough, or a flush came.
    Want,
    /// The root, the table of devices, or the priorities have moved.
    Meta,
    /// So many of the inserts under way have put their keys into a leaf.
    Settle(usize),
    /// A leaf is old enough.
    WriteLeaf,
    /// While the next entry is written somebody adds keys of so many words.
    Meanwhile(usize),
    /// In the middle of a write, if that is possible: of an urgent one or not.
    PowerCut(bool),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: u64,
    last_seq: u64,
    blocks: usize,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    buckets: usize,
    blocks: usize,
    block_bytes: usize,
}

impl Shape {
    /// See [`Space::keep_reserve`].
    fn reserve(&self) -> usize {
        let bucket = if self.buckets > 2 { self.blocks } else { 0 };
        bucket.max(8).min((self.buckets - 1) * self.blocks / 2)
    }

    fn room(&self, mut space: Space<Vec<u64>>, last_seq: u64) -> Room<Vec<u64>> {
        space.keep_reserve();
        let mut room = Room::new(space, self.block_bytes);
        room.replays_from(last_seq);
        room
    }
}

struct Journal {
    shape: Shape,
    room: Room<Vec<u64>>,
    pins: Pins<Vec<AtomicU64>, AtomicU64>,
    /// By bucket and first block.
    disk: BTreeMap<(usize, usize), Entry>,
    durable: Entry,
    seq: u64,
    filled: usize,
    /// Pins of inserts under way,
    inserts: Vec<u64>,
    /// and of leaves.
    leaves: Vec<u64>,
    waits: Option<usize>,
    /// Urgent entries that inserts under way have waited for.
    urgent: usize,
    meanwhile: usize,
}

fn pins(first: u64) -> Pins<Vec<AtomicU64>, AtomicU64> {
    let slots = (0..4096).map(|_| AtomicU64::new(0)).collect();
    Pins::new(slots, AtomicU64::new(0), AtomicU64::new(0), first).unwrap()
}

impl Journal {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            room: shape.room(Space::new(vec![0; shape.buckets], shape.blocks), 1),
            pins: pins(1),
            disk: BTreeMap::new(),
            durable: Entry {
                seq: 0,
                last_seq: 1,
                blocks: 0,
            },
            seq: 1,
            filled: 0,
            inserts: Vec::new(),
            leaves: Vec::new(),
            waits: None,
            urgent: 0,
            meanwhile: 0,
        }
    }

    fn add(&mut self, words: usize) {
        if words == 0 || words > self.room.largest() {
            return;
        }
        if !self.room.add(self.filled, words) {
            self.waits = Some(words);
            return self.room.ask(words);
        }
        self.filled += words;
        assert!(self.pins.pin(self.seq));
        self.inserts.push(self.seq);
        if self.waits.is_some_and(|n| n <= words) {
            self.waits = None;
        }
    }

    fn settle(&mut self, n: usize) {
        let n = n.min(self.inserts.len());
        self.leaves.extend(self.inserts.drain(..n));
        if self.inserts.is_empty() {
            self.urgent = 0;
        }
    }

    fn write_leaves(&mut self, upto: u64, most: usize) {
        let mut left = most;
        self.leaves.retain(|seq| {
            if *seq > upto || left == 0 {
                return true;
            }
            left -= 1;
            self.pins.unpin(*seq);
            false
        });
    }

    /// What the thread does once it is woken, until it would have to wait.
    fn run(&mut self) {
        while self.room.is_due() {
            match self.turn_after_flush() {
                Turn::Write => self.write(),
                Turn::Flush(_) => return,
                Turn::Rest => assert!(!self.room.is_due()),
            }
        }
    }

    fn turn(&mut self) -> Turn {
        let turn = self.room.turn(self.filled, self.pins.reclaim());
        assert!(!self.room.is_last_resort());
        turn
    }

    /// The same, after leaves were written if it asks for that.
    fn turn_after_flush(&mut self) -> Turn {
        match self.turn() {
            Turn::Flush(upto) => {
                self.write_leaves(upto, usize::MAX);
                self.room.flushed(upto);
                self.turn()
            }
            turn => turn,
        }
    }

    fn close(&mut self) -> (Place, Entry) {
        let place = self.room.close(self.filled, self.seq).expect("room");
        self.overwrite(&place);
        let entry = Entry {
            seq: self.seq,
            last_seq: self.pins.reclaim(),
            blocks: place.blocks,
        };
        (place, entry)
    }

    fn write(&mut self) {
        let for_room = self.filled == 0 && !self.room.is_urgent();
        let needed = self.room.space().oldest_needed();
        let (place, entry) = self.close();
        self.filled = 0;
        let closed = self.seq;
        self.seq = self.pins.open().unwrap();
        self.pins.unpin(closed);
        let words = std::mem::take(&mut self.meanwhile);
        self.add(words);
        self.disk.insert((place.bucket, place.block), entry);
        self.durable = entry;
        self.room.written(entry.last_seq, self.filled);
        if for_room {
            let now = self.room.space().oldest_needed();
            assert!(now > needed, "an entry for nothing");
        }
        if let Some(upto) = self.room.ahead() {
            self.write_leaves(upto, usize::MAX);
        }
    }

    /// What a write, torn or not, does to what was there before: nothing of it may be needed.
    fn overwrite(&mut self, place: &Place) {
        let (from, to) = (place.block, place.block + place.blocks);
        assert!(to <= self.shape.blocks);
        let needed = self.durable.last_seq..=self.durable.seq;
        self.disk.retain(|(bucket, block), e| {
            let gone = *bucket == place.bucket && *block < to && block + e.blocks > from;
            assert!(!gone || !needed.contains(&e.seq), "{e:?} is needed");
            !gone
        });
    }

    /// The machine stops, in the middle of a write if one can be due, and comes back.
    fn power_cut(&mut self, urgent: bool) {
        if urgent && self.inserts.is_empty() {
            self.room.want_urgently();
        } else if self.filled != 0 {
            self.room.want();
        }
        if self.room.is_due() && self.turn_after_flush() == Turn::Write {
            self.close();
        }
        let needed: Vec<u64> = (self.durable.last_seq..=self.durable.seq).collect();
        let on_disk: Vec<u64> = self.disk.values().map(|e| e.seq).collect();
        assert!(needed.iter().all(|seq| on_disk.contains(seq)));
        let mut space = Space::new(vec![0; self.shape.buckets], self.shape.blocks);
        for ((bucket, block), e) in &self.disk {
            space.found(*bucket, e.seq, block + e.blocks);
        }
        space.after_scan();
        self.room = self.shape.room(space, self.durable.last_seq);
        self.pins = pins(self.durable.last_seq);
        for _ in &needed {
            self.pins.open().unwrap();
        }
        self.seq = self.durable.seq + 1;
        // Their keys are inserted again, which needs no urgent entries beyond those of the run before.
        self.inserts.clear();
        self.leaves = needed;
        self.filled = 0;
        self.waits = None;
        self.meanwhile = 0;
    }

    /// An urgent entry, if inserts under way do not wait for too many: one block of the reserve is for an entry that gives
    /// back others.
    fn meta(&mut self) {
        if !self.inserts.is_empty() {
            if self.urgent + 1 >= self.shape.reserve() {
                return;
            }
            self.urgent += 1;
        }
        let seq = self.seq;
        self.room.want_urgently();
        self.run();
        assert!(self.durable.seq >= seq, "an urgent entry waits");
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Add(Ok(words)) => self.add(words),
            Op::Add(Err(percent)) => self.add(self.room.largest() * percent / 100),
            Op::Want if self.filled != 0 => {
                let seq = self.seq;
                self.room.want();
                assert_eq!(self.turn(), Turn::Write, "an entry with keys waits");
                self.run();
                assert!(self.durable.seq >= seq);
            }
            Op::Want => {}
            Op::Meta => self.meta(),
            Op::Settle(n) => self.settle(n),
            Op::WriteLeaf => self.write_leaves(u64::MAX, 1),
            Op::Meanwhile(words) => self.meanwhile = words,
            Op::PowerCut(urgent) => self.power_cut(urgent),
        }
        self.run();
    }

    /// Who waits for room gets it, when all others have come to an end.
    fn end(&mut self) {
        self.meanwhile = 0;
        self.settle(usize::MAX);
        for _ in 0..2 {
            self.run();
            let Some(words) = self.waits else { return };
            assert!(!self.room.is_short(words), "nothing is needed");
            self.add(words);
        }
        assert_eq!(self.waits, None);
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1usize..60).prop_map(|n| Op::Add(Ok(n))),
        4 => (1usize..=100).prop_map(|n| Op::Add(Err(n))),
        4 => Just(Op::Want),
        4 => Just(Op::Meta),
        2 => (1usize..20).prop_map(Op::Settle),
        1 => Just(Op::WriteLeaf),
        2 => (1usize..60).prop_map(Op::Meanwhile),
        1 => any::<bool>().prop_map(Op::PowerCut),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let blocks = prop_oneof![1usize..5, Just(8usize), Just(16)];
    let block_bytes = prop_oneof![Just(512usize), Just(4096)];
    (2usize..7, blocks, block_bytes)
        .prop_map(|(buckets, blocks, block_bytes)| Shape {
            buckets,
            blocks,
            block_bytes,
        })
        // Two buckets of a block each are a journal only as long as no power is cut.
        .prop_filter("a reserve", |shape| shape.reserve() > 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_needed_stays(shape in shape(), ops in prop::collection::vec(op(), 1..120)) {
        let mut journal = Journal::new(shape);
        for op in &ops {
            journal.step(op);
        }
        journal.end();
    }
}
