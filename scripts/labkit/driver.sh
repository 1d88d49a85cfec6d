#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fills a folder with what makes a driver loadable in a guest: the module and the indexes of modprobe.
#   driver.sh GUEST-FOLDER none|c|KO-FILE OUT
# The folder becomes /lib/modules/RELEASE of the guest. Indexes are kept beside the guest's files, by content of the module.
set -eu
. "$(dirname "$0")/common.sh"
guest=$1 driver=$2 out=$3

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
	mod=$tmp/lib/modules/$kver
	cp -al "$guest/modules/." "$tmp/"
	if [ $# = 3 ]; then
		mkdir -p "$mod/$2"
		cp "$1" "$mod/$2/bcache.ko"
	fi
	lab_in "$(lab_tree)" depmod -b "/lab/${tmp#"$BCACHE_LAB"/}" "$kver"
	rm -rf "$mod/kernel"
}
lab_once "$guest/driver/$key" build "$@"
cp -r "$guest/driver/$key/lib/modules/$kver/." "$out/"
