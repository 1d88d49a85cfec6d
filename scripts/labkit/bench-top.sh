#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes OUT/initrd of what bench-initrd.sh has made, a driver, the scripts of tests/bench, one of them as process 1, and its
# options, which come from standard input. OUT/c.ko and OUT/rust.ko are the drivers as they are loaded.
#   bench-top.sh KIT KO OUT SCRIPT <OPTIONS
set -eu
. "$(dirname "$0")/common.sh"
kit=$1 ko=$2 out=$3 script=$4
mkdir -p "$out/top/bench" "$out/top/modules/rust"
cat >"$out/top/bench/config"
cp "$LAB_TOP"/tests/bench/*.sh "$out/top/bench/"
cp "$LAB_TOP/tests/bench/$script" "$out/top/init"
chmod +x "$out/top/init"
cp "$ko" "$out/rust.ko"
cp "$kit/c.ko" "$out/c.ko"
# shellcheck disable=SC2016
lab_in "$(lab_tree)" sh -c 'cd "$1/top" && strip --strip-debug ../rust.ko && cp ../rust.ko modules/rust/bcache.ko &&
	find . | cpio -o -H newc --quiet >../top.cpio' sh "/lab/${out#"$BCACHE_LAB"/}"
cat "$kit/initrd" "$out/top.cpio" >"$out/initrd"
rm -rf "$out/top" "$out/top.cpio"
