#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""CACHE BACKING SEED COUNT: registers disks whose superblocks are wrong in all ways, with right checksums."""
import ctypes
import fcntl
import random
import sys
import time

from lib_bad import *

FIELDS = {
    "csum": (0, "Q"), "offset": (8, "Q"), "version": (16, "Q"), "magic": (24, "Q"), "uuid": (40, "16s"),
    "set_uuid": (56, "16s"), "label": (72, "32s"), "flags": (104, "Q"), "seq": (112, "Q"), "compat": (120, "Q"),
    "incompat": (128, "Q"), "ro_compat": (136, "Q"), "nbuckets": (184, "Q"), "block": (192, "H"), "bucket": (194, "H"),
    "nr_in_set": (196, "H"), "nr_this_dev": (198, "H"), "last_mount": (200, "I"), "first_bucket": (204, "H"),
    "keys": (206, "H"), "d0": (208, "Q"), "d1": (216, "Q"), "bucket_hi": (2256, "H"),
}
FIELDS["data_offset"] = FIELDS["nbuckets"]
FIELDS["nonsense"] = (2264, "Q")
WIDTH = {"Q": 64, "I": 32, "H": 16}

# name, fields, error, words in the log
COMMON = [
    ("offset 0", {"offset": 0}, "EINVAL", "Not a bcache superblock (bad offset)"),
    ("offset 16", {"offset": 16}, "EINVAL", "Not a bcache superblock (bad offset)"),
    ("bad magic", {"magic": 1}, "EINVAL", "Not a bcache superblock (bad magic)"),
    ("no uuid", {"uuid": bytes(16)}, "EINVAL", "Bad UUID"),
    ("block size 0", {"block": 0}, "EINVAL", "Superblock block size smaller than device block size"),
    ("version 2", {"version": 2}, "EINVAL", "Unsupported superblock version"),
    ("version 7", {"version": 7}, "EINVAL", "Unsupported superblock version"),
    ("version 2^63", {"version": 1 << 63}, "EINVAL", "Unsupported superblock version"),
    ("version 2^64-1", {"version": ONES}, "EINVAL", "Unsupported superblock version"),
    ("65535 keys", {"keys": 65535}, "EINVAL", "Bad checksum"),
    ("checksum", {"csum": 1}, "EINVAL", "Bad checksum"),
]
POW2 = "Bad block size (not power of 2)"
SMALL = "Invalid superblock: device too small"
NUMBER = "Bad cache device number in set"
ORDER = "Journal buckets not sequential"
CACHE = COMMON + [
    ("257 keys", {"keys": 257}, "EINVAL", "Too many journal buckets"),
    ("block of 15 sectors", {"block": 15}, "EINVAL", POW2),
    ("block of 65535 sectors", {"block": 65535}, "EINVAL", POW2),
    ("block of 16 sectors", {"block": 16}, "EINVAL", "Bad block size (larger than page size)"),
    ("block of 32768 sectors", {"block": 32768}, "EINVAL", "Bad block size (larger than page size)"),
    ("bucket size 0", {"bucket": 0}, "EINVAL", "Bad bucket size (not power of 2)"),
    ("bucket of 24 sectors", {"bucket": 24}, "EINVAL", "Bad bucket size (not power of 2)"),
    ("bucket of 4 sectors", {"bucket": 4}, "EINVAL", "Bad bucket size (smaller than page size)"),
    ("bucket of 32768 sectors", {"bucket": 32768}, "EINVAL", SMALL),
    ("no buckets", {"nbuckets": 0}, "EINVAL", "Not enough buckets"),
    ("127 buckets", {"nbuckets": 127}, "EINVAL", "Not enough buckets"),
    ("128 buckets", {"nbuckets": 128}, "EPERM", "cache device is too small"),
    ("512 buckets", {"nbuckets": 512}, "EPERM", "cache device is too small"),
    ("a bucket too much", {"nbuckets": "+1"}, "EINVAL", SMALL),
    ("2^31 - 1 buckets", {"nbuckets": (1 << 31) - 1}, "EINVAL", SMALL),
    ("2^32 + 1024 buckets", {"nbuckets": (1 << 32) + 1024}, "EINVAL", ""),
    ("2^60 buckets", {"nbuckets": 1 << 60}, "EINVAL", ""),
    ("2^63 - 1 buckets", {"nbuckets": (1 << 63) - 1}, "EINVAL", ""),
    ("2^64 - 1 buckets", {"nbuckets": ONES}, "EINVAL", "Too many buckets"),
    ("no set uuid", {"set_uuid": bytes(16)}, "EINVAL", "Bad UUID"),
    ("0 in set", {"nr_in_set": 0}, "EINVAL", NUMBER),
    ("9 in set", {"nr_in_set": 9}, "EINVAL", NUMBER),
    ("65535 in set", {"nr_in_set": 65535, "nr_this_dev": 65534}, "EINVAL", NUMBER),
    ("number 1 of 1", {"nr_this_dev": 1}, "EINVAL", NUMBER),
    ("d[] begins late", {"keys": 2, "d0": 2, "d1": 3, "first_bucket": 1}, "EINVAL", ORDER),
    ("d[] not in order", {"keys": 2, "d0": 3, "d1": 3, "first_bucket": 3}, "EINVAL", ORDER),
    ("d[] all ones", {"keys": 2, "d0": ONES, "d1": ONES}, "EINVAL", ORDER),
    ("journal beyond the end", {"keys": 1, "first_bucket": 65535, "d0": 65535}, "EINVAL", "Too many journal buckets"),
    ("first bucket beyond the end", {"keys": 0, "first_bucket": 65535}, "EINVAL", ""),
    ("first bucket 0", {"keys": 0, "first_bucket": 0}, "EINVAL",
     "Invalid superblock: first bucket comes before end of super"),
    ("all buckets for the journal", {"keys": 1, "flags": 1, "first_bucket": "last", "d0": "last"}, None, ""),
    ("first bucket is the last", {"keys": 0, "first_bucket": "last"}, "EINVAL", "Not enough buckets"),
    ("valid journal of one bucket", {"flags": 1, "keys": 1, "d": 1}, "EINVAL", "Too few journal buckets"),
    ("compat bit", {"version": 5, "compat": 1}, "EINVAL", "Unsupported compatible feature found"),
    ("ro compat bit", {"version": 5, "ro_compat": 1 << 63}, "EINVAL", "Unsupported read-only compatible feature found"),
    ("incompat bit", {"version": 5, "incompat": 4}, "EINVAL", "Unsupported incompatible feature found"),
    ("bucket of 2^63 sectors", {"version": 5, "incompat": 2, "bucket": 63}, "EINVAL", "Bad bucket size"),
    ("bucket of 2^65535 sectors", {"version": 5, "incompat": 2, "bucket": 65535}, "EINVAL", "Bad bucket size"),
    ("bucket of 2^31 sectors", {"version": 5, "incompat": 2, "bucket": 31}, "EINVAL", SMALL),
    ("bucket of 2^32 sectors", {"version": 5, "incompat": 2, "bucket": 32}, "EINVAL", "Bad bucket size"),
    ("bucket with high half", {"version": 5, "incompat": 1, "bucket": 0, "bucket_hi": 1}, "EINVAL", SMALL),
    ("valid journal, but no buckets", {"flags": 1, "keys": 0}, "ENODEV", ""),
    ("valid journal, but empty", {"flags": 1, "keys": 8, "d": 8}, "ENODEV", "no journal entries found"),
    ("other policy", {"flags": 7 << 2}, "OK", ""),
]
BACKING = COMMON + [
    # Not looked at, as in C.
    ("257 keys", {"keys": 257}, "OK", ""),
    ("data at 0", {"version": 4, "data_offset": 0}, "EINVAL", "Bad data offset"),
    ("data at 15", {"version": 6, "data_offset": 15}, "EINVAL", "Bad data offset"),
    ("data behind the end", {"version": 4, "data_offset": "+1"}, "EINVAL", "failed to register device"),
    ("data at 2^63", {"version": 4, "data_offset": 1 << 63}, "EINVAL", "failed to register device"),
    ("data at 2^64 - 1", {"version": 4, "data_offset": ONES}, "EINVAL", "failed to register device"),
    ("data at the end", {"version": 4, "data_offset": "end"}, None, ""),
    ("block of 15 sectors", {"block": 15}, "OK", "falling back to device logical block size"),
    ("block of 16 sectors", {"block": 16}, "OK", "falling back to device logical block size"),
    ("block of 65535 sectors", {"block": 65535}, "OK", "falling back to device logical block size"),
    ("version 6, all features", {"version": 6, "compat": ONES, "incompat": ONES, "ro_compat": ONES,
                                 "data_offset": 16}, "OK", ""),
    ("unknown cache mode", {"flags": 15}, "OK", ""),
    ("unknown state", {"flags": 7 << 61}, "OK", ""),
    ("dirty, set unknown", {"flags": 2 << 61, "set_uuid": b"x" * 16}, "OK", ""),
    ("label without end", {"label": b"\xff" * 32}, "OK", ""),
]


def seal(sb):
    keys = unpack(sb, 206, "H")[0]
    pack(sb, 0, "Q", crc(sb[8:min(208 + 8 * keys, 4096)]))


class Test:
    def __init__(self, ktap, log, disk, kind):
        self.ktap, self.log, self.disk, self.kind = ktap, log, disk, kind
        self.good = bytes(disk.read(SB, 4096))
        bucket = unpack(self.good, 194, "H")[0]
        self.buckets = disk.size // 512 // bucket

    def value(self, field, value):
        if not isinstance(value, str):
            return value
        if field == "data_offset":
            return self.disk.size // 512 + (value == "+1")
        return {"+1": self.buckets + 1, "last": self.buckets - 1}[value]

    def set(self, sb, field, value):
        if field == "d":
            first = unpack(sb, 204, "H")[0]
            for i in range(value):
                pack(sb, 208 + 8 * i, "Q", first + i)
            return
        offset, fmt = FIELDS[field]
        pack(sb, offset, fmt, self.value(field, value))

    def register(self, sb):
        """Registers the disk with this superblock; gives error and log. Everything is stopped afterwards."""
        self.disk.write(SB, sb)
        self.log.new()
        code = register(self.disk.path)
        lines = self.log.new()
        if code and stops():
            raise Stuck(f"refused ({name(code)}), but there is {stops()}")
        stop_all(self.disk.path)
        return name(code), lines

    def case(self, what, fields, want, words):
        sb = bytearray(self.good)
        for field, value in fields.items():
            self.set(sb, field, value)
        if "csum" not in fields:
            seal(sb)
        code, lines = self.register(sb)
        good = (want is None or code == want) and any(words in line for line in lines)
        if code != "OK":
            good = good and any("bcache" in line for line in lines)
        self.ktap.result(good, f"{self.kind}: {what}: {want or code}", f"got {code}; log: {lines}")

    def usable(self, what):
        code, lines = self.register(self.good)
        self.ktap.result(code == "OK", f"{self.kind}: {what}", f"got {code}; log: {lines}")

    def page_is_held(self):
        """Somebody has the page of the superblock: the page cache cannot drop it, though it is asked to."""
        fcntl.ioctl(self.disk.fd, 0x1261)  # BLKFLSBUF
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        where = ctypes.c_void_p(libc.mmap(None, 8192, mmap.PROT_READ, mmap.MAP_SHARED, self.disk.fd, 0))
        pages = (ctypes.c_ubyte * 2)()
        failed = libc.mincore(where, ctypes.c_size_t(8192), pages) or libc.munmap(where, ctypes.c_size_t(8192))
        return None if failed else bool(pages[1] & 1)

    def page(self):
        """The page of the superblock is kept while the device is registered, and given back (B33)."""
        self.disk.write(SB, self.good)
        register(self.disk.path)
        held = self.page_is_held()
        stop_all(self.disk.path)
        self.ktap.result(held is True, f"{self.kind}: the page of the superblock is kept", held)
        self.page_is_given_back("at the end")
        sb = bytearray(self.good)
        self.set(sb, "version", 7)
        seal(sb)
        self.register(sb)
        self.page_is_given_back("when it is refused")

    def page_is_given_back(self, when):
        # The kernel itself may have it for a moment.
        for _ in range(50):
            held = self.page_is_held()
            if held is False:
                break
            time.sleep(0.1)
        self.ktap.result(held is False, f"{self.kind}: and given back {when}", held)

    def mutate(self, rng, sb):
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            field, (offset, fmt) = rng.choice(list(FIELDS.items()))
            if rng.random() < 0.15:
                at = rng.randrange(8, 2264)
                sb[at] ^= 1 << rng.randrange(8)
            elif fmt in WIDTH:
                bits = WIDTH[fmt]
                bit = rng.randrange(bits)
                value = rng.choice((0, 1, 2, 3, (1 << bits) - 1, 1 << bit, (1 << bit) - 1, (1 << bit) + 1,
                                    rng.getrandbits(bits), rng.randrange(0, 300), rng.randrange(0, 70000),
                                    self.buckets + rng.randrange(-2, 3)))
                pack(sb, offset, fmt, value & (1 << bits) - 1)
            else:
                sb[offset:offset + 16] = rng.choice((bytes(16), rng.randbytes(16)))
        if rng.random() < 0.97:
            seal(sb)

    def fuzz(self, seed, count):
        rng = random.Random(f"{self.kind} {seed}")
        codes = {}
        silent = []
        for i in range(count):
            sb = bytearray(self.good)
            self.mutate(rng, sb)
            code, lines = self.register(sb)
            codes[code] = codes.get(code, 0) + 1
            if code != "OK" and not any("bcache" in line for line in lines):
                silent.append(i)
        bad = set(codes) - {"OK", "EINVAL", "EPERM", "ENODEV"}
        print(f"# {self.kind}: seed {seed}: {count} mutations: {codes}")
        self.ktap.result(not bad, f"{self.kind}: errors of {count} mutations are among those documented", bad)
        self.ktap.result(not silent, f"{self.kind}: each refusal is logged", silent)


def main():
    cache, backing, seed, count = sys.argv[1:]
    ktap, log = Ktap(), Log()
    print(f"# seed {seed}")
    try:
        for path, kind, cases in (cache, "cache", CACHE), (backing, "backing", BACKING):
            test = Test(ktap, log, Disk(path), kind)
            for case in cases:
                test.case(*case)
            test.usable("a good disk after all that")
            test.page()
            test.fuzz(seed, int(count))
            test.usable("a good disk after the mutations")
            test.disk.write(SB, test.good)
    except Stuck as e:
        ktap.result(False, "the kernel comes back", e)
    ktap.done()


if __name__ == "__main__":
    main()
