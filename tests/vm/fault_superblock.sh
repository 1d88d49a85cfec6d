#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk other=16M --timeout 500
# idle
# case: dirty_attach | - | a dirty device is registered and attached though its disk takes no superblock
# case: clean | - | the disk takes no superblock when the last dirty data has been written back, and then does
# case: cache_mode | - | `cache_mode` stored while the disk takes no superblock, and stored again when it does
# case: set_fails | - | the set fails while a detach waits for its next try, half a minute
# case: set_fails_meanwhile | - | the set fails while the disk does not answer the superblock of a first dirty write; another device is registered
# case: stopped | - | a device is stopped while its detach waits for the next try, and its disk takes superblocks again
# case: stale | - | a device that was run without its dirty set is registered once more, and its disk takes no superblock
# case: first_dirty | - | the disk says that it has not taken the superblock of the first dirty write, but has; then nothing is written
# case: forced | - | likewise that of a device that is run without its set; then the set comes
# A backing disk that refuses its superblock, and nothing else; or does not answer; or says that it refuses.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)
lying=/run/lying nbd=/dev/nbd0

# takes_superblock, takes_none [TARGET]: what the disk does with its superblock from now on
takes_superblock() {
	dm_table fragile "0 $size linear $back 0"
}
takes_none() {
	dm_table fragile "0 8 linear $back 0
8 8 ${*:-error}
16 $((size - 16)) linear $back 16"
}

fragile_pair() {
	size=$(blockdev --getsz "$back")
	dmsetup create fragile --table "0 $size linear $back 0"
	dmsetup create cache --table "0 $(blockdev --getsz "$cache") linear $cache 0"
	fragile=$(readlink -f /dev/mapper/fragile) upper=$(readlink -f /dev/mapper/cache)
	a_pair "$upper" "$fragile" --bucket 65536
	set_to io_error_limit=2147483647
}

no_fragile_pair() {
	ok "the disk takes superblocks" takes_superblock
	ok "all stop" stop_all
	ok "nobody holds the disk" within 10 dmsetup remove fragile
	ok "nor the cache" within 10 dmsetup remove cache
}

# shown_by DEV NAME: a line of the superblock
shown_by() {
	bcache-super-show "$1" | sed -n "s/^dev.data.$2[[:space:]]*[0-9]* \[\(.*\)\]\$/\1/p"
}
# on_disk NAME: the same as it is on the disk
on_disk() {
	blockdev --flushbufs "$back"
	shown_by "$back" "$1"
}
on_disk_is() {
	[ "$(on_disk "$1")" = "$2" ]
}

case_dirty_attach() {
	local fragile upper size fio
	fragile_pair
	put 0 "$dir/writeback_running"
	fio=(fio --name=soil --filename="$bdev" --rw=randwrite --bs=4k --size=2M --direct=1 --ioengine=libaio --iodepth=8 --randseed=1
		--verify=crc32c --output-format=terse)
	"${fio[@]}" --do_verify=0 >/dev/null
	ok "all stop" stop_all
	# This one lets it be read, but ends each flush with an error, too.
	ok "the disk takes no superblock" takes_none "flakey $back 8 0 60 1 error_writes"
	ok "registered" register "$upper" "$fragile"
	ok "attached" within 10 attached "$fragile"
	bdev=$(bcache_of "$fragile")
	ok "what is dirty can be read" "${fio[@]/#--filename=*/--filename=$bdev}" --verify_only
	is "state" "$(state "$fragile")" dirty
	saw "$(all_held && echo "it is attached, $(cat "$dir/dirty_data") dirty can be read" || echo "not so")"
	no_fragile_pair
}

case_clean() {
	local fragile upper size
	fragile_pair
	put 0 "$dir/writeback_running"
	soil "$bdev" 64
	is "on disk" "$(on_disk cache_state)" dirty
	ok "the disk takes no superblock" takes_none
	set_to writeback_percent=0 writeback_delay=0 writeback_running=1
	ok "nothing is dirty" within 20 dirty_below 1
	sleep 2
	ok "on disk it is dirty" on_disk_is cache_state dirty
	ok "the disk takes superblocks" takes_superblock
	if within 40 on_disk_is cache_state clean; then
		saw "it is clean on disk some time after"
	else
		saw "it stays dirty on disk, for 40 s at least"
	fi
	ok "on disk it is clean" on_disk_is cache_state clean
	no_fragile_pair
}

case_cache_mode() {
	local fragile upper size first mode
	fragile_pair
	is "on disk" "$(on_disk cache_mode)" writeback
	ok "the disk takes no superblock" takes_none
	first=$(errno_of writearound "$dir/cache_mode")
	mode=$(sed 's/.*\[\(.*\)\].*/\1/' "$dir/cache_mode")
	is "the store" "$first" EIO
	is "the mode" "$mode" writeback
	# Which the next registration may read.
	is "the page cache" "$(shown_by "$fragile" cache_mode)" writeback
	ok "the disk takes superblocks" takes_superblock
	put writearound "$dir/cache_mode"
	is "the mode then" "$(sed 's/.*\[\(.*\)\].*/\1/' "$dir/cache_mode")" writearound
	saw "the store: $first, the mode: $mode; after the second one on disk: $(on_disk cache_mode)"
	ok "on disk, too" on_disk_is cache_mode writearound
	no_fragile_pair
}

# detach_waits: a detach that is refused for long; fails if it is over
detach_waits() {
	local tries=0
	dmesg -C
	put writethrough "$dir/cache_mode"
	ok "the disk takes no superblock" takes_none
	put 1 "$dir/detach"
	while [ "$tries" -lt 12 ] && [ -e "$dir/cache" ] && ! dmesg_says "trying again in 30000 ms"; do
		sleep 5
		tries=$((tries + 1))
	done
	if [ ! -e "$dir/cache" ]; then
		saw "the detach is over at once"
		fails "the detach waits" true
		no_fragile_pair
		return 1
	fi
	ok "it waits for its next try" dmesg_says "trying again in 30000 ms"
}

is_there() {
	within 5 test -e "$(sysdir "$fragile")/dev" && dd if="$(bcache_of "$fragile")" of=/dev/null bs=4k count=1 iflag=direct status=none
}

case_stale() {
	local fragile upper size
	fragile_pair
	put 0 "$dir/writeback_running"
	soil "$bdev" 64
	ok "all stop" stop_all
	ok "the disk comes back alone" register "$fragile"
	ok "it is run" put 1 "$(sysdir "$fragile")/running"
	ok "stopped" stop_all
	is "on disk" "$(on_disk cache_state)" inconsistent
	ok "the disk takes no superblock" takes_none "flakey $back 8 0 60 1 error_writes"
	echo "$fragile" 2>/dev/null >$SYSFS/register
	is_there && saw "it can be used" || saw "it is gone"
	ok "it can be used" is_there
	no_fragile_pair
}

case_stopped() {
	local fragile upper size
	fragile_pair
	detach_waits || return
	ok "the disk takes superblocks" takes_superblock
	put 1 "$dir/stop"
	ok "the device is gone" within 20 test ! -e "$dir"
	saw "it is gone, on disk it is $(on_disk cache_state)"
	ok "on disk it is detached" on_disk_is cache_state detached
	ok "it is registered again" register "$fragile"
	sleep 1
	is "state" "$(state "$fragile")" "no cache"
	no_fragile_pair
}

case_set_fails() {
	local fragile upper size start
	fragile_pair
	detach_waits || return
	start=$EPOCHREALTIME
	put 1 "$SYSFS/$uuid/internal/io_disable"
	ok "the set is gone" within 60 test ! -e "$SYSFS/$uuid"
	saw "the set is gone after $(since "$start") ms"
	at_most "milliseconds until the set is gone" "$(since "$start")" 10000
	no_fragile_pair
}

# lying_pair: the backing disk is one that may lie
lying_pair() {
	rm -rf $lying && mkdir $lying
	modprobe nbd nbds_max=1 max_part=0
	superblocks takes
	python3 "$(dirname "$0")/lib_lying_disk.py" $nbd 64 $lying
	a_pair "$cache" $nbd --bucket 65536
	set_to io_error_limit=2147483647
}
# superblocks MODE: what the disk does with them from now on
superblocks() {
	echo "$1" >$lying/mode
}
is_over() {
	! pgrep -f lib_lying_disk >/dev/null
}
no_lying_pair() {
	superblocks takes
	ok "all stop" stop_all
	kill -KILL "$(cat $lying/pid)"
	ok "the disk ends" within 10 is_over
	ok "its driver, too" within 10 rmmod nbd
}
# lying_is STATE: what the superblock says, past the page cache
lying_is() {
	dd if=$nbd of=/run/superblock bs=4k count=4 iflag=direct status=none
	[ "$(shown_by /run/superblock cache_state)" = "$1" ]
}

case_first_dirty() {
	local status
	lying_pair
	ok "on disk it is clean" within 10 lying_is clean
	superblocks lies
	dd if=/dev/zero of="$bdev" bs=4k count=1 oflag=direct status=none 2>/dev/null
	status=$?
	note "the write: status $status"
	# C does not look at how its superblock came out.
	[ "$DRIVER" = c ] || is "the write" $status 1
	ok "on disk it is dirty" within 10 lying_is dirty
	superblocks takes
	if within 60 lying_is clean; then
		saw "on disk it is clean some time after"
	else
		saw "on disk it stays dirty, and shows itself as $(state $nbd)"
	fi
	ok "on disk it is clean again" lying_is clean
	no_lying_pair
}

# data: a sum of what is at the start
data() {
	dd if="$bdev" bs=64k count=4 iflag=direct status=none | md5sum
}

case_forced() {
	local sum
	lying_pair
	put 0 "$dir/writeback_running"
	dd if=/dev/urandom of="$bdev" bs=64k count=4 oflag=direct status=none
	sum=$(data)
	ok "all stop" stop_all
	ok "registered" register $nbd
	is "state" "$(state $nbd)" dirty
	superblocks lies
	is "it is run" "$(errno_of 1 "$dir/running")" EIO
	ok "on disk it is out of date" within 10 lying_is inconsistent
	echo "$cache" >$SYSFS/register
	ok "the set is there" within 10 test -e "$SYSFS/$uuid"
	sleep 1
	fails "attached" attached $nbd
	superblocks takes
	attached $nbd || put "$uuid" "$dir/attach"
	ok "attached when the disk takes superblocks" within 10 attached $nbd
	ok "on disk it is dirty" lying_is dirty
	bdev=$(bcache_of $nbd)
	if [ "$(data)" = "$sum" ]; then
		saw "what was dirty is there when the disk takes superblocks again"
	else
		saw "what was dirty is lost"
	fi
	is "what was dirty" "$(data)" "$sum"
	no_lying_pair
}

# is_stuck PID: it waits in the kernel
is_stuck() {
	grep -q '^State:.D' "/proc/$1/status"
}
# ends_waiting: what the end of the device waits for
ends_waiting() {
	grep -qxF "waits_for: its superblock to be written" "$debug/bcache/${fragile##*/}/teardown"
}

case_set_fails_meanwhile() {
	local fragile upper size other writer registration start
	other=$(disk other)
	# The kernel's own word on who waits is not what this is about.
	put 0 /proc/sys/kernel/hung_task_timeout_secs
	fragile_pair
	dmesg -C
	format_backing "$other"
	hold_udev
	dmsetup suspend --noflush --nolockfs fragile
	dd if=/dev/zero of="$bdev" bs=4k count=1 oflag=direct status=none 2>/dev/null &
	writer=$!
	# C does not wait for the superblock.
	[ "$DRIVER" = c ] || ok "the first dirty write waits" within 20 is_stuck $writer
	sleep 1
	long_is 5
	put 1 "$SYSFS/$uuid/internal/io_disable"
	put 1 "$SYSFS/$uuid/unregister" 2>/dev/null
	[ "$DRIVER" = c ] || ok "so does the device, whose set has failed" within 20 ends_waiting
	start=$EPOCHREALTIME
	echo "$other" >$SYSFS/register &
	registration=$!
	if within 20 is_gone $registration; then
		saw "it is registered after $(since "$start") ms"
	else
		saw "its registration waits for 20 s"
	fi
	ok "another device is registered" is_gone $registration
	[ "$DRIVER" = c ] || ok "and the log says what the set waits for" within 30 dmesg_says "waiting for its superblock to be written for more than 5 seconds"
	long_is 60
	dmsetup resume --noudevsync fragile
	let_udev
	wait $writer $registration
	ok "the set is gone" within 30 test ! -e "$SYSFS/$uuid"
	no_fragile_pair
	put 30 /proc/sys/kernel/hung_task_timeout_secs
}

run_cases "$@"
