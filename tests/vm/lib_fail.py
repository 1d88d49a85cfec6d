#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes TEXT to FILE with the N-th allocation of this task failing, or of another one.

  lib_fail.py N TEXT FILE [TASK]    prints: RESULT REACHED
RESULT is ok or the name of the error, REACHED is yes if there was an N-th allocation."""
import errno
import os
import sys

nth, text, path = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]
task = sys.argv[4] if len(sys.argv) > 4 else str(os.getpid())
FAIL = f"/proc/{task}/task/{task}/fail-nth"
fail, stop = os.open(FAIL, os.O_WRONLY), os.open(FAIL, os.O_WRONLY)
look = os.open(FAIL, os.O_RDONLY)
target = os.open(path, os.O_WRONLY)
os.write(fail, b"%d" % nth)
try:
    os.write(target, text)
    result = "ok"
except OSError as e:
    result = errno.errorcode.get(e.errno, str(e.errno))
# A read of one's own copies the number before it could fail; the number it shows may be one less by itself.
try:
    left = int(os.read(look, 32))
except OSError:
    left = 1
os.write(stop, b"0")
print(result, "yes" if left == 0 else "no")
