# SPDX-License-Identifier: GPL-2.0
"""The rows of the benchmark: in what they are counted, what is taken off, how repeatable they are, what they shall reach."""

from collections import namedtuple

# unit: what a figure is for. floor: the row without a driver that is taken off. tolerance: by how many percent the C
# driver's turns may differ, where that is more than elsewhere, and why.
Row = namedtuple("Row", "unit floor tolerance why", defaults=(None, None, None))

REQUEST = "request"
ROUNDS = (
    "one round of C's allocator thread more or less falls into the bracket (a scan of all buckets, then the priorities of all of "
    "them written with a checksum: some 700,000 instructions with 2,048 buckets), depending on how many free buckets were left"
)
ONCE = "short, and done once: a timer, a thread that waits once more, or a round of C's allocator weighs more than in rows of thousands"
FEW = "few requests, of which a tenth is above the raw disk: what a timer does in between weighs more"
STATE = "the index still holds more or fewer keys that were overwritten, or sets that are not merged, depending on when C last sorted its nodes"

ROWS = {
    "raw-read-1": Row(REQUEST),
    "raw-read-32": Row(REQUEST),
    "raw-read-2jobs": Row(REQUEST),
    "raw-write-1": Row(REQUEST),
    "raw-write-32": Row(REQUEST),
    "raw-fsync-1": Row(REQUEST),
    "raw-dsync-1": Row(REQUEST),
    "raw-write-8k": Row(REQUEST),
    "raw-mixed": Row(REQUEST),
    "raw-write-64k": Row(REQUEST),
    "raw-read-64k": Row(REQUEST),
    "raw-write-1m": Row(REQUEST),
    "raw-read-1m": Row(REQUEST),
    "raw-idle": Row("bracket"),
    "null-read-1": Row(REQUEST),
    "null-write-1": Row(REQUEST),
    "dmwc-write-1": Row(REQUEST, "raw-write-1"),
    "dmwc-hit-read-1": Row(REQUEST, "raw-read-1"),
    "dmcache-write-1": Row(REQUEST, "raw-write-1"),
    "dmcache-hit-read-1": Row(REQUEST, "raw-read-1"),
    "pass-read-1": Row(REQUEST, "raw-read-1"),
    "pass-write-1": Row(REQUEST, "raw-write-1"),
    "wt-write-1": Row(REQUEST, "raw-write-1"),
    "wt-write-32": Row(REQUEST, "raw-write-32", 1, ROUNDS),
    "hit-read-1": Row(REQUEST, "raw-read-1"),
    "hit-read-32": Row(REQUEST, "raw-read-32"),
    "hit-read-2jobs": Row(REQUEST, "raw-read-2jobs"),
    "miss-read-1": Row(REQUEST, "raw-read-1"),
    "miss-read-32": Row(REQUEST, "raw-read-32", 1, ROUNDS),
    "bypass-read-1": Row(REQUEST, "raw-read-1"),
    "bypass-write-1": Row(REQUEST, "raw-write-1"),
    "wb-write-1": Row(REQUEST, "raw-write-1", 1, ROUNDS),
    "wb-write-32": Row(REQUEST, "raw-write-32"),
    "wb-fsync-1": Row(REQUEST, "raw-fsync-1"),
    "journal-write-1": Row(REQUEST, "raw-dsync-1"),
    "writeback-key": Row("4 KiB key", None, 2, STATE),
    "wb-write-64k": Row(REQUEST, "raw-write-64k", 3, ROUNDS),
    "hit-read-64k": Row(REQUEST, "raw-read-64k", 1, FEW),
    "wb-write-1m": Row(REQUEST, "raw-write-1m", 5, ROUNDS),
    "hit-read-1m": Row(REQUEST, "raw-read-1m", 1, FEW),
    "sysfs-read": Row("file"),
    "sysfs-priority": Row("file"),
    "detach": Row("device", None, 10, STATE),
    "split-write-1": Row(REQUEST, "raw-write-1"),
    "recover": Row("4 KiB key", None, 2, ONCE),
    "mixed": Row(REQUEST, "raw-mixed", 2, ROUNDS),
    "reuse-write-8k": Row(REQUEST, "raw-write-8k", 2, ROUNDS),
    "take-write-131k": Row(REQUEST, "raw-write-8k", 5, ROUNDS),
    "take-write-1m": Row(REQUEST, "raw-write-8k", 5, ROUNDS),
    "gc": Row("key", "raw-idle", 2, ONCE),
    "stop": Row("set", None, 8, ONCE),
    "register": Row("4 KiB key", None, 10, STATE),
    "register-bucket": Row("bucket", None, 5, ONCE),
    "attach-recount": Row("key", None, 2, ONCE),
}

# What a row does, by the first words of its name: which of the counts of the device (hits, misses, the same past the cache) its
# requests add to, and the share of them that may go elsewhere (C caches no write that finds no free bucket).
DOES = (
    ("hit-read", 0, 0.002),
    ("miss-read", 1, 0.002),
    ("bypass-read", 3, 0.002),
    ("pass-read", None, 0.0),
)

# The rows whose counts depend on what the allocator has thrown away: by how much the drivers may differ.
APART = {"mixed": 0.25}

# Figures that are not counted instructions but said by the guest; they can be named like rows.
SAID = ("kib-per-gib-4k", "kib-per-gib-64k")

# What a part of a request costs: text, the row that has it, the row that is the same without it.
PARTS = (
    ("a lookup in the index, nothing found; the decision to go past the cache", "bypass-read-1", "pass-read-1"),
    ("an insert into the index, with the write of the data to the cache", "wb-write-1", "pass-write-1"),
    ("that nodes split: per insert", "split-write-1", "wb-write-1"),
)

# What is asked for, as this driver's instructions above the raw disk over C's: text, rows, limit.
TARGETS = (
    ("read hit", ("hit-read-1", "hit-read-32", "hit-read-2jobs"), 0.70),
    ("write in writeback", ("wb-write-1", "wb-write-32"), 0.60),
    ("write in writethrough", ("wt-write-1", "wt-write-32"), 0.70),
    ("miss with fill", ("miss-read-1", "miss-read-32"), 0.80),
    ("64 KiB and 1 MiB", ("wb-write-64k", "hit-read-64k", "wb-write-1m", "hit-read-1m"), 1.0),
    ("passthrough", ("pass-read-1", "pass-write-1"), 0.70),
    ("write with fsync", ("wb-fsync-1", "journal-write-1"), 1.0),
    ("registration and recovery", ("register", "recover"), 0.50),
    ("memory for a cached GiB", ("kib-per-gib-4k", "kib-per-gib-64k"), 1.0),
)


def of(name):
    return ROWS.get(name, Row(REQUEST))


def with_floors(names):
    """These rows, as a list with commas, and the rows that are taken off."""
    names = names.split(",")
    return ",".join(sorted(set(names) | ({of(r).floor for r in names} - {None})))
