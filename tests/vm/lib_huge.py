#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a cache that holds more dirty data than anyone can write in a test.

shape CACHE BUCKETS BITS: gives a formatted cache that was never registered so many buckets of 2^BITS sectors each.
soil CACHE FIRST SECTORS: the cache, stopped, has so many dirty sectors of its first device, from sector FIRST on.

Of the data there are the keys only: a new index, of a root and leaves, with one key of the largest size for each bucket.
"""
import array
import sys

from lib_bad import *

# The largest key that ends at a page, and how many make a leaf.
LARGEST = 65528
PER_LEAF = 16384


def shape(cache, buckets, bits):
    sb = cache.read(SB, 4096)
    pack(sb, 16, "Q", 5)  # the version with features
    pack(sb, 128, "Q", 2)  # bucket sizes are given in bits
    pack(sb, 184, "Q", buckets)
    pack(sb, 194, "H", bits)
    pack(sb, 0, "Q", crc(sb[8:208]))
    cache.write(SB, sb)


class Cache:
    def __init__(self, disk):
        self.disk = disk
        sb = disk.read(SB, 4096)
        self.magic, = unpack(sb, 56, "Q")
        self.nbuckets, = unpack(sb, 184, "Q")
        self.bucket = 1 << unpack(sb, 194, "H")[0]
        self.block = unpack(sb, 192, "H")[0] * 512
        first, journal = unpack(sb, 204, "HH")
        self.seq, self.at, self.entry = max(e for b in range(first, first + journal) for e in self.entries(b))
        prio, = unpack(self.entry, PRIO, "Q")
        self.gens = disk.read(prio * self.bucket * 512, self.rounded(40 + 3 * self.nbuckets))[42::3]
        uuids = sector_of(unpack(self.entry, UUIDS + 16, "Q")[0]) // self.bucket
        self.free = (b for b in range(first + journal, self.nbuckets) if b not in (prio, uuids))

    def rounded(self, size):
        return -(-size // self.block) * self.block

    def entries(self, bucket):
        """Of the journal: number, place, content."""
        at = bucket * self.bucket * 512
        while True:
            entry = self.disk.read(at, 32768)
            magic, seq, _, keys = unpack(entry, 8, "QQII")
            if magic != JSET ^ self.magic:
                return
            yield seq, at, entry
            at += self.rounded(KEYS + 8 * keys)

    def place(self):
        """A pointer to a bucket of its own."""
        bucket = next(self.free)
        return ptr(bucket * self.bucket, self.gens[bucket])

    def node(self, words):
        """Writes a node with these keys; gives the pointer to it."""
        to = self.place()
        data = bytearray(self.rounded(32 + 8 * len(words)))
        end = 32 + 8 * len(words)
        pack(data, 8, "QQII", BSET ^ self.magic, int.from_bytes(os.urandom(8), "little") | 1, 1, len(words))
        data[32:end] = words.tobytes()
        pack(data, 0, "Q", crc_node(to, data[8:end]))
        self.disk.write(sector_of(to) * 512, data)
        return to

    def soil(self, first, sectors):
        size = unpack(self.entry, ROOT, "Q")[0] >> 20 & 0xFFFF
        empty = high(0, 0, dirty=1)
        root, leaf = array.array("Q"), array.array("Q")
        at, end = first, first + sectors
        while at < end:
            n = min(LARGEST, end - at)
            at += n
            leaf.extend((empty | n << 20, at, self.place()))
            if len(leaf) == 3 * PER_LEAF and at < end:
                root.extend((high(0, size), at, self.node(leaf)))
                leaf = array.array("Q")
        # The last leaf, like the root, goes up to the largest key there is.
        largest = high(0xFFFFF, size), (1 << 63) - 1
        root.extend((*largest, self.node(leaf)))
        # The newest entry of the journal says where all begins, and has no keys itself.
        pack(self.entry, ROOT, "QQQ", *largest, self.node(root))
        pack(self.entry, LEVEL, "H", 1)
        pack(self.entry, 28, "IQ", 0, self.seq)
        pack(self.entry, 0, "Q", crc(self.entry[8:KEYS]))
        self.disk.write(self.at, self.entry[:512])


what, path, *numbers = sys.argv[1:]
numbers = map(int, numbers)
if what == "shape":
    shape(Disk(path), *numbers)
else:
    Cache(Disk(path)).soil(*numbers)
