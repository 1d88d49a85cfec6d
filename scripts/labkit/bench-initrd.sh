#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Prints the folder of what scripts/bench needs besides a guest's kernel: initrd (a guest that lives in memory, without the
# driver of this checkout and without the script that it runs), c.ko (the C driver), count.so (QEMU's plugin).
#   bench-initrd.sh GUEST-FOLDER
set -eu
. "$(dirname "$0")/common.sh"
guest=$1
bench=$LAB_TOP/tests/bench
rootfs=$BCACHE_LAB/guest/rootfs-$(printf '%s\n' "${LAB_GUEST_PACKAGES[@]}" | sha256sum | cut -c1-12)
key=$(cat "$LAB_KIT/tree-bench.sh" "$bench/count.c" "$bench/mark.c" "$bench/bash_mark.c" | sha256sum | cut -c1-12)

build() {
	lab_step "making the guest of the benchmark" lab_in "$(lab_tree)" /bcache/scripts/labkit/tree-bench.sh \
		"/lab/${guest#"$BCACHE_LAB"/}" "/lab/guest/${rootfs##*/}" "/lab/${1#"$BCACHE_LAB"/}"
}
lab_once "$guest/bench/$key" build
echo "$guest/bench/$key"
