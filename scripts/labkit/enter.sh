#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Second half of lab_in: already inside new mount and pid namespaces, mounts what the tree needs and runs the command.
#   enter.sh TREE COMMAND...
set -eu
tree=$1
shift
mount --make-rprivate /
mkdir -p "$tree/lab" "$tree/bcache" "$tree/kdir"
mount --rbind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
mount -t tmpfs -o mode=1777 tmp "$tree/tmp"
mount --bind "$BCACHE_LAB" "$tree/lab"
mount --bind "$LAB_CHECKOUT" "$tree/bcache"
[ -z "${LAB_KDIR:-}" ] || mount --bind "$LAB_KDIR" "$tree/kdir"
# The resolver and proxies are the host's.
cat /etc/resolv.conf >"$tree/etc/resolv.conf" 2>/dev/null || true
cd /
exec env -u LD_LIBRARY_PATH -u RUSTUP_HOME -u CARGO_HOME -u RUSTFLAGS -u RUSTUP_TOOLCHAIN -u BCACHE_LAB \
	HOME=/root TMPDIR=/tmp LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/llvm-19/bin \
	chroot "$tree" "$@"
