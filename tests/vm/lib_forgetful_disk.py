#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A disk with a volatile cache, for guests: /dev/nbdN that forgets what no flush followed when its power fails.

  lib_forgetful_disk.py DEVICE MIB FOLDER [IMAGE]

It goes to the background once the device is there. FOLDER/pid is its process; SIGUSR1 cuts the power for a moment, after which
FOLDER/cuts says how often that was; FOLDER/flushes says how many flushes have come, FOLDER/fuas how many writes that are durable
when they end. SIGUSR2 writes to IMAGE, a disk, what a power cut could leave: each 4 KiB that no flush followed is there or not, by
chance. FOLDER/images then says how often that was, FOLDER/volatile how many of them there were and how many were lost.
"""
import os
import random
import signal
import sys

from lib_nbd import DISC, FLUSH, FUA, READ, SEND_FLUSH, SEND_FUA, WRITE, attach


PIECE = 4096


class Disk:
    def __init__(self, size, folder, image):
        self.folder = folder
        self.image = image
        self.images = 0
        self.rng = random.Random(size)
        self.durable = bytearray(size)
        self.seen = bytearray(size)
        self.cached = []
        self.flushes = 0
        self.fuas = 0
        self.cuts = 0

    def say(self, name, what):
        with open(f"{self.folder}/{name}.new", "w") as f:
            f.write(f"{what}\n")
        os.rename(f"{self.folder}/{name}.new", f"{self.folder}/{name}")

    def write(self, offset, data, durable):
        self.seen[offset : offset + len(data)] = data
        if durable:
            self.durable[offset : offset + len(data)] = data
            self.fuas += 1
            self.say("fuas", self.fuas)
        else:
            self.cached.append((offset, len(data)))

    def flush(self):
        for offset, length in self.cached:
            self.durable[offset : offset + length] = self.seen[offset : offset + length]
        self.cached = []
        self.flushes += 1
        self.say("flushes", self.flushes)

    def cut(self, *_):
        for offset, length in self.cached:
            self.seen[offset : offset + length] = self.durable[offset : offset + length]
        self.cached = []
        self.cuts += 1
        self.say("cuts", self.cuts)

    def left_over(self, *_):
        """What is flushed and, of the rest, nothing, half or nearly all: always the newest of each piece."""
        left = bytearray(self.durable)
        kept = (0, 0.5, 0.9)[self.images % 3]
        pieces = sorted({at - at % PIECE for offset, length in self.cached for at in range(offset, offset + length, 512)})
        lost = 0
        for at in pieces:
            if self.rng.random() < kept:
                left[at : at + PIECE] = self.seen[at : at + PIECE]
            else:
                lost += 1
        with open(self.image, "wb") as f:
            f.write(left)
            f.flush()
            os.fsync(f.fileno())
        self.images += 1
        self.say("volatile", f"{len(pieces)} pieces of 4 KiB, {lost} of them lost")
        self.say("images", self.images)


def serve(disk, wire):
    signal.signal(signal.SIGUSR1, disk.cut)
    signal.signal(signal.SIGUSR2, disk.left_over)
    disk.say("flushes", 0)
    disk.say("fuas", 0)
    disk.say("pid", os.getpid())
    while wire.fill():
        for flags, handle, offset, length, data in wire.requests():
            command = flags & 0xFFFF
            if command == DISC:
                return
            if command == FLUSH:
                disk.flush()
            elif command == WRITE:
                disk.write(offset, data, flags & FUA)
            wire.answer(handle, disk.seen[offset : offset + length] if command == READ else b"")


def main():
    size = int(sys.argv[2]) << 20
    disk = Disk(size, sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
    attach(sys.argv[1], size, SEND_FLUSH | SEND_FUA, lambda wire: serve(disk, wire))


main()
