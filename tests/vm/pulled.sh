#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk back=128M --timeout 180
# case: pulled | - | the cache is pulled while dirty and in use, put in again, and pulled again
# The cache is pulled while it holds dirty data and is in use, put in again, pulled during writeback, and once more while its
# device is being detached. Each time set and device come to an end, nothing stale is read meanwhile, and with the cache
# back all that was acknowledged is there.
. "$(dirname "$0")/lib.sh"
quiet_udev
# A detach waits for this disk as long as it is suspended.
dmsetup create slow --table "0 $(blockdev --getsz "$(disk back)") linear $(disk back) 0"
back=$(readlink -f /dev/mapper/slow)
settled=/tmp/settled failing=/tmp/failing
modprobe scsi_debug dev_size_mb=64 delay=0
udevadm settle
host=$(echo /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*)
host=${host##*/}

# The disk of the host; its name may be another one each time.
cache_dev() {
	local d
	for d in "/sys/class/scsi_disk/${host#host}":*/device/block/*; do
		[ ! -e "$d" ] || { echo "/dev/${d##*/}" && return; }
	done
	return 1
}
pull() {
	local cache
	touch $failing
	cache=$(cache_dev) && echo 1 >"/sys/block/${cache##*/}/device/delete"
}
insert() {
	echo "- - -" >"/sys/class/scsi_host/$host/scan"
	within 10 cache_dev && within 10 test -b "$(cache_dev)"
}
gone() {
	[ ! -e "$SYSFS/$uuid" ]
}
both_gone() {
	gone && [ ! -e "$dir" ]
}
# writes: how many the device has had
writes() {
	awk '{ print $5 }' "/sys/block/$(basename "$(bcache_of "$back")")/stat"
}
has_more_writes_than() {
	[ "$(writes)" -gt "$1" ]
}
# checker SECONDS: reads and writes stamped blocks for so long, and checks them once more after $settled is there. It has begun.
checker() {
	local before
	before=$(writes)
	rm -f $settled $failing
	python3 "$(dirname "$0")/lib_stress.py" --cache-fails $failing "$back" 0 4096 "$1" $settled >/tmp/checked 2>&1 &
	checker=$!
	ok "somebody writes" within 30 has_more_writes_than $((before + 20))
}
checked() {
	touch $settled
	wait "$checker"
	result $? "$1: all that was acknowledged is there, nothing else"
	sed 's/^/# /' /tmp/checked
	# The next checker knows of no data before its own: none of it may come back when the cache is pulled.
	dd if=/dev/zero of="$bdev" bs=1M count=16 oflag=direct conv=fsync status=none
}
dirty_above() {
	[ "$(dirty_bytes "$back")" -gt "$1" ]
}
tune() {
	put writeback "$dir/cache_mode" && put 0 "$dir/sequential_cutoff" && put 40 "$dir/writeback_percent" && no_congestion "$dir"
}
# again NAME: the cache is put in, everything is registered, the device is there
again() {
	ok "$1: the cache is put in" insert
	ok "$1: registered" register "$(cache_dev)"
	[ -e "$dir" ] || ok "$1: the device, too" register "$back"
	attached "$back" || ok "$1: attached" put "$uuid" "$dir/attach"
	ok "$1: the disk is there" within 10 test -b "$(bcache_of "$back")"
	ok "$1: tuned" tune
}

dir=$(sysdir "$back")
bdev=$(start_pair "$(cache_dev)" "$back" --bucket 65536)
uuid=$(set_uuid "$(cache_dev)")
ok "tuned" tune

# A device that is attached writes back half a MiB a second until the first step of its controller, after 5 s: more than that.
dd if=/dev/zero of="$bdev" bs=4k count=2048 seek=8192 oflag=direct status=none
checker 5
ok "pulled while dirty: there is dirty data" within 20 dirty_above 7000000
# What nobody has synced may be lost.
sync "$bdev"
pull
ok "pulled while dirty: set and device end" within 30 both_gone
again "pulled while dirty"
ok "pulled while dirty: data is still dirty" dirty_above 1
checked "pulled while dirty"
part pulled "while dirty"

checker 5
put 0 "$dir/writeback_delay"
put 0 "$dir/writeback_running"
ok "pulled during writeback: there is dirty data" within 20 dirty_above 1000000
put 0 "$dir/writeback_percent"
put 1 "$dir/writeback_running"
pull
ok "pulled during writeback: set and device end" within 30 both_gone
again "pulled during writeback"
checked "pulled during writeback"
part pulled "during writeback"

checker 5
ok "pulled during a detach: there is dirty data" within 20 dirty_above 1000000
dmsetup suspend --noflush --nolockfs slow
put 1 "$dir/detach"
sleep 0.5
is "pulled during a detach: state" "$(cat "$dir/state")" dirty
pull
ok "pulled during a detach: the disk works again" timeout 20 dmsetup resume slow
ok "pulled during a detach: set and device end" within 30 both_gone
again "pulled during a detach"
checked "pulled during a detach"
part pulled "during a detach"

put 0 "$dir/writeback_delay"
put 0 "$dir/writeback_percent"
ok "all is written back" within 60 grep -q clean "$dir/state"
pull
# Nobody has told the set; it finds out at its next journal write, here the one of a detach.
put 1 "$SYSFS/$uuid/unregister"
ok "pulled while clean: the set ends" within 30 gone
ok "pulled while clean: the device goes on" dd if="$bdev" of=/dev/null bs=64k count=16 iflag=direct status=none
part pulled "while clean"
ok "all stop" stop_all
rmmod scsi_debug
dmsetup remove slow
ok "the module unloads" unload
done_testing
