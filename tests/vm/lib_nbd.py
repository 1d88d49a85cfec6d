# SPDX-License-Identifier: GPL-2.0
"""Disks for guests that are Python: the other end of /dev/nbdN."""
import fcntl
import os
import socket
import struct
import time

REQUEST, REPLY = 0x25609513, 0x67446698
READ, WRITE, DISC, FLUSH = range(4)
# Of a command: it is durable when it is answered.
FUA = 1 << 16
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8


class Wire:
    """The socket, without waiting."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = bytearray()

    def fill(self):
        piece = self.sock.recv(1 << 20)
        self.buf += piece
        return bool(piece)

    def requests(self):
        """Whole requests that have come: (command, handle, offset, length, data). The command has FUA in it."""
        while len(self.buf) >= 28:
            magic, flags, handle, offset, length = struct.unpack_from(">II8sQI", self.buf)
            assert magic == REQUEST
            end = 28 + (length if flags & 0xFFFF == WRITE else 0)
            if len(self.buf) < end:
                return
            data = bytes(self.buf[28:end])
            del self.buf[:end]
            yield flags, handle, offset, length, data

    def answer(self, handle, data=b"", error=0):
        self.sock.sendall(struct.pack(">II8s", REPLY, error, handle) + data)


def attach(device, size, flags, serve):
    """Makes the device; serve(wire) runs in the background, without an end, once it is there. Gives its process."""
    ours, theirs = socket.socketpair()
    nbd = os.open(device, os.O_RDWR)
    fcntl.ioctl(nbd, 0xAB01, 4096)
    fcntl.ioctl(nbd, 0xAB07, size // 4096)
    fcntl.ioctl(nbd, 0xAB0A, HAS_FLAGS | flags)
    fcntl.ioctl(nbd, 0xAB00, theirs.fileno())
    server = os.fork()
    if server == 0:
        os.setsid()
        for fd in (0, 1, 2):
            os.dup2(os.open("/dev/null", os.O_RDWR), fd)
        theirs.close()
        os.close(nbd)
        serve(Wire(ours))
        os._exit(0)
    if os.fork() == 0:
        os.setsid()
        for fd in (0, 1, 2):
            os.dup2(os.open("/dev/null", os.O_RDWR), fd)
        ours.close()
        fcntl.ioctl(nbd, 0xAB03)
        os._exit(0)
    # The device serves once the child is in the ioctl; its size then shows.
    name = os.path.basename(device)
    while open(f"/sys/block/{name}/size").read().strip() == "0" or not os.path.exists(f"/sys/block/{name}/pid"):
        time.sleep(0.01)
    return server
