# SPDX-License-Identifier: GPL-2.0
"""What lib_compare.py does with a driver, step by step. Each step ends when nothing goes on in the background; what is
random or depends on the time is left out of what is printed, and the place says why."""
import gzip
import hashlib
import os
import re
import subprocess
import sys
import time

from lib_bad import SB, Disk, Log, claimable, pack, wait
from lib_bad_superblock import seal
from lib_sysfs import FS, SET, content, emit, form, write

# Of an image, and how far from its start data can be.
BUCKET = 1 << 16
FILLED = 32 << 20
log = Log()
began = time.monotonic()


def section(name):
    emit("---", name)
    print(f"# {time.monotonic() - began:.1f} s: {name}", file=sys.stderr, flush=True)


def sysdir(disk):
    return f"/sys/class/block/{os.path.basename(disk)}/bcache"


def put(value, path):
    result = write(path, value)
    if result != "OK":
        emit(f"UNEXPECTED: {path} <- {value!r}: {result}")


def logged(exact):
    """What the driver logged, without what C words in its own way."""
    for line in log.new():
        if not line.startswith("bcache: "):
            continue
        # C names the function.
        line = re.sub(r"^bcache: (\w+\(\) )?", "", line)
        # C has freed the path by then and names none. A device (error vdb: ...) has no blank and no slash.
        line = re.sub(r"^error (?!vd\w:).*?: ", "error PATH: ", line)
        # C repeats what was written, this driver says what it has read.
        line = re.sub(r"Can't attach \S+: cache set not found", "Can't attach UUID: cache set not found", line)
        if not exact:
            # How often the journal was written depends on timers.
            line = re.sub(r"keys in \d+ entries, seq \d+", "keys in N entries, seq N", line)
        # C says it twice, or says where in memory something is.
        if not re.search("ca->sb.nbuckets is too small|delete pdev", line):
            yield line


def said(*until, exact=False):
    """Prints what the driver logged. It may end something in the background: waits until it has said these words."""
    words = list(until)

    def ended():
        for line in logged(exact):
            emit("log:", line)
            words[:] = [w for w in words if w not in line]
        return not words

    wait(f"the log says {words}", ended)


def tried(what, path, value):
    log.new()
    emit(f"{what}: {os.path.basename(path)} <- {value!r}: {write(path, value)}")
    said()


def stop(group, dev, cache, back):
    """Stops both. The directories go first, with C long before the disks can be used again."""
    log.new()
    name = os.path.basename(os.path.realpath(f"{dev}/dev"))
    put("1", f"{group}/stop")
    if os.path.exists(f"{dev}/stop"):
        write(f"{dev}/stop", "1")
    said(f"{name} stopped", f"Cache set {os.path.basename(group)} unregistered")
    free(cache, back)


def free(*disks):
    for disk in disks:
        wait(f"claim {disk}", lambda: claimable(disk))
        wait(f"{disk}: directory", lambda: not os.path.exists(sysdir(disk)))


def show(disk):
    """bcache-super-show, without what depends on the time."""
    out = subprocess.run(["bcache-super-show", disk], capture_output=True, text=True)
    for line in out.stdout.splitlines():
        emit("super:", re.sub(r"^(sb.csum\t+)\w+", r"\1...", line))


def make(disk, *options):
    """make-bcache, and then a UUID that is the same for both drivers."""
    subprocess.run(["wipefs", "-qa", disk], check=True)
    subprocess.run(["make-bcache", *options, "--cset-uuid", SET, disk], check=True, stdout=subprocess.DEVNULL)
    raw = Disk(disk)
    sb = bytearray(raw.read(SB, 4096))
    pack(sb, 40, "16s", bytes.fromhex("bbbbbbbb22223333444455555555" + ("0001" if "-B" in options else "0002")))
    seal(sb)
    raw.write(SB, sb)
    os.close(raw.fd)


def freeze(dev):
    put("0", f"{dev}/writeback_running")
    put("0", f"{dev}/cache/internal/idle_max_writeback_rate")
    for f in "read", "write":
        # An emulated disk is slow enough to look congested.
        put("0", f"{dev}/cache/congested_{f}_threshold_us")


def collect(set_path, clear=False):
    """The first garbage collection, or the first after clear_stats, until what it counted can be read."""
    if clear:
        put("1", f"{set_path}/clear_stats")
    put("1", f"{set_path}/internal/trigger_gc")
    wait("gc", lambda: content(f"{set_path}/average_key_size") != "0.0k\n")


def available(group, low, high):
    """cache_available_percent, which has to be about right."""
    with open(f"{group}/cache_available_percent") as f:
        text = f.read()
    emit("available:", f"{low}..{high}" if low <= int(text) <= high else text.strip())


def drain(dev):
    put("0", f"{dev}/writeback_delay")
    put("0", f"{dev}/writeback_percent")
    put("1", f"{dev}/writeback_running")
    wait("drain", lambda: content(f"{dev}/state") == "clean\n")
    put("0", f"{dev}/writeback_running")
    put("10", f"{dev}/writeback_percent")


def restore(name, cache, back):
    """Writes an image. Its data is all zeros: where no bucket was ever written, each sector gets its number as content, so
    that one can see which sectors the keys lead to."""
    here = os.path.dirname(__file__)
    raw = Disk(cache)
    with gzip.open(f"{here}/cache_{name}_128M.img.gz") as f:
        for offset in range(0, raw.size, BUCKET):
            block = f.read(BUCKET)
            if block.count(0) < BUCKET:
                raw.write(offset, block)
            elif offset < FILLED:
                sectors = range(offset >> 9, offset + BUCKET >> 9)
                raw.write(offset, b"".join(sector.to_bytes(8, "little") * 64 for sector in sectors))
    os.close(raw.fd)
    raw = Disk(back)
    raw.write(0, open(f"{here}/bdev_first8k.bin", "rb").read())
    os.close(raw.fd)


def digest(disk, start):
    with open(disk, "rb") as f:
        f.seek(start)
        data = f.read()
    end = start + len(data.rstrip(b"\0"))
    return f"{hashlib.md5(data).hexdigest()}, {len(data) - data.count(0)} bytes are not 0, the last one at {end}"
