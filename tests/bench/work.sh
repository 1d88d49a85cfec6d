# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# Rows that are no requests, or that need a set of their own. Each function begins and ends without a device.

# What two seconds of nothing cost: a part of the row of gc.
idle_row() {
	work raw-idle 1 pause 2
}

# read_sysfs ROUNDS FILE...
read_sysfs() {
	local n=$1 f lines
	shift
	while [ "$n" -gt 0 ]; do
		for f; do mapfile -t lines <"$f"; done
		n=$((n - 1))
	done
}

# sysfs_rows: with a device that is attached
sysfs_rows() {
	work sysfs-read 1000 read_sysfs 125 $BDEV/{state,dirty_data,cache_mode,writeback_rate_debug,stats_total/cache_hits} \
		$CSET/{cache_available_percent,btree_cache_size,stats_total/cache_hit_ratio}
	work sysfs-priority 20 read_sysfs 20 $CSET/cache0/priority_stats
}

gc_once() {
	echo 1 >$CSET/internal/trigger_gc
	pause 2
}

# free_kib: memory that is free, with what the allocator keeps at hand for the processor. Caches of the kernel are small here:
# there is no file system but in memory.
free_kib() {
	local key value _ kib=0
	while read -r key value _; do
		[ "$key" != MemFree: ] || kib=$((kib + value))
	done </proc/meminfo
	while read -r key value _; do
		[ "$key" != count: ] || kib=$((kib + value * 4))
	done </proc/zoneinfo
	echo $kib
}

# Small nodes of the index (16 KiB, 550 keys when half full): they split while N keys come.
split_row() {
	wanted split-write-1 || return 0
	open_backing
	attach_set $SMALL 16k
	mode writeback
	echo 0 >$BDEV/writeback_running
	row split-write-1 $DEV $A "$N" 4 1 randwrite "${VERIFIABLE[@]}"
	verify $DEV $A $((N * 4096))
	stop_all
	sleep 1
}

# memory_of KIB MIB: what the index of so many MiB takes, written at random in extents of KIB, said for a GiB. As many come
# before: what the first keys need, and the slabs that the kernel keeps at hand from then on, are no matter of how many there are.
memory_of() {
	local before
	open_backing
	before=$(free_kib)
	attach_set $CACHE 16k
	sleep 2
	[ "$1" != 64 ] || say "data $turn kib-set-without-keys $((before - $(free_kib)))"
	mode writeback
	echo 0 >$BDEV/writeback_running
	fill_big $DEV 0 "$2" randwrite "${1}k"
	sleep 2
	before=$(free_kib)
	fill_big $DEV "$2" "$2" randwrite "${1}k"
	sleep 2
	say "data $turn kib-per-gib-${1}k $(((before - $(free_kib)) * 1024 / $2))"
	stop_all
	sleep 1
}

# Before all other rows: what these would leave unused in slabs would be used. The smaller index first, for the same reason.
memory_rows() {
	any_wanted kib-set-without-keys kib-per-gib-4k kib-per-gib-64k || return 0
	memory_of 64 120
	memory_of 4 120
}

# An index of 16384 dirty keys in some 60 nodes of 16 KiB, in a cache of 65536 buckets.
KEYS=16384
index_rows() {
	any_wanted gc stop register-bucket attach-recount || return 0
	open_backing
	attach_set $CACHE 16k
	sleep 2
	mode writeback
	echo 0 >$BDEV/writeback_running
	fill_big $DEV 0 $((KEYS / 64))
	sleep 2
	work gc $KEYS gc_once
	work stop 1 stop_all
	sleep 1
	# The threads of the set make their first buckets ready: all of that is the registration's.
	REST=1 work register-bucket $((CACHE_MB * 64)) register_set $CACHE
	REST=1 work attach-recount $KEYS register_backing
	stop_all
	sleep 1
}

# 12288 keys of 4 KiB, at random, and no more buckets than half a cache of 64 KiB each: what an index costs as it grows by
# keys. First as after a machine that died, when keys are in the journal that are not yet in the index; then as after a stop.
register_rows() {
	local keys=12288 dirty
	any_wanted recover register || return 0
	open_backing
	attach_set $SMALL 64k
	mode writeback
	echo 0 >$BDEV/writeback_running
	fill_big $DEV 0 $((keys / 256)) randwrite 4k "${VERIFIABLE[@]}"
	read -r dirty <$BDEV/dirty_data
	[ "$dirty" = $((keys / 256)).0M ] || die "$dirty of $((keys / 256)) MiB are dirty"
	sleep 2
	dd if=$SMALL of=$COPY bs=1M oflag=direct 2>/dev/null
	stop_all
	sleep 1
	REST=1 work recover $keys register_set $COPY
	register_backing
	verify $DEV 0 $((keys * 4096))
	stop_all
	sleep 1
	REST=1 work register $keys register_set $SMALL
	stop_all
	sleep 1
}

# A full cache, and an area that is twice as large.
mixed_row() {
	wanted mixed || return 0
	open_backing
	attach_set $SMALL 64k
	mode writeback
	fill_big $DEV 0 192
	row_over mixed $DEV 192 "$N"
	stop_all
	sleep 1
}

# A full cache of many small buckets, each written request takes another one.
invalidate_row() {
	wanted reuse-write-8k || return 0
	open_backing
	attach_set $SMALL 8k 512
	fill_big $DEV 0 128
	row reuse-write-8k $DEV $B "$N" 8 1 randwrite
	stop_all
	sleep 1
}

# take_row NAME DISK BUCKET-KIB: each request takes a bucket of very many that are free
take_row() {
	open_backing
	attach_set "$2" "${3}k"
	mode writeback
	echo 0 >$BDEV/writeback_running
	row "$1" $DEV 0 8192 "$3" 1 randwrite
	stop_all
	sleep 1
}

# 131,072 buckets, and 1,048,576 on a disk whose memory is what was written to it; of 8 KiB, as C dies with smaller ones
take_rows() {
	! wanted take-write-131k || take_row take-write-131k $CACHE 8
	wanted take-write-1m || return 0
	insmod /modules/configfs.ko 2>/dev/null
	insmod /modules/null_blk.ko nr_devices=1 queue_mode=0 gb=8 memory_backed=1 || die "null_blk"
	until_ok 10 test -b /dev/nullb0
	take_row take-write-1m /dev/nullb0 8
	until_ok 10 rmmod null_blk
}
