#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A disk in memory, for guests: /dev/nbdN whose superblock cannot be relied on.

  lib_lying_disk.py DEVICE MIB FOLDER

It goes to the background once the device is there. FOLDER/mode says what it does with writes to its bcache superblock: "takes" them,
"refuses" them, or "lies": takes the next one, says that it did not, and refuses from then on. FOLDER/pid is its process.
"""
import errno
import os
import sys

from lib_nbd import DISC, READ, SEND_FLUSH, SEND_FUA, WRITE, attach

SB = 4096


class Disk:
    def __init__(self, size, folder):
        self.mode = f"{folder}/mode"
        self.data = bytearray(size)

    def write(self, offset, data):
        with open(self.mode) as f:
            mode = f.read().strip()
        if mode != "takes" and offset <= SB < offset + len(data):
            if mode == "refuses":
                return errno.EIO
            with open(self.mode, "w") as f:
                f.write("refuses\n")
        else:
            mode = None
        self.data[offset : offset + len(data)] = data
        return errno.EIO if mode else 0


def serve(disk, wire, folder):
    with open(f"{folder}/pid", "w") as f:
        f.write(f"{os.getpid()}\n")
    while wire.fill():
        for flags, handle, offset, length, data in wire.requests():
            command = flags & 0xFFFF
            if command == DISC:
                return
            error = disk.write(offset, data) if command == WRITE else 0
            wire.answer(handle, disk.data[offset : offset + length] if command == READ else b"", error)


def main():
    size = int(sys.argv[2]) << 20
    disk = Disk(size, sys.argv[3])
    attach(sys.argv[1], size, SEND_FLUSH | SEND_FUA, lambda wire: serve(disk, wire, sys.argv[3]))


main()
