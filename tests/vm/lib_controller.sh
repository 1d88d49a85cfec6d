#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's half of controller.sh: the load of the simulator's case "guest" (tests/sim), under the laws that are named.
# Leaves $OUT/CASE-LAW.csv, a line each second, in KiB and KiB/s:
#   s,dirty,target,rate,proportional,integral,written to bcache,written to the backing device,
#   lib_controller.sh CASE LAW [LAW...] [-- CASE LAW...]
. "$(dirname "$0")/lib.sh"
quiet_udev
modprobe null_blk nr_devices=0
cache=/dev/nbc back=/dev/nbb
work=/run/controller
mkdir -p $work
# A pipe that nobody writes to: a sleep that is no process.
exec {never}<> <(:)

# null_disk NAME MIB ATTRIBUTE=VALUE...: a disk in memory
null_disk() {
	local dir=/sys/kernel/config/nullb/$1 word
	mkdir "$dir"
	put "$2" "$dir/size"
	shift 2
	for word in blocksize=4096 memory_backed=1 "$@"; do
		put "${word#*=}" "$dir/${word%%=*}"
	done
	put 1 "$dir/power"
}

# kib TEXT: sets KIB from what sysfs prints for people: -73.2k, 4.0M, 1023.9G/sec
kib() {
	local v=${1%/sec} sign='' unit tenths
	[[ $v != -* ]] || sign=- v=${v#-}
	unit=${v: -1} v=${v%?}
	tenths=$((10#${v/./}))
	case $unit in
	k) KIB=$sign$((tenths / 10)).$((tenths % 10)) ;;
	M) KIB=$sign$((tenths * 1024 / 10)) ;;
	G) KIB=$sign$((tenths * 1048576 / 10)) ;;
	*) KIB=$sign$((tenths * 1073741824 / 10)) ;;
	esac
}

# written NAME: sets WRITTEN to the KiB written to a disk so far
written() {
	local f
	read -ra f <"/sys/class/block/$1/stat" && WRITTEN=$((f[6] / 2))
}

now() {
	NOW=$((${EPOCHREALTIME/[.,]/} - T0))
}

# sample SECONDS FILE: a line each second since T0
sample() {
	local -A v=()
	local key value n front back last_front last_back line left text
	written "${bdev##*/}" && last_front=$WRITTEN
	written nbb && last_back=$WRITTEN
	for ((n = 1; n <= $1; n++)); do
		now
		left=$((n * 1000000 - NOW))
		[ $left -le 0 ] || read -rt "$((left / 1000000)).$(printf '%06d' $((left % 1000000)))" -u "$never" || true
		# In one piece: read after each line the file would be made anew, and its lines lie elsewhere then.
		text=$(<"$dir/writeback_rate_debug")
		while IFS=$':\t' read -r key value; do
			v[$key]=${value//[$'\t' ]/}
		done <<<"$text"
		written "${bdev##*/}" && front=$((WRITTEN - last_front)) last_front=$WRITTEN
		written nbb && back=$((WRITTEN - last_back)) last_back=$WRITTEN
		line=$n
		for key in dirty target rate proportional integral; do
			kib "${v[$key]}"
			line+=,$KIB
		done
		echo "$line,$front,$back," >>"$2"
	done
}

# load NAME OPTION...: fio on the device
load() {
	local name=$1
	shift
	fio --name="$name" --filename="$bdev" --ioengine=libaio --direct=1 --bs=4k --randseed=1 --minimal "$@" >"$work/$name.log" 2>&1
}

# set_up PERCENT LAW: both disks are there, with an empty cache
set_up() {
	start_pair $cache $back --bucket 128k --block 4k || return 1
	where
	put writeback "$dir/cache_mode" && put 0 "$dir/sequential_cutoff" && put "$1" "$dir/writeback_percent" || return 1
	no_congestion "$dir"
	[ "$2" = C ] || put "$2" "$dir/writeback_controller"
}

# where: sets what names the device
where() {
	bdev=$(bcache_of $back)
	dir=$(sysdir $back)
}

take_down() {
	ok "all is stopped" stop_all
	put 0 /sys/kernel/config/nullb/nbb/power
	put 0 /sys/kernel/config/nullb/nbc/power
	rmdir /sys/kernel/config/nullb/nb?
}

# 1 MiB/s of random writes on a disk of 4 MiB/s, then nothing. null_blk never serves a request that is larger than
# what its throttle allows in 20 ms: max_sectors.
case_guest() {
	local law=$1 file=$work/guest-$1.csv
	null_disk nbc 256
	null_disk nbb 512 mbps=4 max_sectors=128
	ok "$law: a device with a cache" set_up 3 "$law"
	where
	put 1 "$dir/writeback_rate_update_seconds"
	put 10 "$dir/writeback_rate_p_term_inverse"
	put 600 "$dir/writeback_rate_i_term_inverse"
	T0=${EPOCHREALTIME/[.,]/}
	load steps --rw=randwrite --iodepth=4 --size=160M --rate=1m --time_based --runtime=50 &
	sample 69 "$file"
	wait $!
	result $? "$law: the load"
	note "$law: peak of dirty data $(sort -t, -k2,2n "$file" | tail -n 1 | cut -d, -f2) KiB"
	take_down
	cp "$file" "$OUT/"
}

# What fio is made of comes from a disk of the host: not in the middle of a measurement.
truncate -s 1M $work/warm
fio --name=warm --filename=$work/warm --ioengine=libaio --rw=randwrite --bs=4k --iodepth=4 --size=1M --rate=1m --minimal >/dev/null
what=
for word; do
	case $word in
	--) what= ;;
	*) if [ -z "$what" ]; then what=$word; else "case_$what" "$word"; fi ;;
	esac
done
rmmod null_blk
done_testing
