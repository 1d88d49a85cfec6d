#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=256M --disk other=64M --timeout 240
# bcache on top of bcache: the upper device is taken in, works and comes apart, in either order; nothing waits for itself.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back) other=$(disk other)

# lower_part: a partition of the lower disk, made anew
lower_part() {
	local disk
	disk=$(bcache_of "$back") && within 10 test -b "$disk" || return
	parted -s "$disk" mklabel msdos mkpart primary 2048s 131071s
	within 10 test -b "${disk}p1" && echo "${disk}p1"
}

format_backing "$back"
register "$back"
disk=$(bcache_of "$back")
within 10 test -b "$disk"
format_backing "$disk"
is "a whole bcache disk as backing device" "$(errno_of "$disk" $SYSFS/register)" EINVAL
ok "the log says why" dmesg_says "a bcache disk cannot be used as a whole"
format_cache "$disk" --bucket 16384
is "a whole bcache disk as cache" "$(errno_of "$disk" $SYSFS/register)" EINVAL
ok "nobody holds it" can_claim "$disk"
wipefs -qa "$disk"

part=$(lower_part)
format_backing "$part"
ok "a backing device on a partition of bcache" register "$part"
upper=$(bcache_of "$part")
ok "its disk" within 10 test -b "$upper"
format_cache "$cache" --bucket 16384
ok "a cache" register "$cache"
ok "attach the upper one" put "$(set_uuid "$cache")" "$(sysdir "$part")/attach"
ok "attach the lower one to the same set" put "$(set_uuid "$cache")" "$(sysdir "$back")/attach"
put writeback "$(sysdir "$part")/cache_mode"
put writeback "$(sysdir "$back")/cache_mode"
fio_verify "verify on the upper disk" "$upper" --rw=randwrite --bs=16k --size=8M --iodepth=8
put 1 "$(sysdir "$part")/stop"
ok "the upper one stops and gives the partition free" within 30 can_claim "$part"
ok "all stop" stop_all

ok "the lower one again" register "$cache" "$back"
ok "its partition is back" within 10 test -b "$part"
ok "the upper one again" register "$part"
ok "its disk is back" within 10 test -b "$(bcache_of "$part")"
put 1 "$(sysdir "$back")/stop"
sleep 1
ok "stopped from below: all stop all the same" stop_all

format_backing "$back"
register "$back"
part=$(lower_part)
format_cache "$part" --bucket 16384
ok "a cache on a partition of bcache" register "$part"
is "attach the device below it" "$(errno_of "$(set_uuid "$part")" "$(sysdir "$back")/attach")" EINVAL
ok "the log says why" dmesg_says "the cache lies on its own disk"
is "the device below it stays as it was" "$(state "$back")" "no cache"
format_backing "$other"
ok "a backing device for it" register "$other"
ok "attach" put "$(set_uuid "$part")" "$(sysdir "$other")/attach"
put writeback "$(sysdir "$other")/cache_mode"
fio_verify "verify" "$(bcache_of "$other")" --rw=randwrite --bs=16k --size=8M --iodepth=8
ok "all stop in the end" stop_all
ok "the module unloads" unload
done_testing
