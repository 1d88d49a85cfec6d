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

# The same with all settings as they are by default, for ten minutes: 1 MiB/s, 2.44 MiB/s, nothing.
case_step() {
	local law=$1 file=$work/step-$1.csv
	null_disk nbc 256
	null_disk nbb 512 mbps=4 max_sectors=128
	ok "$law: a device with a cache" set_up 10 "$law"
	where
	T0=${EPOCHREALTIME/[.,]/}
	{
		load up --rw=randwrite --iodepth=4 --size=160M --rate=1m --time_based --runtime=300 &&
			load more --rw=randwrite --iodepth=4 --size=160M --rate=2500k --time_based --runtime=200
	} &
	sample 619 "$file"
	wait $!
	result $? "$law: the load"
	take_down
	cp "$file" "$OUT/"
}

# Much is dirty already; then 20 reads a second, each of which misses the cache, from a disk of 1 MiB/s that serves requests as
# they come: no I/O scheduler prefers the reads.
case_guest_latency() {
	local law=$1 file=$work/guest_latency-$1.csv
	null_disk nbc 256
	null_disk nbb 512 mbps=1 max_sectors=40
	put none /sys/block/nbb/queue/scheduler
	ok "$law: a device with a cache" set_up 1 "$law"
	where
	put 5 "$dir/writeback_rate_p_term_inverse"
	[ ! -e "$dir/writeback_latency_target_us" ] || put 40000 "$dir/writeback_latency_target_us"
	put 0 "$dir/writeback_running"
	ok "$law: dirty data" load dirty --rw=randwrite --iodepth=16 --size=160M --io_size=80M
	T0=$((${EPOCHREALTIME/[.,]/} - 5000000))
	put 1 "$dir/writeback_running"
	load reads --rw=randread --iodepth=16 --offset=256M --size=240M --rate_iops=20 --time_based --runtime=40 \
		--write_lat_log="$work/reads" --log_avg_msec=1000 &
	sample 44 "$work/rows"
	wait $!
	result $? "$law: the reads"
	# The log has the mean of each second, in nanoseconds, after milliseconds.
	awk -F'[, ]+' 'NR == FNR { us[int($1 / 1000) + 5] = $2 / 1000; next } { print $0 ($1 in us ? us[$1] : "") }' \
		"$work"/reads_lat.*log FS=, "$work/rows" >"$file"
	rm "$work/rows" "$work"/reads_*.log
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
