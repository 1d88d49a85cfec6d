#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Says what bcache's sysfs looks like, so that two drivers can be compared.

picture NAME BACKING_DIR      all files with their modes and contents, all links
store FILE... -- VALUE...     writes each value to each file: what comes of it, and what the file then says; then the old value
"""
import errno
import os
import re
import stat
import sys

FS = "/sys/fs/bcache"
# What two drivers may show differently: times, metadata I/O, memory in use, chance. Only the form counts.
VOLATILE = set(
    """average_key_size btree_cache_size btree_used_percent btree_written cache_available_percent congested
    metadata_written priority_stats root_usage_percent written writeback_rate active_journal_entries btree_nodes
    cache_read_races reclaim reclaimed_journal_buckets flush_write writeback_keys_done bset_tree_stats
    btree_cache_max_chain""".split()
)
# Volumes without a backing device are not in this driver.
ABSENT = {"flash_vol_create", "volume1"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def volatile(name):
    return name in VOLATILE or re.match("btree_(gc|split|sort|read)_", name)


def form(text):
    text = re.sub(r"-?\d+(\.\d)?[kMGTPEZY]?", "N", text)
    return re.sub(r"\[N( N)*\]", "[N...]", text)


def content(path, mode):
    """The text of a file; None if it cannot be read."""
    if not mode & 0o400:
        return None
    try:
        text = open(path).read()
    except OSError as e:
        return errno.errorcode[e.errno]
    name = os.path.basename(path)
    if volatile(name) or "/stats_" in path:
        return form(text)
    return re.sub(r"next io:\t-?\d+", "next io:\tN", UUID.sub("UUID", text))


def directory(path, label, contents=True):
    for name in sorted(set(os.listdir(path)) - ABSENT):
        full = os.path.join(path, name)
        try:
            st = os.lstat(full)
        except OSError:
            continue
        shown = f"{label}/{UUID.sub('UUID', name)}"
        if stat.S_ISLNK(st.st_mode):
            print(shown, "->", UUID.sub("UUID", os.path.basename(os.readlink(full))))
            continue
        print(shown, stat.filemode(st.st_mode))
        if stat.S_ISREG(st.st_mode) and contents:
            text = content(full, st.st_mode)
            if text is not None:
                print("".join(f"    {line}\n" for line in text.split("\n")), end="")


def picture(name, dev):
    print("---", name)
    directory(FS, "fs", contents=False)
    for entry in sorted(os.listdir(FS)):
        path = os.path.join(FS, entry)
        if "-" in entry and os.path.isdir(path):
            for sub in ("", "internal", "stats_total", "stats_five_minute", "stats_hour", "stats_day", "cache0/"):
                directory(os.path.join(path, sub), ("set/" + sub).rstrip("/"))
    if not os.path.isdir(dev):
        return
    for sub in ("", "stats_total", "stats_five_minute", "stats_hour", "stats_day"):
        directory(os.path.join(dev, sub), ("dev/" + sub).rstrip("/"))
    directory(os.path.join(os.path.dirname(dev), "holders"), "holders")
    if os.path.exists(dev + "/dev"):
        directory(dev + "/dev/slaves", "slaves")


def write(path, value):
    """Zero or the name of the error."""
    try:
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, (value + "\n").encode())
        finally:
            os.close(fd)
    except OSError as e:
        return errno.errorcode[e.errno]
    return 0


def store(*args):
    split = args.index("--")
    for path in args[:split]:
        mode = os.stat(path).st_mode
        old = content(path, mode)
        name = "/".join(path.split("/")[-2:])
        for value in args[split + 1 :]:
            result = write(path, value)
            print(f"{name} <- '{value}': {result} {content(path, mode).strip()}")
        if re.fullmatch(r"\d+\n", old):
            write(path, old.strip())


if __name__ == "__main__":
    {"picture": picture, "store": store}[sys.argv[1]](*sys.argv[2:])
