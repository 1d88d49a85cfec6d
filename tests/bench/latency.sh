#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's half of scripts/bench-latency, in a guest with --icount: a cache in memory before one hard disk's model
# (tests/vm/lib_seeking_disk.py). Its clock stands still while nobody works, so that the times are those of the disk and of the
# driver's instructions, a nanosecond each, and the same on every machine.
# Says lines "saw NAME VALUE": raw-in-order-kib-per-s, of the disk alone; NAME-kib-per-s, NAME-depth, and NAME-p50, -p99, -p99.9, -max in microseconds.
. "$(dirname "$0")/lib.sh"
quiet_udev
modprobe brd rd_nr=1 rd_size=$((64 * 1024))
modprobe nbd nbds_max=1
cache=/dev/ram0 back=/dev/nbd0
KEYS=4500
python3 "$(dirname "$0")/lib_seeking_disk.py" $back 160

# --- what the disk can do: as many blocks, as far apart, in the order in which they are on it, by 64 requests at a time ---
python3 - $back $KEYS >raw.log <<'END'
import random, sys

disk, keys = sys.argv[1], int(sys.argv[2])
print("fio version 2 iolog", f"{disk} add", f"{disk} open", sep="\n")
for block in sorted(random.Random(42).sample(range(128 << 8), keys)):
    print(disk, "write", block << 12, 4096)
print(disk, "close")
END
fio --name=raw --read_iolog=raw.log --replay_no_stall=1 --direct=1 --ioengine=libaio --iodepth=64 --output-format=json |
	jq -r '.jobs[0].write | "saw raw-in-order-kib-per-s \(.io_bytes / 1024 * 1000 / .runtime | floor)"'

bdev=$(start_pair $cache $back --bucket 65536) || exit 1
dir=$(sysdir $back)
put writeback "$dir/cache_mode"
put 0 "$dir/sequential_cutoff"
put 0 "$dir/writeback_delay"
put 0 "$dir/writeback_percent"
put 0 "$dir/writeback_running"
put 0 "$dir/cache/internal/idle_max_writeback_rate"
no_congestion "$dir"
FIO=(fio --name=run --filename="$bdev" --direct=1 --ioengine=libaio --bs=4k --randseed=42 --allrandrepeat=1 --invalidate=0)

# dirty: KEYS dirty keys of 4 KiB, at random in 128 MiB
dirty() {
	"${FIO[@]}" --rw=randwrite --size=128M --number_ios=$KEYS --iodepth=8 >/dev/null
}

# clean: waits until nothing is dirty
clean() {
	local state='' end=$((SECONDS + 300))
	while read -r state <"$dir/state" && [ "$state" != clean ]; do
		[ $SECONDS -lt $end ] || exit 1
		sleep 0.02
	done
}

# queued: milliseconds that requests have spent on the disk, all of them together
queued() {
	local f
	read -ra f <"/sys/class/block/${back#/dev/}/stat" && echo "${f[10]}"
}

# foreground NAME FIO-OPTION...: 2000 requests of a user, one at a time, with a rest of 1 ms after each
foreground() {
	local name=$1
	shift
	"${FIO[@]}" --number_ios=2000 --thinktime=1ms --percentile_list=50:99:99.9 --output-format=json "$@" |
		jq -r --arg n "$name" '.jobs[0] | (if .write.total_ios > 0 then .write else .read end).clat_ns |
			"saw \($n)-p50 \(.percentile["50.000000"] / 1000)", "saw \($n)-p99 \(.percentile["99.000000"] / 1000)",
			"saw \($n)-p99.9 \(.percentile["99.900000"] / 1000)", "saw \($n)-max \(.max / 1000)"'
}

# synced NAME: the same for what fsync takes after each of 500 writes
synced() {
	"${FIO[@]}" --number_ios=500 --percentile_list=50:99:99.9 --output-format=json --rw=randwrite --size=8M --fsync=1 |
		jq -r --arg n "$1" '.jobs[0].sync.lat_ns | "saw \($n)-p50 \(.percentile["50.000000"] / 1000)",
			"saw \($n)-p99 \(.percentile["99.000000"] / 1000)", "saw \($n)-max \(.max / 1000)"'
}

# throughput NAME: how fast dirty data goes back, and how many requests the disk has to choose from, on average
throughput() {
	local start before took
	put 0 "$dir/writeback_running"
	dirty
	start=${EPOCHREALTIME/./} before=$(queued)
	put 1 "$dir/writeback_running"
	clean
	took=$((${EPOCHREALTIME/./} - start))
	echo "saw $1-kib-per-s $((KEYS * 4 * 1000000 / took))"
	echo "saw $1-depth $(bc <<<"scale=2; ($(queued) - $before) * 1000 / $took")"
}

# --- with a rate that is more than the disk can do, then without a limit ---
put 1 "$dir/writeback_rate_update_seconds"
put 16384 "$dir/writeback_rate_minimum"
put 40 "$dir/writeback_percent"
sleep 2
throughput writeback-at-8-MiB
put 0 "$dir/writeback_percent"
throughput writeback-unlimited

# --- a user's writes to what is cached: alone, while dirty data goes back, while gc is asked for again and again ---
put 0 "$dir/writeback_running"
foreground idle-write --rw=randwrite --size=8M
synced idle-fsync
put 1 "$dir/writeback_running"
clean
put 0 "$dir/writeback_running"
dirty
put 1 "$dir/writeback_running"
foreground writeback-write --rw=randwrite --size=8M
clean
put 0 "$dir/writeback_running"
dirty
put 1 "$dir/writeback_running"
synced writeback-fsync
clean
put 0 "$dir/writeback_running"
(while sleep 0.05; do put 1 "$dir/cache/internal/trigger_gc"; done) &
gc=$!
foreground gc-write --rw=randwrite --size=8M
foreground gc-hit --rw=randread --size=8M
kill $gc
wait $gc 2>/dev/null

# --- the same when every bucket of the cache is in use ---
put 1 "$dir/writeback_running"
clean
fio --name=fill --filename="$bdev" --direct=1 --bs=256k --rw=write --size=96M >/dev/null
clean
foreground full-write --rw=randwrite --size=64M
stop_all 60 || exit 1
