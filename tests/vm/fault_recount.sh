#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk busy=64M --timeout 200
# case: busy_attach | H13, B5 | the rate's update while a device is being attached (partitions are looked for on a disk that takes long to read)
# case: lock_taken | B5 | the rate's update while the writeback lock is taken: a scan waits for a write that the cache keeps waiting
# case: stop_in_body | - | a device is stopped while the rate's update waits for the writeback lock, which a scan has that the cache keeps waiting
# case: others_keys | B13 | dirty sectors of two devices, counted when both are attached again; what is left when all is written back
# case: neighbours_keys | B28 | two devices with dirty data in the same places: one is written back, the other is not to be
# Attach of C holds the writeback lock; the update of the rate, due once a second here, gives up some times and then waits for
# it in a worker that others share.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back) busy=$(disk busy)

# waiting: tasks that wait in the update of the rate
waiting() {
	grep -lsE 'update_writeback_rate|RateTask' /proc/[0-9]*/stack | wc -l
}

# updates: how often the rate was updated
updates() {
	sed -n 's/^runs: //p' "$debug/bcache/$(basename "$slow")/rate_work" 2>/dev/null
}

# slow_reads MS: from now on
slow_reads() {
	dmsetup suspend --noflush slow && dmsetup load slow --table "0 $size delay $back 0 $1 $back 0 0" && dmsetup resume --noudevsync slow
}

case_busy_attach() {
	local size slow n seen=0 register load runs
	size=$(blockdev --getsz "$back")
	dmsetup create slow --table "0 $size delay $back 0 0 $back 0 0"
	slow=$(readlink -f /dev/mapper/slow)
	a_pair "$cache" "$slow" --bucket 65536
	format_backing "$busy"
	register "$busy"
	ok "another device with this set" put "$uuid" "$(sysdir "$busy")/attach"
	put 0 "$dir/writeback_running"
	soil "$bdev" 4096 65536
	# Where partition tables are looked for the cache has nothing.
	put none "$dir/cache_mode"
	soil "$bdev" 1024
	soil "$bdev" 1024 $((size / 2 - 2048))
	ok "stopped" stop_all
	# It waits for its set, and can be told how often the rate is to be updated.
	ok "the device is registered" within 10 register "$slow"
	# So is another one, whose I/O keeps the set from being idle: C does not look at the lock of an idle one. It attaches the
	# newest first.
	ok "and another" within 10 register "$busy"
	put 1 "$(sysdir "$slow")/writeback_rate_update_seconds"
	# It would wait for them.
	hold_udev
	ok "reads take long" slow_reads 28000
	echo "$cache" >$SYSFS/register &
	register=$!
	# An idle device does not look at the lock. (A store to a file of C's set would wait for the attach.)
	[ "$DRIVER" = c ] || ok "an idle device counts as busy" within 3 put 0 "$SYSFS/$uuid/internal/idle_max_writeback_rate"
	while sleep 0.5; do
		! attached "$busy" || dd if=/dev/zero of="$(bcache_of "$busy")" bs=4k count=1 oflag=direct status=none
	done &
	load=$!
	for n in $(seq 40); do
		sleep 1
		[ "$(waiting)" = 0 ] || seen=1
		[ -e /proc/$register ] && [ "$seen" = 0 ] || break
		runs=$(updates)
		[ "${runs:-0}" -lt 20 ] || break
	done
	ok "the attach was not over" test -e /proc/$register
	ok "reads take no time" slow_reads 0
	is "a worker that waits" "$seen" 0
	if [ "$seen" = 1 ]; then
		saw "after $n s a shared worker waits"
	else
		saw "no worker waits${runs:+; $runs updates in $n s}"
	fi
	# One that waits for the lock has tried it 16 times before.
	[ "$DRIVER" = c ] || at_least "updates of the rate" "${runs:-0}" 18
	ok "the attach ends" timeout 60 tail --pid=$register -f /dev/null
	kill $load
	wait $load $register
	ok "it is attached" attached "$slow"
	ok "all stop" stop_all
	let_udev
	dmsetup remove slow
}

# runs: how often the rate of the device was updated
runs() {
	sed -n 's/^runs: //p' "$debug/bcache/$(basename "$back")/rate_work" 2>/dev/null || echo 0
}

# writes_under_way: the device has a write that has not ended
writes_under_way() {
	local writes
	read -r _ writes <"/sys/class/block/$(basename "$bdev")/inflight" && [ "$writes" -gt 0 ]
}

# scan_waits: the writeback thread waits for exclusive use of the lock; for work, or for I/O, it waits otherwise
scan_waits() {
	grep -q '^State:.D' "/proc/$(pgrep -o '^bcache_writebac')/status"
}

case_lock_taken() {
	local size slow writer before n seen=0
	size=$(blockdev --getsz "$cache")
	dmsetup create still --table "0 $size linear $cache 0"
	slow=$(readlink -f /dev/mapper/still)
	a_pair "$slow" "$back" --bucket 65536
	set_to writeback_running=0 writeback_percent=40
	# It would look at the disk after each who wrote to it, hang, and keep the next one from it.
	hold_udev
	soil "$bdev" 1024
	dmsetup suspend --noflush --nolockfs still
	dd if=/dev/zero of="$bdev" bs=4k count=1 seek=4096 oflag=direct status=none &
	writer=$!
	ok "a write is under way" within 5 writes_under_way
	# The scan waits for that write, and keeps others from the lock.
	set_to writeback_running=1
	ok "the scan waits for it" within 5 scan_waits
	before=$(runs)
	for n in 1 2 3 4 5 6; do
		sleep 1
		# On a busy host these may be more than 6 s: one that has tried it 16 times may wait.
		[ $(($(runs) - before)) -lt 12 ] || break
		[ "$(waiting)" = 0 ] || seen=$((seen + 1))
	done
	is "seconds in which a worker waits" $seen 0
	saw "in $seen of $n s a worker waits"
	[ "$DRIVER" = c ] || at_least "updates meanwhile" $(($(runs) - before)) 4
	dmsetup resume --noudevsync still
	let_udev
	wait $writer
	result $? "the write ends"
	stop_all
	dmsetup remove still
}

# rate_work NAME: a line of what debugfs has of it
rate_work() {
	sed -n "s/^$1: //p" "$debug/bcache/$(basename "$back")/rate_work"
}

# in_body: the update of the rate has begun and not ended
in_body() {
	[ "$(waiting)" != 0 ] && { [ "$DRIVER" = c ] || [ "$(rate_work rate_dw_running)" = 1 ]; }
}

# waits_for_body: the end of the device has begun, and says so
waits_for_body() {
	[ "$(rate_work phase) $(rate_work wb_running) $(rate_work waits_for)" = "stopping 0 the rate work" ]
}

case_stop_in_body() {
	local size slow start took waited=1
	size=$(blockdev --getsz "$cache")
	dmsetup create still --table "0 $size linear $cache 0"
	slow=$(readlink -f /dev/mapper/still)
	# Nodes of 4 KiB: more of them than the drivers keep in memory.
	a_pair "$slow" "$back" --bucket 4096 --block 512
	set_to writeback_running=0
	fio --name=soil --filename="$bdev" --rw=randwrite --bs=4k --size=64M --io_size=24M --direct=1 --ioengine=libaio --iodepth=8 \
		--randseed=1 --output-format=terse >/dev/null
	# Those that lack keys which are in the journal only stay in memory.
	ok "all stop" stop_all 60
	register "$back" "$slow"
	ok "both are back" within 20 attached "$back"
	set_to writeback_running=0 writeback_percent=40 writeback_rate_update_seconds=1
	put 0 "$SYSFS/$uuid/internal/idle_max_writeback_rate"
	# It would read the nodes again.
	hold_udev
	put 100000 "$SYSFS/$uuid/internal/prune_cache"
	put 100000 "$SYSFS/$uuid/internal/prune_cache"
	dmsetup suspend --noflush --nolockfs still
	set_to writeback_running=1
	ok "the update waits for the scan" within 40 in_body
	in_body || waited=0
	put 1 "$dir/stop"
	if [ "$DRIVER" = c ]; then
		sleep 1
	else
		ok "the end of the device waits for the update" within 10 waits_for_body
		waits_for_body || sed 's/^/# /' "$debug/bcache/$(basename "$back")/"{rate_work,teardown}
		is "and the update runs still" "$(rate_work rate_dw_running)" 1
	fi
	ok "the device is there" test -e "$dir"
	start=$EPOCHREALTIME
	dmsetup resume --noudevsync still
	ok "the device is stopped" within 20 test ! -e "$dir"
	took=$(since "$start")
	if [ $waited = 1 ]; then
		saw "gone $took ms after the cache answers"
	else
		saw "the update does not wait in 40 s"
	fi
	[ "$DRIVER" = c ] || at_most "milliseconds for the end" "$took" 5000
	let_udev
	stop_all
	dmsetup remove still
}

# letters DEV LETTER: 64 KiB of this letter, and again 16 MiB further on
letters() {
	local at
	for at in 0 256; do
		head -c 65536 /dev/zero | tr '\0' "$2" | dd of="$1" bs=64k seek=$at oflag=direct iflag=fullblock status=none
	done
}

# what_is DEV LETTER SKIP: bytes there that are this letter, and that are another one; SKIP units of 8 KiB come before the data
what_is() {
	local at
	for at in 0 2048; do
		dd if="$1" bs=8k skip=$(($3 + at)) count=8 iflag=direct status=none
	done >/tmp/letters
	echo "$(tr -cd "$2" </tmp/letters | wc -c) $(tr -d "$2" </tmp/letters | wc -c)"
}

# two_devices: "busy" is the next one of the set in the index; nothing of either is written back. Sets dir2 and bdev2.
two_devices() {
	a_pair "$cache" "$back" --bucket 65536
	format_backing "$busy"
	register "$busy"
	dir2=$(sysdir "$busy")
	ok "another device" put "$uuid" "$dir2/attach"
	bdev2=$(bcache_of "$busy")
	put writeback "$dir2/cache_mode"
	put 0 "$dir2/sequential_cutoff"
	no_congestion "$dir2"
	put 0 "$dir2/writeback_running"
	set_to writeback_running=0
}

case_neighbours_keys() {
	local dir2 bdev2 before
	two_devices
	letters "$bdev" a
	letters "$bdev2" b
	before=$(cat "$dir2/dirty_data")
	is "dirty data" "$(cat "$dir/dirty_data") $before" "128.0k 128.0k"
	set_to writeback_percent=0 writeback_delay=0 writeback_running=1
	ok "the one is clean" within 20 is_clean "$dir"
	is "dirty data of the other" "$(cat "$dir2/dirty_data")" "$before"
	is "what its disk has of that, and of other data" "$(what_is "$busy" b 1)" "0 131072"
	is "what the disk of the first has, and of other data" "$(what_is "$back" a 1)" "131072 0"
	is "what is read from the other, and of other data" "$(what_is "$bdev2" b 0)" "131072 0"
	saw "$(all_held && echo "the other's data is where it was" || echo "not so")"
}

case_others_keys() {
	local dir2 bdev2 d left
	two_devices
	soil "$bdev" 4096
	soil "$bdev2" 1024
	is "dirty data" "$(cat "$dir/dirty_data") $(cat "$dir2/dirty_data")" "4.0M 1.0M"
	ok "stopped" stop_all
	ok "registered again" register "$cache" "$back" "$busy"
	for d in "$dir" "$dir2"; do
		put 0 "$d/writeback_percent"
		put 0 "$d/writeback_delay"
		put 1 "$d/writeback_running"
	done
	for d in "$dir" "$dir2"; do
		ok "written back" within 30 is_clean "$d"
	done
	left="$(cat "$dir/dirty_data") $(cat "$dir2/dirty_data")"
	is "dirty data" "$left" "0.0k 0.0k"
	saw "$left dirty"
}

run_cases "$@"
