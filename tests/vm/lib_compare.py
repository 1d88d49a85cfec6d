#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""CACHE BACKING EMPTY IMAGE...: the guest's part of compare.sh. A transcript of what a driver's sysfs and log say goes to
stdout, in sections ("--- NAME"). Each picture is taken when nothing happens by itself: no I/O under way, and writeback
off or done. The disks of an image are given as NAME=CACHE=BACKING; the files are beside this one."""
import os
import re
import sys
import time

from lib_bad import Disk, wait
from lib_bad_superblock import BACKING, CACHE, Test, seal
from lib_operations import *
from lib_sysfs import FLAGS, FS, INTS, LABELS, SET, STATS, UUIDS, WORDS, common, content, emit, listing, picture, store, write

set_dir = f"{FS}/{SET}"


def registration(cache, back, empty):
    section("root")
    listing(FS, "fs", contents=False)
    section("registration: paths")
    for f in "register", "register_quiet":
        for path in ("\n", "nonsense", "/dev/nonexistent\n", "/etc/passwd", "/etc", "/dev/null", empty, f"\t {empty} \n",
                     f"{empty} x", f"{empty}\0x", "/" + "x" * 300, "x\xff"):
            tried("path", f"{FS}/{f}", path)
    for value in "", "\n", "x":
        tried("cleanup", f"{FS}/pendings_cleanup", value)
    section("registration: superblocks")
    for disk, kind, cases in (cache, "cache", CACHE), (back, "backing", BACKING):
        make(disk, "-C" if kind == "cache" else "-B")
        test = Test(None, log, Disk(disk), kind)
        for what, fields, want, words in cases:
            # Where the driver accepts, or C's 32-bit product of the sizes does, a disk would be left over.
            # A shift by more than 31 bits makes C's kernel complain.
            if want not in ("EINVAL", "EPERM") or not words or words == "failed to register device" \
                    or "+1" in fields.values() or (fields.get("incompat") == 2 and fields["bucket"] > 31):
                continue
            sb = bytearray(test.good)
            for field, value in fields.items():
                test.set(sb, field, value)
            if "csum" not in fields:
                seal(sb)
            test.disk.write(SB, sb)
            tried(f"{kind}: {what}", f"{FS}/register", disk)
        test.disk.write(SB, test.good)
        os.close(test.disk.fd)
    holder = os.open(back, os.O_RDWR | os.O_EXCL)
    for f in "register", "register_quiet":
        tried("busy", f"{FS}/{f}", back)
    os.close(holder)


def without_set(dev, back):
    section("no cache")
    tried("backing device", f"{FS}/register", f" {back}\n")
    for f in "register", "register_quiet":
        tried("again", f"{FS}/{f}", back)
    picture(dev, set_dir)
    show(back)
    section("no cache: numbers")
    for f in sorted(os.listdir(dev)):
        if os.path.isfile(f"{dev}/{f}") and common(f) and os.stat(f"{dev}/{f}").st_mode & 0o644 == 0o644:
            old = content(f"{dev}/{f}")
            if re.fullmatch(r"\d+\n", old):
                store(f"{dev}/{f}", FLAGS if f in ("running", "io_disable") else INTS)
                if f != "running":
                    put(old, f"{dev}/{f}")
    for f in "sequential_cutoff", "writeback_rate":
        store(f"{dev}/{f}", INTS)
    put("4194304", f"{dev}/sequential_cutoff")
    put("1024", f"{dev}/writeback_rate")
    # The three gains keep their order.
    for low, mid, high in ("5", "3", "2"), ("9", "9", "9"), ("1", "2", "3"), ("1", "10", "1000"):
        for f, value in ("high", high), ("mid", mid), ("low", low):
            store(f"{dev}/writeback_rate_fp_term_{f}", [value])
    said()
    section("no cache: words")
    for f in "cache_mode", "readahead_cache_policy", "stop_when_cache_set_failed":
        store(f"{dev}/{f}", WORDS)
    store(f"{dev}/cache_mode", ["writethrough"])
    store(f"{dev}/label", LABELS)
    for f in "detach", "clear_stats":
        store(f"{dev}/{f}", ("", "\n", "1", "x"))
    said()
    for value in UUIDS:
        tried("attach", f"{dev}/attach", value)
    show(back)


def with_set(dev, cache, back):
    section("attached")
    make(cache, "-C", "--bucket", "65536")
    tried("cache", f"{FS}/register", cache)
    freeze(dev)
    picture(dev, set_dir)
    for f in "register", "register_quiet":
        tried("again", f"{FS}/{f}", cache)
        tried("again", f"{FS}/{f}", back)
    for value in (SET,) + UUIDS:
        tried("attach", f"{dev}/attach", value)
    tried("run", f"{dev}/running", "1")
    show(cache)
    section("attached: numbers")
    numbers = [f"{dev}/writeback_{f}" for f in ("running", "percent", "delay", "rate")]
    for d in set_dir, set_dir + "/internal":
        numbers += [f"{d}/{f}" for f in sorted(os.listdir(d))
                    if common(f) and os.path.isfile(f"{d}/{f}") and os.stat(f"{d}/{f}").st_mode & 0o644 == 0o644]
    for f in numbers:
        old = content(f)
        if "unregister" in old:
            continue
        if f.endswith("io_disable"):
            # One way here, so only what changes nothing.
            store(f, ("0", "0\n", "", "x", "-1", "18446744073709551616"))
            continue
        store(f, INTS)
        put(old if old[:-1].isdigit() else "1024", f)
    put("0", f"{dev}/writeback_running")
    said()
    section("attached: words")
    for f in f"{dev}/cache_mode", f"{set_dir}/errors", f"{set_dir}/cache0/cache_replacement_policy":
        store(f, WORDS)
    put("unregister", f"{set_dir}/errors")
    store(f"{dev}/label", LABELS)
    for f in f"{set_dir}/clear_stats", f"{set_dir}/cache0/clear_stats", f"{set_dir}/internal/trigger_gc":
        store(f, ("", "\n", "1", "x"))
    store(f"{set_dir}/internal/prune_cache", INTS)
    said()
    show(cache)
    show(back)


def load(dev):
    """Known amounts of dirty data, misses, hits and bypassed sectors."""
    section("dirty")
    put("writeback", f"{dev}/cache_mode")
    put("lru", f"{set_dir}/cache0/cache_replacement_policy")
    disk = Disk("/dev/bcache0")
    # 16 misses, and then 16 hits. They come first: C does not fill the cache while buckets are short.
    for i in 0, 1:
        for block in range(16):
            disk.read((32 << 20) + (block << 16), 1 << 12)
        # The fill goes on after the answer.
        wait("fill", lambda: content(f"{set_dir}/cache0/written") == "64.0k\n")
    for i in range(32):
        disk.write(i << 19, os.urandom(1 << 18))
    # A sequential write: the first 4 MiB go to the cache, too.
    for i in range(12):
        disk.write((48 << 20) + (i << 20), bytes(1 << 20))
    os.fsync(disk.fd)
    os.close(disk.fd)
    collect(set_dir)
    # The controller works out its target every 5 s.
    wait("target", lambda: "target:\t\t0.0k" not in content(f"{dev}/writeback_rate_debug"))
    picture(dev, set_dir)
    available(set_dir, 88, 92)


def statistics(dev, since):
    """Events show up within 13.7 s."""
    section("statistics")
    time.sleep(max(0, since + 14 - time.monotonic()))
    for path, label in (dev, "dev"), (set_dir, "set"):
        for sub in STATS:
            listing(f"{path}/{sub}", f"{label}/{sub}")
    for d in dev, set_dir:
        put("1", f"{d}/clear_stats")
        for sub in STATS:
            listing(f"{d}/{sub}", f"cleared/{sub}")
    section("statistics cleared")
    put("1", f"{set_dir}/cache0/clear_stats")
    picture(dev, set_dir)
    available(set_dir, 88, 92)


def image(spec):
    name, cache, back = spec.split("=")
    section(f"image {name}")
    restore(name, cache, back)
    show(cache)
    show(back)
    dev = sysdir(back)
    log.new()
    put(back, f"{FS}/register")
    put(cache, f"{FS}/register")
    said("registered cache device", exact=True)
    group = os.path.realpath(f"{dev}/cache")
    facts = {dev: ("state", "label", "cache_mode", "running", "backing_dev_uuid"),
             group: ("tree_depth", "bucket_size", "block_size", "synchronous", "internal/btree_nodes",
                     "internal/feature_incompat", "cache0/nbuckets", "cache0/cache_replacement_policy")}
    for d, names in facts.items():
        for f in names:
            emit(f"{f}: {content(f'{d}/{f}')!r}")
    # Writeback has begun, which changes nothing of this.
    emit("cached:", digest("/dev/" + os.path.basename(os.path.realpath(f"{dev}/dev")), 0))
    drain(dev)
    emit("drained:", *(content(f"{d}/{f}").strip() for d, f in (
        (dev, "dirty_data"), (group, "internal/writeback_keys_done"), (group, "internal/writeback_keys_failed"))))
    collect(group)
    # How many keys there are in the end is a matter of when a driver merges neighbours.
    for f in "root_usage_percent", "average_key_size", "internal/btree_used_percent":
        emit(f"{f}: {form(content(f'{group}/{f}'))!r}")
    emit("nodes:", content(f"{group}/internal/btree_nodes").strip())
    # The buckets that this driver keeps ready for splits are metadata; here they make up for the last half percent.
    emit(repr(re.sub(r"Metadata:\t\d+", r"Metadata:\tN", content(f"{group}/cache0/priority_stats"))))
    stop(group, dev, cache, back)
    emit("backing device:", digest(back, 8192))
    show(back)


def transitions(dev, cache, back):
    section("clean")
    drain(dev)
    collect(set_dir, clear=True)
    picture(dev, set_dir)
    available(set_dir, 95, 98)
    section("detached")
    log.new()
    put("1", f"{dev}/detach")
    wait("detach", lambda: not os.path.exists(f"{dev}/cache"))
    said("Caching disabled for")
    tried("again", f"{dev}/detach", "1")
    picture(dev, set_dir)
    show(back)
    section("attached again")
    tried("attach", f"{dev}/attach", SET.upper())
    freeze(dev)
    picture(dev, set_dir)
    section("unregistered")
    log.new()
    put("1", f"{set_dir}/unregister")
    said(f"Cache set {SET} unregistered")
    wait("unregister", lambda: not os.path.exists(f"{dev}/cache"))
    free(cache)
    picture(dev, set_dir)
    show(cache)
    section("waits for its set")
    tried("cache", f"{FS}/register", cache)
    tried("attach", f"{dev}/attach", SET)
    stop(set_dir, dev, cache, back)
    show(back)
    log.new()
    tried("backing device", f"{FS}/register", back)
    picture(dev, set_dir)
    for value in "1", "0":
        tried("writeback", f"{dev}/writeback_running", value)
    log.new()
    emit("cleanup", write(f"{FS}/pendings_cleanup", "1"))
    said("bcache0 stopped")
    free(back)
    section("inconsistent")
    tried("backing device", f"{FS}/register", back)
    tried("cache", f"{FS}/register", cache)
    freeze(dev)
    put("writeback", f"{dev}/cache_mode")
    disk = Disk("/dev/bcache0")
    disk.write(0, os.urandom(1 << 16))
    # Both write their journal 100 ms later by themselves: before a stop that is faster, or in it, after the index.
    os.fsync(disk.fd)
    os.close(disk.fd)
    emit("state", content(f"{dev}/state"))
    stop(set_dir, dev, cache, back)
    show(back)
    tried("backing device", f"{FS}/register", back)
    tried("attach", f"{dev}/attach", "99999999-2222-3333-4444-555555555555")
    tried("run", f"{dev}/running", "0")
    tried("run", f"{dev}/running", "1")
    picture(dev, set_dir)
    show(back)
    tried("cache", f"{FS}/register", cache)
    freeze(dev)
    picture(dev, set_dir)
    stop(set_dir, dev, cache, back)
    show(cache)
    show(back)
    section("root at the end")
    listing(FS, "fs", contents=False)


def main():
    cache, back, empty, *images = sys.argv[1:]
    dev = sysdir(back)
    registration(cache, back, empty)
    without_set(dev, back)
    with_set(dev, cache, back)
    load(dev)
    end_of_io = time.monotonic()
    for spec in images:
        image(spec)
    statistics(dev, end_of_io)
    transitions(dev, cache, back)


main()
