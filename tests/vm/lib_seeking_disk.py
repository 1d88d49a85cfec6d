#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A disk with heads, for guests: /dev/nbdN whose requests take as long as those of a hard disk would.

  lib_seeking_disk.py DEVICE MIB [SPINDLES [COMMANDS]]

It goes to the background once the device is there, and ends when it is killed. SPINDLES disks are striped by 64 KiB. Each
holds COMMANDS (32) at a time and takes the one next that its head reaches soonest; what is more waits in the order of arrival.
A write is answered when it is on the disk; a flush when all is that came before it.

7200 revolutions a minute, tracks of 1 MiB, a seek of 1 ms to 14 ms with the square root of the distance, whatever the size of
the device: a model of a large disk that is used all over. Meant for a guest under --icount, whose clock stands still while nobody
works: there the times are those of the model, plus the time that this process takes (some 0.1 ms).
"""
import select
import sys
import time

from lib_nbd import DISC, FLUSH, READ, SEND_FLUSH, WRITE, attach

TURN = 60 / 7200
TRACK = 1 << 20
SEEK = (0.001, 0.013)
STRIPE = 64 << 10


class Spindle:
    """One arm. Commands are (arrived, place, request)."""

    def __init__(self, size, commands):
        self.tracks = max(size // TRACK, 1)
        self.commands = commands
        self.waiting = []
        self.track = 0
        self.busy = None
        self.until = 0.0

    def end_of(self, command, now):
        """When that command would be over, if it began now."""
        _, place, request = command
        track, rest = divmod(place, TRACK)
        at = now
        if track != self.track:
            at += SEEK[0] + SEEK[1] * (abs(track - self.track) / self.tracks) ** 0.5
        turn = (rest / TRACK - at / TURN) % 1.0
        return at + (turn + request[3] / TRACK) * TURN

    def start(self, now):
        if self.busy or not self.waiting:
            return
        queue = self.waiting[: self.commands]
        self.busy = min(queue, key=lambda c: self.end_of(c, now))
        self.waiting.remove(self.busy)
        self.until = self.end_of(self.busy, now)

    def done(self, now):
        """The request that is over by now, if any."""
        if not self.busy or self.until > now:
            return None
        command, self.busy = self.busy, None
        self.track = (command[1] + command[2][3]) // TRACK
        return command[2]


class Disk:
    def __init__(self, size, spindles, commands):
        self.data = bytearray(size)
        self.spindles = [Spindle(size // spindles, commands) for _ in range(spindles)]
        # Handles of the requests on the disk; flushes, each with those that it waits for.
        self.there = set()
        self.flushes = []

    def place(self, offset):
        """Which spindle, and where on it."""
        stripe, rest = divmod(offset, STRIPE)
        row, spindle = divmod(stripe, len(self.spindles))
        return self.spindles[spindle], row * STRIPE + rest

    def take(self, request, now):
        # A request that is larger than a stripe is served where it begins: none of them here is.
        spindle, place = self.place(request[2])
        spindle.waiting.append((now, place, request))
        self.there.add(request[1])

    def flush(self, request):
        self.flushes.append((request, set(self.there)))

    def flushed(self):
        """The flushes that need not wait any more."""
        over = [request for request, wait in self.flushes if not wait]
        self.flushes = [f for f in self.flushes if f[1]]
        return over

    def step(self):
        """Ends what is over and begins what can; gives what ended, and the time of the next end."""
        over = self.flushed()
        for spindle in self.spindles:
            now = time.monotonic()
            request = spindle.done(now)
            if request:
                over.append(request)
                self.there.discard(request[1])
                for _, wait in self.flushes:
                    wait.discard(request[1])
            spindle.start(now)
        ends = [s.until for s in self.spindles if s.busy]
        return over, min(ends, default=None)


def serve(disk, wire):
    due = None
    while True:
        left = None if due is None else max(0.0, due - time.monotonic())
        if select.select([wire.sock], [], [], left)[0] and not wire.fill():
            return
        for request in wire.requests():
            command, handle = request[:2]
            if command == DISC:
                return
            if command == FLUSH:
                disk.flush(request)
            else:
                disk.take(request, time.monotonic())
        while True:
            over, due = disk.step()
            if not over:
                break
            for command, handle, offset, length, data in over:
                if command == WRITE:
                    disk.data[offset : offset + length] = data
                wire.answer(handle, disk.data[offset : offset + length] if command == READ else b"")


def main():
    size = int(sys.argv[2]) << 20
    spindles = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    commands = int(sys.argv[4]) if len(sys.argv) > 4 else 32
    disk = Disk(size, spindles, commands)
    attach(sys.argv[1], size, SEND_FLUSH, lambda wire: serve(disk, wire))


main()
