#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=128M --timeout 120
# With udev's own rule at work: formatted disks register themselves, and the links by uuid and label appear.
. "$(dirname "$0")/lib.sh"
cache=$(disk cache) back=$(disk back)
# What a disk that comes up (or has been formatted on a host whose udev watches it) tells udev.
appears() {
	udevadm trigger --action=change --settle "$1"
}

format_backing "$back"
appears "$back"
ok "the rule registers a backing device" within 20 test -b /dev/bcache0
uuid=$(bcache-super-show "$back" | awk '/^dev.uuid/ { print $2 }')
ok "link by uuid" within 10 test -b "/dev/bcache/by-uuid/$uuid"
is "it leads to the disk" "$(readlink -f "/dev/bcache/by-uuid/$uuid")" /dev/bcache0
put archive "$(sysdir "$back")/label"
is "label" "$(cat "$(sysdir "$back")/label")" archive
ok "link by label" within 10 test -b /dev/bcache/by-label/archive
format_cache "$cache" --bucket 65536
appears "$cache"
ok "the rule registers a cache" within 20 test -d "$SYSFS/$(set_uuid "$cache")"
put "$(set_uuid "$cache")" "$(sysdir "$back")/attach"
ok "attach" attached "$back"
ok "bcache-tools name the state" sh -c "bcache-super-show $back | grep -q 'dev.data.cache_state.*1 .clean.'"
ok "stop" stop_all
appears "$back"
appears "$cache"
ok "as at boot: both come back" within 20 attached "$back"
ok "link by uuid again" within 10 test -b "/dev/bcache/by-uuid/$uuid"
done_testing
