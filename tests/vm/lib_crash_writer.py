#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes stamped blocks to a disk and says what has been synced; checks a disk against that log.

write DISK LOG BLOCKS COUNT SEED   random aligned writes of 1..16 blocks of 4 KiB, a sync now and then; goes on with an old log
check DISK LOG BLOCKS MARK         MARK: number of lines of the log that had been written before the crash
settle DISK LOG BLOCKS             checks against the whole log, then notes there what was found, which no later crash may undo
Lines of the log: "w SEQ BLOCK COUNT" before a write, "s SEQ" after a sync: all writes up to SEQ are durable, "f BLOCK SEQ...":
after a crash the sectors of this block had these stamps.
"""
import mmap
import os
import random
import struct
import sys

BLOCK = 4096
STAMP = struct.Struct("<QQ")


def fill(buf, block, count, seq):
    for i in range(count):
        for s in range(8):
            STAMP.pack_into(buf, i * BLOCK + s * 512, block + i, seq)


def write(disk, log, blocks, count, seed):
    rng = random.Random(seed)
    fd = os.open(disk, os.O_RDWR | os.O_DIRECT)
    out = open(log, "a+", buffering=1)
    out.seek(0)
    first = 1 + max((int(line.split()[1]) for line in out if line[0] == "w"), default=0)
    buf = mmap.mmap(-1, 16 * BLOCK)
    for seq in range(first, first + count):
        n = rng.choice((1, 1, 1, 1, 2, 4, 16))
        block = rng.randrange(blocks - n)
        fill(buf, block, n, seq)
        out.write(f"w {seq} {block} {n}\n")
        os.pwritev(fd, [memoryview(buf)[: n * BLOCK]], block * BLOCK)
        if rng.randrange(40) == 0:
            os.fdatasync(fd)
            out.write(f"s {seq}\n")


def check(disk, log, blocks, mark=None):
    synced = 0
    lines = open(log).read().split("\n")[:-1]
    for line in lines[:mark]:
        if line.startswith("s "):
            synced = int(line.split()[1])
    low = {}
    allowed = {}
    for line in lines:
        if line.startswith("f "):
            _, block, *found = line.split()
            allowed[int(block)] = {int(seq) for seq in found}
        if not line.startswith("w "):
            continue
        _, seq, block, n = line.split()
        seq = int(seq)
        for b in range(int(block), int(block) + int(n)):
            if seq <= synced:
                low[b] = seq
                allowed[b] = {seq}
            else:
                allowed.setdefault(b, {0}).add(seq)
    fd = os.open(disk, os.O_RDONLY)
    bad = 0
    settled = []
    for b in range(blocks):
        data = os.pread(fd, BLOCK, b * BLOCK)
        found = set()
        for s in range(8):
            at, seq = STAMP.unpack_from(data, s * 512)
            found.add(seq)
            if seq == 0 and at == 0:
                good = 0 in allowed.get(b, {0})
            else:
                good = at == b and seq in allowed.get(b, {0})
            if not good:
                bad += 1
                if bad < 20:
                    print(f"block {b} sector {s}: has {at}/{seq}, allowed {sorted(allowed.get(b, {0}))[:8]}")
        if len(allowed.get(b, ())) > 1:
            settled.append(f"f {b} {' '.join(str(seq) for seq in sorted(found))}\n")
    print(f"synced up to {synced}, {len(low)} blocks, {bad} bad sectors")
    if mark is None and bad == 0:
        open(log, "a").writelines(settled)
    return bad == 0


if __name__ == "__main__":
    what, disk, log, *rest = sys.argv[1:]
    numbers = [int(r) for r in rest]
    if what == "write":
        write(disk, log, *numbers)
    elif not check(disk, log, *numbers):
        sys.exit(1)
