#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=256M --timeout 240
# An attach that fails, at its superblock write and at its last step, takes back all that it did: device and set go on
# as before, can be attached again, and end. (C keeps a thread that it stops a second time.)
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) debug=/sys/kernel/debug
mountpoint -q $debug || mount -t debugfs none $debug
size=$(blockdev --getsz "$(disk back)")
linear="0 $size linear $(disk back) 0"
dmsetup create fragile --table "$linear"
back=$(readlink -f /dev/mapper/fragile)
file=$debug/bcache/$(basename "$back")/rate_work

# table LINE: what is below the backing device from now on
table() {
	dmsetup suspend --nolockfs fragile && dmsetup load fragile --table "$1" && dmsetup resume fragile
}

# set_on_disk DEV: the uuid of the set in the superblock, past the page cache
set_on_disk() {
	dd if="$1" bs=4k skip=1 count=1 iflag=direct status=none | od -An -tx1 -j 56 -N 16
}

# threads COUNT: there are so many threads of attachments. One that has ended is seen a little longer.
threads() {
	[ "$(pgrep -c '^bcache_writebac')" = "$1" ]
}

# as_before NAME: nothing of the attach is left
as_before() {
	is "$1: state" "$(state "$back")" "no cache"
	ok "$1: no link to the set" test ! -e "$dir/cache"
	ok "$1: no link to the device" sh -c "! ls $SYSFS/$uuid/bdev*"
	ok "$1: no file in debugfs" test ! -e "$file"
	ok "$1: no thread" within 5 threads 0
}

format_backing "$back"
format_cache "$cache" --bucket 65536
ok "register" register "$back" "$cache"
dir=$(sysdir "$back") uuid=$(set_uuid "$cache")
bdev=$(bcache_of "$back")
dd if=/dev/urandom of="$bdev" bs=64k count=16 oflag=direct status=none
sum=$(dd if="$bdev" bs=64k count=16 iflag=direct status=none | md5sum)
before=$(set_on_disk "$back")

for i in 1 2 3; do
	put 1 "$dir/io_disable"
	is "attach $i to a device without I/O" "$(errno_of "$uuid" "$dir/attach")" EIO
	put 0 "$dir/io_disable"
	as_before "attach $i"
	is "attach $i: set in the superblock" "$(set_on_disk "$back")" "$before"
done
is "the disk has its data" "$(dd if="$bdev" bs=64k count=16 iflag=direct status=none | md5sum)" "$sum"

# With one processor, which the attach does not give away, the thread is stopped before it has run: what it would have given
# back when it ended is given back all the same.
rescuers() {
	pgrep -c '^kworker/R-bcach'
}
wanted=$(rescuers)
put 1 "$dir/io_disable"
at_least "workqueues of the set" "$wanted" 1
ok "one processor" put 0 /sys/devices/system/cpu/cpu1/online
is "attach in a hurry" "$(LC_ALL=C chrt -f 50 bash -c "echo $uuid >$dir/attach" 2>&1 | sed 's/.*: //')" "Input/output error"
put 1 /sys/devices/system/cpu/cpu1/online
put 0 "$dir/io_disable"
as_before "attach in a hurry"
is "attach in a hurry: no workqueue is left" "$(rescuers)" "$wanted"

table "0 $size error"
fails "attach to a device that cannot be written" put "$uuid" "$dir/attach"
table "$linear"
as_before "attach without superblock"
is "the disk has its data still" "$(dd if="$bdev" bs=64k count=16 iflag=direct status=none | md5sum)" "$sum"

ok "then it can be attached" put "$uuid" "$dir/attach"
is "its rate work is armed" "$(sed -n 's/^phase: //p' "$file")" armed
ok "one thread" threads 1
put writeback "$dir/cache_mode"
fio_verify "data through the cache" "$bdev" --rw=randwrite --bs=16k --iodepth=8 --size=16M
put 1 "$dir/detach"
ok "and detached" within 40 test ! -e "$dir/cache"

put 1 "$dir/io_disable"
is "one more failure" "$(errno_of "$uuid" "$dir/attach")" EIO
ok "the set can be unregistered" put 1 "$SYSFS/$uuid/unregister"
ok "and goes" within 20 test ! -e "$SYSFS/$uuid"

# A set with room for 32 devices (a bucket of 4 KiB has 32 entries of 128 bytes): a failed attach does not use any up.
format_cache "$cache" --bucket 4096
ok "a set with few places for devices" register "$cache"
uuid=$(set_uuid "$cache") failures=0
for i in $(seq 40); do
	[ "$(errno_of "$uuid" "$dir/attach")" != EIO ] || failures=$((failures + 1))
done
is "attaches that fail because there is no I/O" $failures 40
put 0 "$dir/io_disable"
ok "the next one works" put "$uuid" "$dir/attach"
put 1 "$dir/detach"
ok "it can be detached" within 20 test ! -e "$dir/cache"
put 1 "$SYSFS/$uuid/stop"
ok "this set ends, too" within 20 test ! -e "$SYSFS/$uuid"
ok "the device can be stopped" put 1 "$dir/stop"
ok "and goes too" within 20 test ! -e "$dir"
dmsetup remove fragile
ok "the module unloads" unload
done_testing
