#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk back2=64M --timeout 150
# case: failed_attach_stop | B20, H12 | a device is stopped whose attach has failed at its last step
# case: failed_attach_set | B54, H12 | the set is unregistered, and its device attached again, after such an attach
# case: failed_attach_idle | H7 | full speed of an idle device, after the attach of another one has failed (here no flash-only volumes)
# case: io_disable | H11 | `io_disable` of a set written 1, then 0
# An attach that fails half way, and a set whose I/O was disabled.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)

# threads COUNT: there are so many threads of attachments. One that has ended is seen a little longer.
threads() {
	[ "$(pgrep -c '^bcache_writebac')" = "$1" ]
}

# failed_attach DEV: the last step of the attach, which makes the disk visible, fails
failed_attach() {
	local d before
	d=$(sysdir "$1")
	before=$(pgrep -c '^bcache_writebac')
	put 1 "$d/io_disable"
	is "the attach" "$(errno_of "$uuid" "$d/attach")" EIO
	put 0 "$d/io_disable"
	ok "no thread of an attachment more than before" within 5 threads "$before"
}

case_failed_attach_stop() {
	format_cache "$cache" --bucket 65536
	format_backing "$back"
	register "$cache" "$back"
	uuid=$(set_uuid "$cache") dir=$(sysdir "$back")
	failed_attach "$back"
	put 1 "$dir/stop"
	ok "the device is stopped" within 10 test ! -e "$dir"
	if [ -e "$dir" ]; then
		saw "the device does not stop"
	else
		saw "the device stops"
	fi
}

case_failed_attach_set() {
	local end="the set is still there after 10 s"
	format_cache "$cache" --bucket 65536
	format_backing "$back"
	register "$cache" "$back"
	uuid=$(set_uuid "$cache") dir=$(sysdir "$back")
	failed_attach "$back"
	put 1 "$SYSFS/$uuid/unregister"
	ok "the set ends" within 10 test ! -e "$SYSFS/$uuid"
	[ -e "$SYSFS/$uuid" ] || end="the set ends"
	saw "$end"
	ok "it comes back" register "$cache"
	ok "the device can be attached" put "$uuid" "$dir/attach"
	ok "it is attached" attached "$back"
	saw "then $(state "$back")"
}

case_failed_attach_idle() {
	local back2 start
	back2=$(disk back2)
	a_pair "$cache" "$back" --bucket 65536
	format_backing "$back2"
	register "$back2"
	failed_attach "$back2"
	put 1 "$(sysdir "$back2")/stop"
	ok "the other device is stopped" within 10 test ! -e "$(sysdir "$back2")"
	set_to writeback_percent=40
	put 1 "$SYSFS/$uuid/internal/idle_max_writeback_rate"
	soil "$bdev" 8192
	start=$EPOCHREALTIME
	ok "full speed" within 25 at_full_speed
	if at_full_speed; then
		saw "full speed after $(since "$start") ms"
	else
		saw "rate $(shown rate) after 25 s"
	fi
}

# read_under_way: the device has a read that has not ended
read_under_way() {
	local reads
	read -r reads _ <"/sys/class/block/$(basename "$bdev")/inflight" && [ "$reads" -gt 0 ]
}

case_io_disable() {
	local size still reader
	size=$(blockdev --getsz "$cache")
	dmsetup create still --table "0 $size linear $cache 0"
	still=$(readlink -f /dev/mapper/still)
	a_pair "$still" "$back" --bucket 65536
	put writethrough "$dir/cache_mode"
	# What hangs in the cache keeps the set from going before the second store.
	hold_udev
	soil "$bdev" 4
	dmsetup suspend --noflush --nolockfs still
	dd if="$bdev" of=/dev/null bs=4k count=1 iflag=direct status=none &
	reader=$!
	ok "a read is in the cache" within 5 read_under_way
	put 1 "$SYSFS/$uuid/internal/io_disable"
	sleep 1
	put 0 "$SYSFS/$uuid/internal/io_disable"
	is "once disabled it stays so" "$(cat "$SYSFS/$uuid/internal/io_disable")" 1
	dmsetup resume --noudevsync still
	let_udev
	wait $reader
	# Longer than an update of the rate takes to come.
	if within 7 test ! -e "$SYSFS/$uuid"; then
		saw "the set is retired, the device goes on: $(state "$back")"
	else
		# A rate that the next update replaces.
		put writeback "$dir/cache_mode"
		set_to writeback_percent=40 writeback_rate=4
		soil "$bdev" 1024
		sleep 4
		saw "the set stays; 4 s later the rate is $(shown rate) still"
	fi
	ok "the set is retired" test ! -e "$SYSFS/$uuid"
	is "state" "$(state "$back")" "no cache"
	ok "the device works" dd if=/dev/zero of="$bdev" bs=4k count=4 oflag=direct
	stop_all
	dmsetup remove still
}

run_cases "$@"
