#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reads and writes stamped blocks through whatever disk stands in front of a backing device, which may come and go at any
time; checks each block that it reads against what was acknowledged.

  lib_stress.py [--requests-fail] [--cache-fails FILE] BACKING FIRST BLOCKS SECONDS SETTLED [GO]
FIRST, BLOCKS: the area that is ours, in blocks of 4 KiB

After SECONDS and a write, or once the file GO is no more, it waits for the file SETTLED and then reads the whole area. A
write that failed may have happened, or not, or in part. A disk that has failed a request has to fail all that come after it,
since only the end of a disk is a reason, unless --requests-fail says that there are others. Once there is the file of
--cache-fails the cache is one more: what was written and not synced may be lost with it, and older data come back, as from
any disk that holds writes back: but not as long as the disk stays open, and never what was synced. Prints what it did; exit
status 1 if a block held anything else.
"""
import mmap
import os
import random
import struct
import sys
import time

BLOCK = 4096
STAMP = struct.Struct("<QQ")
requests_fail = sys.argv[1] == "--requests-fail" and sys.argv.pop(1)
failing = None
if sys.argv[1] == "--cache-fails":
    failing = sys.argv[2]
    del sys.argv[1:3]
backing = os.path.basename(sys.argv[1])
first, blocks, seconds = (int(n) for n in sys.argv[2:5])
settled, go = (sys.argv[5:] + [None])[:2]
# Of each block: the stamps that it may hold now, and those that it may have after a failure: what was synced and all since.
allowed = [{0} for _ in range(blocks)]
later = [{0} for _ in range(blocks)]
unsynced = {}
count = {"disks": 0, "writes": 0, "syncs": 0, "reads": 0, "failed writes": 0, "failed reads": 0, "failed without reason": 0, "bad": 0}
buf = mmap.mmap(-1, 16 * BLOCK)
rng = random.Random(first)
seq = 0


def cache_fails():
    return failing is not None and os.path.exists(failing)


def opened():
    """The disk, or None. Its name may have changed hands before it was opened, not after."""
    try:
        name = os.path.basename(os.path.realpath(f"/sys/class/block/{backing}/bcache/dev", strict=True))
        fd = os.open(f"/dev/{name}", os.O_RDWR | os.O_DIRECT)
    except OSError:
        return None
    try:
        dev = os.fstat(fd).st_rdev
        owner = os.path.realpath(f"/sys/dev/block/{os.major(dev)}:{os.minor(dev)}/bcache", strict=True)
        if os.path.basename(os.path.dirname(owner)) == backing:
            count["disks"] += 1
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def write(fd, at, n):
    global seq
    seq += 1
    for i in range(n):
        for s in range(8):
            STAMP.pack_into(buf, i * BLOCK + s * 512, first + at + i, seq)
        allowed[at + i].add(seq)
        later[at + i].add(seq)
    try:
        if os.pwritev(fd, [memoryview(buf)[: n * BLOCK]], (first + at) * BLOCK) != n * BLOCK:
            raise OSError
    except OSError:
        count["failed writes"] += 1
        return False
    for i in range(n):
        allowed[at + i] = {seq}
        unsynced[at + i] = seq
    count["writes"] += 1
    if count["writes"] == 1:
        print(f"{backing}: has written", flush=True)
    return True


def sync(fd):
    try:
        os.fdatasync(fd)
    except OSError:
        return False
    for block, stamp in unsynced.items():
        later[block] = {stamp}
    unsynced.clear()
    count["syncs"] += 1
    return True


def read(fd, at, n):
    try:
        if os.preadv(fd, [memoryview(buf)[: n * BLOCK]], (first + at) * BLOCK) != n * BLOCK:
            raise OSError
    except OSError:
        count["failed reads"] += 1
        return False
    count["reads"] += 1
    for i in range(n):
        for s in range(8):
            where, stamp = STAMP.unpack_from(buf, i * BLOCK + s * 512)
            if stamp not in allowed[at + i] or (where != first + at + i and stamp != 0):
                count["bad"] += 1
                if count["bad"] < 10:
                    print(f"block {first + at + i} sector {s}: has {where}/{stamp}, allowed {sorted(allowed[at + i])}")
    return True


def has_ended(fd):
    """The disk fails whatever comes; a reason that we know need not be looked for."""
    for _ in range(10):
        if requests_fail or cache_fails():
            return True
        try:
            if os.preadv(fd, [memoryview(buf)[:BLOCK]], first * BLOCK) == BLOCK:
                return False
        except OSError:
            pass
        time.sleep(0.1)
    return True


def work(fd, until):
    while time.monotonic() < until:
        n = rng.choice((1, 1, 1, 2, 4, 16))
        at = rng.randrange(blocks - n)
        good = rng.random() >= 0.05 or sync(fd)
        if not (good and (write if rng.random() < 0.6 else read)(fd, at, n)):
            count["failed without reason"] += not has_ended(fd)
            return
        # Others want the processors, too.
        time.sleep(0.002)


def whole(fd):
    return all(read(fd, at, 1) for at in range(blocks))


def may_have_lost():
    """Another disk than the one that was open before: the cache may have failed in between."""
    global allowed
    if cache_fails():
        unsynced.clear()
        allowed = [set(stamps) for stamps in later]


def goes_on():
    if os.path.exists(settled) or (go is not None and not os.path.exists(go)):
        return False
    return time.monotonic() < end or not count["writes"]


end = time.monotonic() + seconds
while goes_on():
    disk = opened()
    if disk is None:
        time.sleep(0.05)
        continue
    may_have_lost()
    work(disk, time.monotonic() + rng.random())
    os.close(disk)
    time.sleep(0.02)
while not os.path.exists(settled):
    time.sleep(0.1)
disk = opened()
may_have_lost()
complete = disk is not None and whole(disk)
print(f"{backing}:", ", ".join(f"{n} {what}" for what, n in count.items()), "" if complete else "- not read to the end")
sys.exit(not complete or count["bad"] > 0 or count["failed without reason"] > 0 or not count["writes"])
