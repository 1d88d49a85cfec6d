# SPDX-License-Identifier: GPL-2.0
"""What the tests with made disks share: format, checksums, raw disks, register with a time limit, the kernel log."""
import errno
import glob
import mmap
import os
import struct
import time

REGISTER = "/sys/fs/bcache/register"
LIMIT = 30
SB = 4096
# Magic numbers of a journal entry, of priorities, of a node; what lies where in a journal entry.
JSET, PSET, BSET = 0x245235C1A3625032, 0x6750E15F87337F91, 0x90135C78B99E07F5
ROOT, UUIDS, LEVEL, PRIO, KEYS = 104, 40, 168, 176, 240
ONES = (1 << 64) - 1


def _tables():
    """What a byte does to the checksum that has seven bytes behind it, six, ... none."""
    none = []
    for i in range(256):
        c = i << 56
        for _ in range(8):
            c = (c << 1) ^ (0x142F0E1EBA9EA3693 if c >> 63 else 0)
        none.append(c)
    out = [none]
    while len(out) < 8:
        out.insert(0, [none[c >> 56] ^ (c << 8 & ONES) for c in out[0]])
    return out


TABLES = _tables()


def crc64_be(crc, data):
    """Eight bytes at a time, as Python is slow in an emulated guest."""
    t7, t6, t5, t4, t3, t2, t1, t0 = TABLES
    whole = len(data) & ~7
    for (word,) in struct.iter_unpack(">Q", data[:whole]):
        a, b, c, d, e, f, g, h = (crc ^ word).to_bytes(8, "big")
        crc = t7[a] ^ t6[b] ^ t5[c] ^ t4[d] ^ t3[e] ^ t2[f] ^ t1[g] ^ t0[h]
    for byte in data[whole:]:
        crc = t0[crc >> 56 ^ byte] ^ (crc << 8 & ONES)
    return crc


def crc(data):
    """bch_crc64"""
    return crc64_be(ONES, data) ^ ONES


def crc_node(ptr, data):
    return crc64_be(ptr, data) ^ ONES


class Disk:
    """A disk, by direct I/O."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self.size = os.lseek(self.fd, 0, os.SEEK_END)

    def read(self, offset, length):
        buf = mmap.mmap(-1, length)
        done = os.preadv(self.fd, [buf], offset)
        if done != length:
            raise OSError("short read")
        return buf

    def write(self, offset, data):
        """Bytes, or a mapping that need not be copied."""
        if not isinstance(data, mmap.mmap):
            buf = mmap.mmap(-1, len(data))
            buf[:] = bytes(data)
            data = buf
        if os.pwritev(self.fd, [data], offset) != len(data):
            raise OSError("short write")


class Log:
    """The kernel log since the last look."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)

    def new(self):
        out = []
        while True:
            try:
                record = os.read(self.fd, 8192).decode("ascii", "replace")
            except BlockingIOError:
                return out
            except BrokenPipeError:
                continue
            out.append(record.split(";", 1)[-1].split("\n")[0])


class Ktap:
    def __init__(self):
        self.tests = self.failed = 0

    def result(self, good, name, why=""):
        self.tests += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.tests} - {name}", flush=True)
        if not good:
            print(f"#   {why}", flush=True)
        return good

    def done(self):
        print(f"1..{self.tests}", flush=True)


class Stuck(Exception):
    """The kernel did not come back in time: going on makes no sense."""


def bounded(what, f):
    """Runs f in a child, for at most LIMIT seconds; gives the errno it failed with, or 0."""
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            f()
        except OSError as e:
            code = e.errno or errno.EIO
        except BaseException as e:
            print(f"# {e!r}", flush=True)
            code = 255
        os._exit(code)
    end = time.monotonic() + LIMIT
    pause = 0.002
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    raise Stuck(f"{what}: no end within {LIMIT} s")


def put(text, path):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def register(path):
    """errno of a registration, 0 if it went well."""
    return bounded(f"register {path}", lambda: put(path, REGISTER))


def stops():
    return glob.glob("/sys/class/block/*/bcache/stop") + glob.glob("/sys/fs/bcache/*-*/stop")


def claimable(path):
    try:
        os.close(os.open(path, os.O_RDWR | os.O_EXCL))
        return True
    except OSError:
        return False


def wait(what, f):
    end = time.monotonic() + LIMIT
    pause = 0.002
    while not f():
        if time.monotonic() > end:
            raise Stuck(f"{what}: no end within {LIMIT} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def stop_all(*paths):
    """Stops everything that is registered, and waits until it is gone and the disks are free."""
    for stop in stops():
        try:
            bounded(f"stop {stop}", lambda: put("1", stop))
        except FileNotFoundError:
            pass
    wait("stop", lambda: not stops())
    for path in paths:
        wait(f"claim {path}", lambda: claimable(path))


def name(code):
    return errno.errorcode.get(code, str(code)) if code else "OK"


def ptr(sector, gen=0, dev=0):
    return dev << 51 | (sector & (1 << 43) - 1) << 8 | gen & 255


def high(inode, size, dirty=0, ptrs=1):
    return 1 << 63 | ptrs << 60 | dirty << 36 | (size & 0xFFFF) << 20 | inode


def sector_of(p):
    return p >> 8 & (1 << 43) - 1


def pack(buf, offset, fmt, *values):
    struct.pack_into("<" + fmt, buf, offset, *values)


def unpack(buf, offset, fmt):
    return struct.unpack_from("<" + fmt, buf, offset)
