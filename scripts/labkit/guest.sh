#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes sure that a guest for a kernel is in the lab, and prints its folder.
#   guest.sh 7.2|7.3|debug
# The folder holds vmlinux, initrd, root.img, modules/ (the guest's modules without bcache) and c/bcache.ko.
set -eu
. "$(dirname "$0")/common.sh"
kernel=$1

key() {
	cat "$@" | sha256sum | cut -c1-12
}
rootfs=$BCACHE_LAB/guest/rootfs-$(printf '%s\n' "${LAB_GUEST_PACKAGES[@]}" | key -)
guest=$BCACHE_LAB/guest/$kernel-$(printf '%s\n' "${LAB_GUEST_PACKAGES[@]}" | key - "$LAB_KIT/tree-guest.sh" "$LAB_KIT/guest-initramfs" "$BCACHE_LAB/kernel/$kernel/version")

make_rootfs() {
	lab_step "making the guest's Debian 13 userland (half a minute)" "$LAB_KIT/mktree.sh" "$1" "${LAB_GUEST_PACKAGES[@]}"
}
make_guest() {
	lab_step "making the guest's disk and initramfs for $kernel" lab_in "$(lab_tree)" /bcache/scripts/labkit/tree-guest.sh \
		"/lab/kernel/$kernel" "/lab/guest/${rootfs##*/}" "/lab/guest/${1##*/}"
}

lab_once "$rootfs" make_rootfs
lab_once "$guest" make_guest
echo "$guest"
