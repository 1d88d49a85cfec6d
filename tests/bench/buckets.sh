#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A part of scripts/bench-latency, in a guest with --icount: a cache of 1,048,576 buckets, all free, and 8192 writes that take
# one each. How long does the allocator's thread keep its lock, while it looks for buckets, and how long does a write take?
# Both wait for a mutex with the same functions of the kernel, which are traced (C: bucket_lock; here: that of the free lists).
# Says lines "saw NAME VALUE" in microseconds: buckets-1m-lock-max, buckets-1m-write-p99.9, -max.
. "$(dirname "$0")/lib.sh"
quiet_udev
modprobe brd rd_nr=1 rd_size=$((128 * 1024))
# Its memory is what was written to it.
modprobe null_blk nr_devices=1 queue_mode=0 gb=8 memory_backed=1
cache=/dev/nullb0 back=/dev/ram0
# 8 KiB: C dies with smaller ones
bdev=$(start_pair $cache $back --bucket 8192) || exit 1
dir=$(sysdir $back)
put writeback "$dir/cache_mode"
put 0 "$dir/sequential_cutoff"
put 0 "$dir/writeback_running"
no_congestion "$dir"
FIO=(fio --name=run --direct=1 --ioengine=libaio --bs=8k --size=64M --thinktime=1ms --thinktime_blocks=32 --output-format=json)
# What fio itself needs is in memory from then on.
"${FIO[@]}" --filename=$back --readonly --rw=randread --number_ios=1000 >/dev/null

trace=/sys/kernel/tracing
mountpoint -q $trace || mount -t tracefs tracefs $trace
echo 40000 >$trace/buffer_size_kb
echo 'p:take mutex_lock lock=%di:x64' >$trace/kprobe_events
echo 'r:taken mutex_lock' >>$trace/kprobe_events
echo 'p:drop mutex_unlock lock=%di:x64' >>$trace/kprobe_events
for event in take taken drop; do
	echo 'comm ~ "bcache_alloc*"' >$trace/events/kprobes/$event/filter
done
echo 1 >$trace/events/kprobes/enable
"${FIO[@]}" --filename="$bdev" --rw=randwrite --number_ios=8192 --percentile_list=99.9 --lat_percentiles=1 |
	jq -r '.jobs[0].write.lat_ns | "saw buckets-1m-write-p99.9 \(.percentile["99.900000"] / 1000)", "saw buckets-1m-write-max \(.max / 1000)"'
echo 0 >$trace/events/kprobes/enable

# The lock of which the thread has most: the one under which it searches.
awk '
	match($0, / [0-9]+\.[0-9]+: /) { now = substr($0, RSTART + 1, RLENGTH - 3); what = substr($0, RSTART + RLENGTH) }
	what ~ /^take:/ { wants = $NF }
	what ~ /^taken:/ { since[wants] = now }
	what ~ /^drop:/ && ($NF in since) {
		held = (now - since[$NF]) * 1000000
		if (held > most[$NF]) most[$NF] = held
		delete since[$NF]
		if (++times[$NF] > times[best]) best = $NF
	}
	END {
		if (times[best] < 1000) exit 1
		printf "saw buckets-1m-lock-max %.0f\n", most[best]
	}' $trace/trace || {
	echo "the lock was not seen to be taken"
	exit 1
}
stop_all 60 || exit 1
