#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the debug kernel from Debian's source of 7.2 with clang. An interrupted build goes on where it was.
# $BCACHE_LAB/kernel/debug then looks like the folder of a stock kernel: kdir and image.
set -eu
. "$(dirname "$0")/common.sh"
series=7.2
version=$(cat "$BCACHE_LAB/kernel/$series/version")
key=$( (echo "$version" && cat "$LAB_KIT/debug.config") | sha256sum | cut -c1-12)
dir=$BCACHE_LAB/kernel/debug-$key
src=/lab/kernel/$(readlink "$BCACHE_LAB/kernel/$series")/src

build() {
	LAB_KDIR=$dir/build lab_in "$(lab_tree)" nice -n "${LAB_NICE:-0}" /bcache/scripts/labkit/tree-debug-kernel.sh "$src" "/lab/kernel/debug-$key/image.part"
}

[ "$(cat "$BCACHE_LAB/kernel/debug/version" 2>/dev/null)" != "$key" ] || exit 0
mkdir -p "$dir" "$BCACHE_LAB/lock"
exec 9>"$BCACHE_LAB/lock/debug-kernel"
flock -n 9 || {
	if [ -e "$BCACHE_LAB/kernel/debug/kdir" ]; then
		say "another process builds a new debug kernel; the one before serves meanwhile"
		exit 0
	fi
	say "another process builds the debug kernel; waiting for it"
	flock 9
}
if [ ! -e "$dir/kdir" ]; then
	rm -rf "$dir/image.part"
	mkdir -p "$dir/build"
	lab_step "building the debug kernel (10 to 20 minutes on 2 processors)" build
	rm -rf "$dir/image"
	mv "$dir/image.part" "$dir/image"
	mv "$dir/build" "$dir/kdir"
fi
echo "$key" >"$dir/version"
ln -sfnT "../$(readlink "$BCACHE_LAB/kernel/$series")/src" "$dir/src"
ln -sfnT "debug-$key" "$BCACHE_LAB/kernel/debug"
