#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --timeout 300
# case: dirty_attach | - | a dirty device is registered and attached though its disk takes no superblock
# case: clean | - | the disk takes no superblock when the last dirty data has been written back, and then does
# case: cache_mode | - | `cache_mode` stored while the disk takes no superblock, and stored again when it does
# case: set_fails | - | the set fails while a detach waits for its next try, half a minute
# A backing disk that refuses its superblock, and nothing else.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)

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
	saw "it is attached, $(cat "$dir/dirty_data") dirty can be read"
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

case_set_fails() {
	local fragile upper size start tries=0
	fragile_pair
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
		return
	fi
	ok "it waits for its next try" dmesg_says "trying again in 30000 ms"
	start=$EPOCHREALTIME
	put 1 "$SYSFS/$uuid/internal/io_disable"
	ok "the set is gone" within 60 test ! -e "$SYSFS/$uuid"
	saw "the set is gone after $(since "$start") ms"
	at_most "milliseconds until the set is gone" "$(since "$start")" 10000
	no_fragile_pair
}

run_cases "$@"
