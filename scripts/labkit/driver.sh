#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Prints the path of an initramfs that makes a driver loadable in a guest: the guest's own, and what becomes its
# /lib/modules/RELEASE, i.e. the module and the indexes of modprobe. Kept beside the guest's files, by content of the module.
#   driver.sh GUEST-FOLDER none|c|KO-FILE
set -eu
. "$(dirname "$0")/common.sh"
guest=$1 driver=$2

case $driver in
none) set -- ;;
c) set -- "$guest/c/bcache.ko" kernel-c ;;
*) set -- "$driver" updates ;;
esac
kver=$(basename "$guest"/modules/lib/modules/*)
key=none
[ $# = 0 ] || key=$2-$(sha256sum <"$1" | cut -c1-16)

# build [KO SUBFOLDER] TMP
build() {
	local tmp=${*: -1} mod
	mod=$tmp/modules/lib/modules/$kver
	# Each step by itself: the caller tests the status, which switches "set -e" off.
	mkdir "$tmp/modules" && cp -al "$guest/modules/." "$tmp/modules/" || return
	if [ $# = 3 ]; then
		mkdir -p "$mod/$2" && cp "$1" "$mod/$2/bcache.ko" || return
	fi
	lab_in "$(lab_tree)" /bcache/scripts/labkit/tree-driver.sh "/lab/${tmp#"$BCACHE_LAB"/}" "$kver" "/lab/${guest#"$BCACHE_LAB"/}/initrd" || return
	rm -rf "$tmp/modules"
}
find "$guest/driver" -mindepth 1 -maxdepth 1 -name 'updates-*' -mmin +2880 -exec rm -rf {} + 2>/dev/null || true
lab_once "$guest/driver/$key" build "$@"
echo "$guest/driver/$key/initrd"
