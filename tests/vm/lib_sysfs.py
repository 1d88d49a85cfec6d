# SPDX-License-Identifier: GPL-2.0
"""Says what bcache's sysfs looks like and does, as text, so that two drivers can be compared. Used by lib_compare.py."""
import errno
import os
import re
import stat

FS = "/sys/fs/bcache"

# The set that is made.
SET = "aaaaaaaa-2222-3333-4444-555555555555"

# Of these files only the form is compared: N for a number, H for a size (4.0M). Each with the reason.
CLOCK = "measures time"
METADATA = "each driver writes its own amount of metadata, some of it by timer"
MEMORY = "what the index uses in memory"
FREE = "counts the buckets on the free lists, too; lib_compare.py has ranges"
FORM = {
    "btree_(gc|split|sort|read)_.*": CLOCK,
    "stats_(five_minute|hour)/.*": "decays with time",
    "(btree|metadata)_written": METADATA,
    "(active_journal_entries|reclaim|reclaimed_journal_buckets|flush_write)": METADATA,
    "(btree_cache_size|btree_cache_max_chain|bset_tree_stats)": MEMORY,
    "cache_available_percent": FREE,
}
# Volumes without a backing device are not in this driver (README, "What differs from C").
ABSENT = re.compile(r"flash_vol_create|volume\d+")
# Nor are these of this driver in C (docs/controller.md).
ADDED = re.compile(r"writeback_(rate_maximum|controller|latency_target_us)")

# C has these only if it was built to be debugged (CONFIG_BCACHE_DEBUG), and does other things once they are written to.
DEBUG = re.compile(r"verify|key_merging_disabled|expensive_debug_checks|bypass_torture_test")

# What is written to files: numbers, switches, words of lists, labels, UUIDs of sets.
INTS = ("0", "1", "7\n", "39", "40", "41", "59", "60", "61", "87", "88", "65535", "65536", "2147483647", "2147483648",
        "4294967295", "4294967296", "9223372036854775808", "18446744073709551615", "18446744073709551616",
        "99999999999999999999x", "-1", "-0", "+3", "++3", "007", "0x10", "1k", "4M", "1.5", "", "\n", "\n\n", " 5", "5 ",
        "5\n\n", "5\r\n", "5\0007", "x", "true", "1" * 300)
FLAGS = ("0", "1", "2\n", "0\n", "4294967296", "18446744073709551616", "-1", "", "\n", "on", " 1", "0")
WORDS = ("writethrough", "writeback\n", "writearound", "none", "WriteBack", "[none]", "writeback ", " writeback", "write",
         "all", "meta-only\n", "auto", "always\n", "unregister", "panic", "lru", "fifo\n", "random", "rando", "randomm",
         "random\n\n", "random\0x", "", "\n", "0", "1", "\0")
LABELS = ("label\n", "two words", "x" * 31, "y" * 31 + "\n", "z" * 32, "q" * 33, "n\n\n", "a\0b", "", "\n", "\xe4\xff", "end\n")
UUIDS = ("", "\n", "nonsense", "0123456789abcde", "0123456789abcdef", "01234567-89ab-cde", "----------------", "0" * 32,
         "0" * 31 + "x", "99999999-2222-3333-4444-555555555555\n", SET.replace("-", ":").upper().replace("A", "B"),
         SET[:-1], SET[:-1] + "6", " " + SET)


def emit(*words):
    print(*words, flush=True)


def common(name):
    """Whether both drivers have such a file."""
    return not any(those.fullmatch(name) for those in (ABSENT, ADDED, DEBUG))


def form(text):
    text = re.sub(r"-?\d+\.\d[kMGTPEZY]", "H", text)
    return re.sub(r"-?\d+", "N", text)


def masked(path, text):
    """The part of a file's text that has to be the same."""
    where = "/".join(path.split("/")[-2:])
    name = os.path.basename(path)
    for pattern in FORM:
        if re.fullmatch(pattern, where if "/" in pattern else name):
            return form(text)
    if name == "priority_stats":
        # C sorts the priorities of buckets 0..first_bucket along, from memory that it never wrote.
        head, tail = text.split("Average:")
        tail = re.sub(r"\[N( N){30}\]", "[31 N]", form(tail))
        return f"{head}Average:{tail}"
    if name == "writeback_rate_debug":
        return re.sub(r"next io:\t-?\d+", "next io:\tN", text)
    return text


def content(path):
    """The text of a file, or the error of reading it."""
    try:
        with open(path, "rb") as f:
            return masked(path, f.read().decode("latin-1"))
    except OSError as e:
        return errno.errorcode[e.errno]


def listing(path, label, contents=True):
    """One line per entry: mode of a file or directory, target of a link; below it the text, each line with its end marked."""
    try:
        names = sorted(os.listdir(path))
    except FileNotFoundError:
        emit(f"{label}: not there")
        return
    for name in names:
        if not common(name):
            continue
        full = os.path.join(path, name)
        st = os.lstat(full)
        if stat.S_ISLNK(st.st_mode):
            emit(f"{label}/{name} -> {os.path.basename(os.readlink(full))}")
            continue
        emit(f"{label}/{name} {stat.filemode(st.st_mode)} {st.st_size if stat.S_ISREG(st.st_mode) else ''}")
        if contents and stat.S_ISREG(st.st_mode) and st.st_mode & 0o444:
            for line in content(full).splitlines(keepends=True):
                emit(f"{label}/{name}: {line!r}")


STATS = ("stats_total", "stats_five_minute", "stats_hour", "stats_day")


def picture(dev, set_dir):
    """Everything that can be seen of a backing device and a set. Statistics come 13 s late, hence not what they say."""
    listing(FS, "fs", contents=False)
    for sub in ("", "/internal", "/cache0/") + tuple("/" + s for s in STATS):
        listing(set_dir + sub, "set" + sub.rstrip("/"), contents="stats" not in sub)
    for sub in ("",) + tuple("/" + s for s in STATS):
        listing(dev + sub, "dev" + sub, contents=not sub)
    listing(os.path.dirname(dev) + "/holders", "holders")
    listing(dev + "/dev/slaves", "slaves")
    if os.path.exists(dev + "/dev"):
        emit("disk:", open(dev + "/dev/size").read().strip(), open(dev + "/dev/ro").read().strip(),
             *(open(f"{dev}/dev/queue/{f}").read().strip()
               for f in ("logical_block_size", "physical_block_size", "rotational", "write_cache")))
        emit("disk/bcache ->", os.path.basename(os.path.dirname(os.path.realpath(dev + "/dev/bcache"))))


def write(path, value):
    """OK, or the name of the error that writing gave."""
    try:
        fd = os.open(path, os.O_WRONLY)
        try:
            done = os.write(fd, value.encode("latin-1"))
        finally:
            os.close(fd)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "OK" if done == len(value) else f"{done} of {len(value)}"


def store(path, values):
    """Writes each value; says what came of it and what the file says then."""
    readable = os.stat(path).st_mode & 0o444
    name = "/".join(path.split("/")[-2:])
    for value in values:
        result = write(path, value)
        emit(f"{name} <- {value!r}: {result}", repr(content(path)) if readable else "")
