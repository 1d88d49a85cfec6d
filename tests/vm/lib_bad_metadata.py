#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""CACHE BACKING PART SEED COUNT: damages the metadata of a cache in all ways and registers it.

CACHE holds a stopped cache with dirty data of BACKING, which is attached. Damage is done to a copy in memory that is
written out for each case; checksums are made right again. PART is another disk with a partition that is too small.
"""
import random
import sys

from lib_bad import *


class Node:
    def __init__(self, level, ptr, sectors, pos):
        self.level, self.ptr, self.sectors, self.pos = level, ptr, sectors, pos
        self.at = sector_of(ptr) * 512
        self.sets = []


class Image:
    """The metadata of a cache, and ways to change it."""

    def __init__(self, good):
        self.m = mmap.mmap(-1, len(good))
        self.good = good
        self.touched = [(0, len(good))]
        self.restore()
        self.nbuckets, self.block, self.bucket = unpack(good, SB + 184, "QHH")
        self.block *= 512
        self.first, self.njournal = unpack(good, SB + 204, "HH")
        self.magic = unpack(good, SB + 56, "Q")[0]
        self.bytes = self.bucket * 512
        self.entries = self.journal()
        self.seq, self.at = self.entries[-1]
        self.uuids = sector_of(unpack(good, self.at + UUIDS + 16, "Q")[0]) * 512
        self.prios = self.prio_buckets()
        self.nodes = []
        self.walk(self.at + ROOT, unpack(good, self.at + LEVEL, "H")[0])
        # The root's log has them in the order in which they were made.
        self.leaves = sorted((n for n in self.nodes if n.level == 0), key=lambda n: n.pos)
        self.root = self.nodes[0]

    def restore(self):
        self.m[:] = self.good[:]

    def u(self, at, fmt="Q"):
        return unpack(self.m, at, fmt)[0]

    def p(self, at, value, fmt="Q"):
        pack(self.m, at, fmt, value & (1 << 8 * struct.calcsize("<" + fmt)) - 1)

    def journal(self):
        found = []
        for b in range(self.first, self.first + self.njournal):
            at = b * self.bytes
            while at < (b + 1) * self.bytes and self.u(at + 8) == JSET ^ self.magic:
                found.append((self.u(at + 16), at))
                at += -(-(KEYS + 8 * self.u(at + 28, "I")) // self.block) * self.block
        return sorted(found)

    def prio_buckets(self):
        per = (self.bytes - 40) // 3
        out = [self.u(self.at + PRIO)]
        while len(out) * per < self.nbuckets:
            out.append(self.u(out[-1] * self.bytes + 32))
        return out

    def keys(self, at, words):
        end = at + 8 * words
        while at < end:
            yield at
            at += 16 + 8 * (self.u(at) >> 60 & 7)

    def walk(self, key, level):
        pos = self.u(key) & 0xFFFFF, self.u(key + 8)
        node = Node(level, self.u(key + 16), self.u(key) >> 20 & 0xFFFF, pos)
        self.nodes.append(node)
        at, end, seq = node.at, node.at + node.sectors * 512, self.u(node.at + 16)
        while at < end and self.u(at + 16) == seq:
            words = self.u(at + 28, "I")
            node.sets.append((at, words))
            at += -(-(32 + 8 * words) // self.block) * self.block
        node.end = at
        if level:
            gens = {}
            for at, words in node.sets:
                for k in self.keys(at + 32, words):
                    p = self.u(k + 16)
                    gens[p >> 8] = max(gens.get(p >> 8, 0), p & 255)
            for at, words in node.sets:
                for k in self.keys(at + 32, words):
                    p = self.u(k + 16)
                    if (self.u(k) & 0xFFFFF or self.u(k + 8)) and gens[p >> 8] == p & 255:
                        self.walk(k, level - 1)

    # Making checksums right

    def seal_jset(self, at=None):
        at = self.at if at is None else at
        n = min(self.u(at + 28, "I"), 2000)
        self.p(at, crc(self.m[at + 8:at + KEYS + 8 * n]))

    def seal_prio(self, bucket):
        at = bucket * self.bytes
        self.p(at, crc(self.m[at + 8:at + self.bytes]))

    def seal_set(self, node, at):
        n = min(self.u(at + 28, "I"), (self.bytes - 32) // 8)
        self.p(at, crc_node(node.ptr, self.m[at + 8:at + 32 + 8 * n]))

    # Changes

    def jset(self, at, value, fmt="Q"):
        self.p(self.at + at, value, fmt)
        self.seal_jset()

    def jkeys(self, *words):
        """The newest entry gets these words of keys."""
        self.p(self.at + 28, len(words), "I")
        for i, w in enumerate(words):
            self.p(self.at + KEYS + 8 * i, w)
        self.seal_jset()

    def set(self, node, i, offset, value, fmt="Q"):
        at = node.sets[i][0]
        self.p(at + offset, value, fmt)
        self.seal_set(node, at)

    def fill(self, node, keys):
        """The node becomes one set of these keys."""
        words = [w for k in keys for w in k]
        at = node.at
        self.p(at + 28, len(words), "I")
        for i, w in enumerate(words):
            self.p(at + 32 + 8 * i, w)
        behind = at + -(-(32 + 8 * len(words)) // self.block) * self.block
        while behind < node.at + node.sectors * 512:
            self.p(behind + 16, 0)
            behind += self.block
        self.seal_set(node, at)

    def child(self, node, end=None):
        """A key that leads to a node."""
        where = (high(0xFFFFF, node.sectors), (1 << 63) - 1) if end is None else (high(end[0], node.sectors), end[1])
        return *where, node.ptr

    def data(self, inode, end, size, sector, dirty=1, gen=None, dev=0):
        if gen is None:
            gen = self.gen(sector // self.bucket)
        return high(inode, size, dirty), end, ptr(sector, gen, dev)

    def gen(self, bucket):
        per = (self.bytes - 40) // 3
        if not 0 <= bucket < self.nbuckets:
            return 0
        return self.u(self.prios[bucket // per] * self.bytes + 40 + bucket % per * 3 + 2, "B")

    def data_sector(self):
        """Where the first extent of the first leaf is."""
        for at, words in self.leaves[0].sets:
            for k in self.keys(at + 32, words):
                if self.u(k) >> 60 & 7:
                    return sector_of(self.u(k + 16))


def journal_cases(i):
    s = i.seq
    end = i.nbuckets * i.bucket
    d = i.data_sector()
    yield "no journal at all", "fail", lambda: [i.p(at + 8, 0) for _, at in i.entries]
    yield "journal: magic of the newest entry", "any", lambda: i.p(i.at + 8, 1)
    yield "journal: checksum of the newest entry", "any", lambda: i.p(i.at, 1)
    yield "journal: checksums of all entries", "fail", lambda: [i.p(at, 1) for _, at in i.entries]
    for keys in 1 << 31, (1 << 32) - 1, 70000, 3000, 1021:
        yield f"journal: {keys} words of keys", "any", lambda keys=keys: i.jset(28, keys, "I")
    for version in 0, 2, 0xFFFFFFFF:
        yield f"journal: version {version}", "any", lambda version=version: i.jset(24, version, "I")
    yield "journal: needs entries that are gone", "fail", lambda: i.jset(32, 0)
    yield "journal: needs later entries", "fail", lambda: i.jset(32, s + 1)
    yield "journal: needs entry 2^64 - 1", "fail", lambda: i.jset(32, ONES)
    yield "journal: gap before the newest", "any", lambda: (i.jset(32, s), i.jset(16, s + 5))
    yield "journal: entry 2^64 - 1", "any", lambda: (i.jset(32, ONES), i.jset(16, ONES))
    yield "journal: entry 2^64 - 2", "any", lambda: (i.jset(32, ONES - 1), i.jset(16, ONES - 1))
    yield "journal: entry 0", "any", lambda: (i.jset(32, 0), i.jset(16, 0))
    yield "journal: all entries have one number", "fail", lambda: [
        (i.p(at + 16, s), i.p(at + 32, s), i.seal_jset(at)) for _, at in i.entries[-30:]]
    yield "journal: key with 7 pointers beyond the entry", "any", lambda: i.jkeys(high(0, 8, 1, 7), 8, ptr(d))
    yield "journal: half a key", "any", lambda: i.jkeys(high(0, 8, 1, 1))
    for what, want, key in (
        ("size 0", "any", i.data(0, 800, 0, d)),
        ("start below 0", "fail", i.data(0, 4, 8, d)),
        ("largest inode", "any", i.data(0xFFFFF, 4096, 8, d)),
        ("largest inode and sector", "any", i.data(0xFFFFF, ONES, 8, d)),
        ("largest sector", "any", i.data(0, ONES, 8, d)),
        ("sector behind the device", "any", i.data(0, 1 << 40, 65535, d, gen=i.gen(d // i.bucket) + 1)),
        ("data across a bucket", "fail", i.data(0, 4096, i.bucket, d - d % i.bucket + 1)),
        ("data behind the cache", "fail", i.data(0, 4096, 8, end)),
        ("data at 2^43 - 1", "fail", i.data(0, 4096, 8, (1 << 43) - 1)),
        ("data in the superblock", "fail", i.data(0, 4096, 8, 0)),
        ("data in the journal", "any", i.data(0, 4096, 8, i.first * i.bucket)),
        ("data in the root", "any", i.data(0, 4096, 8, sector_of(i.root.ptr), gen=i.root.ptr & 255)),
        ("data in the uuids", "any", i.data(0, 4096, 8, i.uuids // 512)),
        ("data in the priorities", "any", i.data(0, 4096, 8, i.prios[0] * i.bucket)),
        ("other device", "any", i.data(0, 4096, 8, d, dev=1)),
        ("device 8", "any", i.data(0, 4096, 8, d, dev=8)),
        ("check device", "any", i.data(0, 4096, 8, d, dev=4095)),
        ("future generation", "any", i.data(0, 4096, 8, d, gen=i.gen(d // i.bucket) + 1)),
        ("generation 128 ahead", "any", i.data(0, 4096, 8, d, gen=i.gen(d // i.bucket) + 128)),
    ):
        yield f"journal: key with {what}", want, lambda key=key: i.jkeys(*key)


def pointer_cases(i):
    leaf, root = i.leaves[0], i.root
    level = root.level

    def change(where, size=None, p=None, ptrs=1):
        key = high(0xFFFFF, root.sectors if size is None else size, 0, ptrs)
        i.p(i.at + where, key)
        if p is not None:
            i.p(i.at + where + 16, p)
        i.seal_jset()

    for what, where in (("root", ROOT), ("uuids", UUIDS)):
        for sector in i.nbuckets * i.bucket, 0, (1 << 43) - 1:
            yield f"{what} at sector {sector}", "fail", lambda w=where, s=sector: change(w, p=ptr(s))
        yield f"{what} on device 1", "any", lambda w=where: change(w, p=root.ptr | 1 << 51)
        yield f"{what} on device 4095", "fail", lambda w=where: change(w, p=root.ptr | 4095 << 51)
        for size in 0, i.bucket + 1, 65535:
            yield f"{what} of {size} sectors", "fail", lambda w=where, s=size: change(w, size=s)
        yield f"{what} of 1 sector", "any", lambda w=where: change(w, size=1)
        yield f"{what} without pointer", "fail", lambda w=where: change(w, ptrs=0)
        yield f"{what} with 7 pointers", "any", lambda w=where: change(w, ptrs=7)
        yield f"{what} not at the start of a bucket", "any", lambda w=where: change(w, size=8, p=root.ptr + (8 << 8))
    yield "root in the journal", "fail", lambda: change(ROOT, p=ptr(i.first * i.bucket))
    yield "root in the uuids", "fail", lambda: change(ROOT, p=ptr(i.uuids // 512))
    yield "uuids in the root", "any", lambda: change(UUIDS, p=root.ptr)
    yield "uuids in the journal", "any", lambda: change(UUIDS, p=ptr(i.first * i.bucket))
    yield "a leaf as root", "fail", lambda: change(ROOT, p=leaf.ptr)
    for n in set((0, level - 1, level + 1, 8, 9, 255, 65535)) - {level}:
        # Its children can pass for extents, if they lie far enough apart; C looks no closer.
        want = "fail" if n else "any"
        yield f"root of level {n}", want, lambda n=n: i.jset(LEVEL, n, "H")

    def stale():
        i.root.ptr = (root.ptr & ~255) | ((root.ptr & 255) - 1) & 255
        change(ROOT, p=i.root.ptr)
        for at, _ in root.sets:
            i.seal_set(root, at)
        i.root.ptr = good
    good = root.ptr
    yield "stale root", "any", stale
    for n in i.first, i.first - 1, i.nbuckets, (1 << 32) + 200, ONES, 1 << 63:
        yield f"priorities in bucket {n}", "fail", lambda n=n: i.jset(PRIO, n)
    yield "priorities in the root", "fail", lambda: i.jset(PRIO, sector_of(root.ptr) // i.bucket)


def prio_cases(i):
    a, b = i.prios[:2]
    at = a * i.bytes
    data = range(at + 40, at + i.bytes - 8, 3)
    yield "priorities: checksum", "fail", lambda: i.p(at, 1)
    yield "priorities: magic", "fail", lambda: (i.p(at + 8, 1), i.seal_prio(a))
    yield "priorities: version", "any", lambda: (i.p(at + 24, 77, "I"), i.seal_prio(a))
    for n in 0, i.nbuckets, 1 << 32 | b, ONES, i.first:
        yield f"priorities: next is {n}", "fail", lambda n=n: (i.p(at + 32, n), i.seal_prio(a))
    yield "priorities: next is itself", "any", lambda: (i.p(at + 32, a), i.seal_prio(a))
    yield "priorities: second checksum", "fail", lambda: i.p(b * i.bytes, 1)
    yield "priorities: all stale", "any", lambda: (
        [i.p(x + 2, i.u(x + 2, "B") + 1, "B") for x in data], i.seal_prio(a))
    yield "priorities: generations half around", "any", lambda: (
        [i.p(x + 2, i.u(x + 2, "B") + 128, "B") for x in data], i.seal_prio(a))
    yield "priorities: all ones", "any", lambda: (
        i.m.__setitem__(slice(at + 40, at + i.bytes), b"\xff" * (i.bytes - 40)), i.seal_prio(a))


def uuid_cases(i, rng):
    size = i.bytes
    yield "uuids: zeroes", "any", lambda: i.m.__setitem__(slice(i.uuids, i.uuids + size), bytes(size))
    yield "uuids: garbage", "any", lambda: i.m.__setitem__(slice(i.uuids, i.uuids + size), rng.randbytes(size))
    yield "uuids: all ones", "any", lambda: i.m.__setitem__(slice(i.uuids, i.uuids + size), b"\xff" * size)
    one = bytes(i.m[i.uuids:i.uuids + 128])
    yield "uuids: the device in all slots", "any", lambda: i.m.__setitem__(
        slice(i.uuids, i.uuids + size), one * (size // 128))
    yield "uuids: the device in the last slot only", "any", lambda: i.m.__setitem__(
        slice(i.uuids, i.uuids + size), bytes(size - 128) + one)


def node_cases(i):
    leaf, last, root = i.leaves[0], i.leaves[-1], i.root
    mid = i.leaves[len(i.leaves) // 2]
    d = i.data_sector()
    end = i.nbuckets * i.bucket
    for what, node in ("root", root), ("leaf", leaf):
        yield f"{what}: checksum", "fail", lambda n=node: i.p(n.at, 1)
        yield f"{what}: magic", "fail", lambda n=node: i.set(n, 0, 8, 1)
        yield f"{what}: seq 0", "fail", lambda n=node: i.set(n, 0, 16, 0)
        yield f"{what}: other seq", "any", lambda n=node: i.set(n, 0, 16, 5)
        for version in 2, 0xFFFFFFFF:
            yield f"{what}: version {version}", "fail", lambda n=node, v=version: i.set(n, 0, 24, v, "I")
        yield f"{what}: version 0", "fail", lambda n=node: i.set(n, 0, 24, 0, "I")
        for keys in 1 << 29, (1 << 32) - 1, i.bytes // 8 - 3:
            yield f"{what}: {keys} words", "fail", lambda n=node, k=keys: i.set(n, 0, 28, k, "I")
        # Zeros behind the keys can be read as keys without a pointer, which say nothing; or the last one is half a key.
        yield f"{what}: as many words as fit", "any", lambda n=node: i.set(n, 0, 28, i.bytes // 8 - 4, "I")
        yield f"{what}: no keys", "any" if node is leaf else "fail", lambda n=node: i.fill(n, [])
        yield f"{what}: half a key", "fail", lambda n=node: i.fill(n, [(high(0, 8),)])
        yield f"{what}: key with 7 pointers", "any", lambda n=node: i.fill(n, [(high(0, 8, 0, 7), 100) + 7 * (ptr(d),)])
        yield f"{what}: zeroes", "fail", lambda n=node: i.m.__setitem__(slice(n.at, n.at + i.bytes), bytes(i.bytes))

    def hole():
        i.fill(leaf, [i.data(0, 8, 8, d, 0)])
        i.p(leaf.at + leaf.sectors * 512 - i.block + 16, i.u(leaf.at + 16))

    def empty():
        i.fill(leaf, [i.data(0, 8, 8, d, 0)])
        at = leaf.at + i.block
        i.m[at:at + 32] = i.m[leaf.at:leaf.at + 32]
        i.p(at + 28, 0, "I")
        i.seal_set(leaf, at)

    yield "leaf: hole in the log", "fail", hole
    yield "leaf: empty second set", "fail", empty
    for what, want, keys in (
        ("size 0", "any", [i.data(0, 8, 0, d)]),
        ("start below 0", "fail", [i.data(0, 4, 8, d)]),
        ("the same key often", "any", [i.data(0, 8, 8, d)] * 100),
        ("keys in reverse", "any", [i.data(0, 8 * n, 8, d) for n in range(100, 1, -1)]),
        ("keys that overlap", "any", [i.data(0, n + 8, 8, d) for n in range(0, 100)]),
        ("data across a bucket", "fail", [i.data(0, 64, i.bucket, d - d % i.bucket + 1)]),
        ("data behind the cache", "fail", [i.data(0, 8, 8, end)]),
        ("data in the superblock", "fail", [i.data(0, 8, 8, 8)]),
        ("data on device 1", "any", [i.data(0, 8, 8, d, dev=1)]),
        ("data on device 9", "any", [i.data(0, 8, 8, d, dev=9)]),
        ("data in the journal", "any", [i.data(0, 8, 8, i.first * i.bucket)]),
        ("data in itself", "fail", [i.data(0, 8, 8, leaf.at // 512, gen=leaf.ptr & 255)]),
        ("data in the root", "fail", [i.data(0, 8, 8, root.at // 512, gen=root.ptr & 255)]),
        ("data in the uuids", "any", [i.data(0, 8, 8, i.uuids // 512)]),
        ("data of the future", "any", [i.data(0, 8, 8, d, gen=i.gen(d // i.bucket) + 1)]),
        ("keys behind its range", "fail", [i.data(0xFFFFE, 80, 8, d)]),
        ("a hole behind its range", "fail", [(high(0xFFFFE, 8, 0, 0), 80)]),
        ("two pointers", "any", [(high(0, 8, 1, 2), 8, ptr(d, i.gen(d // i.bucket)), ptr(d, i.gen(d // i.bucket)))]),
    ):
        yield f"leaf: {what}", want, lambda keys=keys: i.fill(leaf, keys)
    for what, keys in (
        ("last leaf: keys of all devices", [i.data(n * 5000 + 4000, 8, 8, d) for n in range(200)]),
        ("last leaf: keys behind the device", [i.data(0, 1 << 42, 65535, d, gen=0), i.data(0xFFFFF, 1 << 62, 8, d)]),
        ("last leaf: key at 2^64 - 1", [i.data(1 << 18, ONES, 8, d)]),
        ("last leaf: dirty keys at the end of the range", [i.data(0xFFFFF, (1 << 63) - 1, 8, d)]),
        ("last leaf: keys before its range", [i.data(0, 8, 8, d), i.data(0xFFFF0, 80, 8, d)]),
    ):
        yield what, "any", lambda keys=keys: i.fill(last, keys)
    kids = [i.child(n, (0, 1000 * (x + 1))) for x, n in enumerate(i.leaves)]
    for what, keys in (
        ("no child for the end", [i.child(leaf, (0, 100))]),
        ("children that overlap", [i.child(leaf, (0, 100)), i.child(last, (0, 100)), i.child(mid)]),
        ("its own child", [i.child(root)]),
        ("a child twice", [i.child(leaf, (0, 100)), i.child(leaf)]),
        ("a child behind the cache", [(high(0xFFFFF, i.bucket), (1 << 63) - 1, ptr(end))]),
        ("a child in the journal", [(high(0xFFFFF, i.bucket), (1 << 63) - 1, ptr(i.first * i.bucket))]),
        ("a child of 65535 sectors", [(high(0xFFFFF, 65535), (1 << 63) - 1, leaf.ptr)]),
        ("a child of one sector", [(high(0xFFFFF, 1), (1 << 63) - 1, leaf.ptr)]),
        ("a stale child", [i.child(leaf)[:2] + ((leaf.ptr & ~255) | (leaf.ptr - 1) & 255,)]),
        ("a freed child", [i.child(leaf), (high(0, i.bucket), 0, (leaf.ptr & ~255) | (leaf.ptr + 1) & 255)]),
        ("children with wrong ranges", kids[:-1] + [i.child(last)]),
        ("a child without pointer", [(high(0xFFFFF, i.bucket, 0, 0), (1 << 63) - 1)]),
        ("a dirty child", [(high(0xFFFFF, i.bucket, 1), (1 << 63) - 1, leaf.ptr)]),
    ):
        if root.level:
            yield f"root: {what}", "fail", lambda keys=keys: i.fill(root, keys)

    def bomb(kids):
        i.fill(root, [i.child(n, (0, x + 1)) for x, n in enumerate(kids[:-1])] + [i.child(kids[-1])])
        i.jset(LEVEL, 8, "H")

    yield "root: itself as all of its children", "fail", lambda: bomb([root] * 300)
    many = [n for n in (leaf, mid) for _ in range(150)]
    yield "root: the same children over and over", "fail", lambda: bomb(many)


def cached():
    """KiB of the index that are in memory."""
    sizes = glob.glob("/sys/fs/bcache/*-*/btree_cache_size")
    try:
        with open(sizes[0]) as f:
            text = f.read().strip()
    except (IndexError, OSError):
        return 0.0
    return float(text[:-1]) * {"k": 1, "M": 1024}[text[-1]]


class Test:
    def __init__(self, ktap, log, cache, back, part, seed):
        self.ktap, self.log, self.cache, self.back, self.part = ktap, log, cache, back, part
        self.rng = random.Random(seed)
        self.image = Image(cache.read(0, cache.size))
        self.sb = back.read(SB, 4096)

    def use(self):
        """What works is used a little: reads, writes, gc, writeback."""
        if register(self.back.path):
            return "no backing device"
        return self.load()

    def load(self):
        """Reads and writes all over the device, and what the set does by itself; nothing of it has to succeed."""
        used = []
        disk = "/dev/bcache0"
        if os.path.exists(disk):
            size = self.back.size

            def io():
                fd = os.open(disk, os.O_RDWR | os.O_DIRECT)
                buf = mmap.mmap(-1, 1 << 16)
                ended = {os.preadv: 0, os.pwritev: 0}
                for n in range(10):
                    for at, call in (n * size // 10 >> 16 << 16, os.preadv), (self.rng.randrange(size >> 17) << 16, os.pwritev):
                        try:
                            ended[call] += call(fd, [buf], at) == len(buf)
                        except OSError:
                            pass
                if not all(ended.values()):
                    raise OSError(errno.EIO, "nothing can be read, or written")

            # It is another process.
            used.append("useless" if bounded("use", io) else "used")
        for gc in glob.glob("/sys/fs/bcache/*-*/internal/trigger_gc"):
            try:
                bounded("gc", lambda: put("1", gc))
            except FileNotFoundError:
                pass
        for running in glob.glob("/sys/class/block/*/bcache/writeback_running"):
            try:
                bounded("writeback", lambda: (put("0", running.replace("_running", "_percent")), put("1", running)))
            except FileNotFoundError:
                pass
        time.sleep(0.05)
        return " ".join(used) or "no disk"

    def run(self, what, want, prepare):
        i = self.image
        i.restore()
        prepare()
        self.cache.write(0, i.m)
        self.back.write(SB, self.sb)
        self.log.new()
        code = register(self.cache.path)
        lines = self.log.new()
        good = (code == 0) == (want == "works") or want == "any"
        if code:
            good = good and errno.ENODEV == code and any("bcache" in line for line in lines) and not stops()
            end = name(code)
        else:
            end = self.use()
            good = good and (want != "works" or end == "used")
        stop_all(self.cache.path, self.back.path)
        self.ends[end] = self.ends.get(end, 0) + 1
        return good, end, lines

    ends = {}

    def case(self, what, want, prepare):
        start = time.monotonic()
        good, end, lines = self.run(what, want, prepare)
        spent = time.monotonic() - start
        self.ktap.result(good, f"{what}: {'error' if want == 'fail' else end}", f"{end}; log: {lines}")
        if spent > 5:
            print(f"# took {spent:.1f} s")

    def flip(self):
        """Flips bits somewhere in the metadata, and mostly makes the checksum right."""
        i, rng = self.image, self.rng
        for _ in range(rng.choice((1, 1, 2, 4))):
            kind = rng.randrange(5)
            if kind == 0:
                at, limit, seal = i.at, KEYS, i.seal_jset
            elif kind == 1:
                entry = rng.choice(i.entries[-20:])[1]
                limit = min(KEYS + 8 * i.u(entry + 28, "I"), i.bytes)
                at, seal = entry, lambda: i.seal_jset(entry)
            elif kind == 2:
                bucket = rng.choice(i.prios)
                at, limit, seal = bucket * i.bytes, i.bytes, lambda: i.seal_prio(bucket)
            else:
                node = i.root if kind == 3 else rng.choice(i.nodes)
                at, words = rng.choice(node.sets)
                limit, seal = 32 + 8 * words, lambda: i.seal_set(node, at)
            for _ in range(rng.choice((1, 1, 3))):
                where = rng.randrange(8, limit)
                if 8 <= where < 16 and rng.random() < 0.8:
                    continue
                i.p(at + where, i.u(at + where, "B") ^ 1 << rng.randrange(8), "B")
            if rng.random() < 0.95:
                seal()

    def all(self, seed, count):
        i = self.image
        print(f"# {i.nbuckets} buckets of {i.bucket} sectors, {len(i.entries)} journal entries, root of level "
              f"{i.root.level}, {len(i.leaves)} leaves, priorities in {i.prios}")
        self.case("nothing wrong", "works", lambda: None)
        for cases in journal_cases(i), pointer_cases(i), prio_cases(i), uuid_cases(i, self.rng), node_cases(i):
            for case in cases:
                self.case(*case)
        self.truncated()
        self.ends.clear()
        wrong = []
        for n in range(count):
            self.rng = random.Random(f"{seed} {n}")
            good, end, lines = self.run(f"flip {n}", "any", self.flip)
            if not good:
                wrong.append((n, end, lines))
        print(f"# seed {seed}: {count} flips: {self.ends}")
        self.ktap.result(not wrong, f"{count} random flips end in an error or work", wrong)
        self.live(seed)
        self.case("nothing wrong after all that", "works", lambda: None)
        i.restore()
        self.cache.write(0, i.m)

    def truncated(self):
        """The disk is large enough, but not the partition."""
        self.image.restore()
        disk = Disk(self.part[:-1])
        disk.write(1 << 20, self.image.m)
        self.log.new()
        code = register(self.part)
        lines = self.log.new()
        stop_all(self.part)
        self.ktap.result(code and lines, f"partition smaller than the cache: {name(code)}", lines)

    def live(self, seed):
        """Damage below a running set."""
        i = self.image
        met = 0
        for n in range(8):
            self.rng = rng = random.Random(f"live {seed} {n}")
            i.restore()
            self.cache.write(0, i.m)
            self.back.write(SB, self.sb)
            code = register(self.cache.path)
            self.use()
            assert len(i.leaves) > 30, "the index is small enough to be kept in memory"
            self.log.new()
            whole = cached()
            # From here on something that the set does by itself may meet it.
            for node in i.nodes:
                if n & 1 or rng.random() < 0.5:
                    self.cache.write(node.at, rng.randbytes(512) if n & 2 else bytes(4096))
            if n & 4:
                self.cache.write(i.first * i.bytes, rng.randbytes(65536))
                self.cache.write(i.uuids, rng.randbytes(4096))
                self.cache.write(SB, rng.randbytes(4096))
            # What was used since the last time stays.
            for prune in 2 * glob.glob("/sys/fs/bcache/*-*/internal/prune_cache"):
                bounded("prune", lambda: put("100000", prune))
            dropped = cached() < whole
            end = self.load()
            # Of no node anything is left: what is not in memory is missed, by gc if by nothing else. Nodes with keys to be
            # written stay there.
            must = n & 1 and dropped
            lines, until = self.log.new(), time.monotonic() + 30
            while not (found := any("disabling caching" in line for line in lines)) and must and time.monotonic() < until:
                time.sleep(0.05)
                lines += self.log.new()
            stop_all(self.cache.path, self.back.path)
            met += found
            good = found or not must
            text = "found" if found else "nothing of it was read"
            self.ktap.result(code == 0 and good, f"damage below a running set, {n}: {text}, {end}", (name(code), lines))
        self.ktap.result(met > 1, f"damage was found in {met} rounds", "")


def main():
    cache, back, part, seed, count = sys.argv[1:]
    ktap = Ktap()
    print(f"# seed {seed}")
    try:
        Test(ktap, Log(), Disk(cache), Disk(back), part, seed).all(seed, int(count))
    except Stuck as e:
        ktap.result(False, "the kernel comes back", e)
    ktap.done()


main()
