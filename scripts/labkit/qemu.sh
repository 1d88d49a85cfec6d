#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The lab's QEMU, run on the host with the libraries of its own tree.
#   qemu.sh ARG...      as qemu-system-x86_64
set -eu
. "$(dirname "$0")/common.sh"
usr=$(lab_qemu_tree)/usr
# Started through a link to the tree's loader, the process still has the emulator's name.
link=$BCACHE_LAB/bin/$(basename "${usr%/usr}")/qemu-system-x86_64
[ -e "$link" ] || {
	mkdir -p "$(dirname "$link")"
	ln -sfn "$usr/lib64/ld-linux-x86-64.so.2" "$link"
}
exec "$link" --library-path "$usr/lib/x86_64-linux-gnu" "$usr/bin/qemu-system-x86_64" -L "$usr/share/qemu" -L "$usr/share/seabios" "$@"
