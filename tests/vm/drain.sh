#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=256M --disk back=512M --timeout 240
# Dirty data drains at the rate of the controller, to nothing; the state becomes clean; the data is right.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
bdev=$(start_pair "$cache" "$back" --bucket 65536)
dir=$(sysdir "$back")
put writeback "$dir/cache_mode"
put 0 "$dir/sequential_cutoff"
put 0 "$dir/writeback_delay"
put 0 "$dir/cache/internal/idle_max_writeback_rate"
no_congestion "$dir"
put 0 "$dir/writeback_running"
put 1 "$dir/writeback_rate_update_seconds"
# Nobody else does I/O here: the idle set would go to full speed.
put 0 "$(echo "$SYSFS"/*-*)/internal/idle_max_writeback_rate"
ok "write dirty data" fio --name=w --filename="$bdev" --direct=1 --ioengine=libaio --rw=randwrite --bs=4k \
	--iodepth=16 --size=128M --io_size=40M --randseed=7 --verify=crc32c --do_verify=0
at_least "dirty bytes" "$(dirty_bytes "$back")" 35000000
is "state" "$(state "$back")" dirty
is "on disk too" "$(bcache-super-show "$back" | awk '/dev.data.cache_state/ { print $2 }')" 2
before=$(dirty_bytes "$back")
sleep 3
is "writeback_running=0 holds it" "$(dirty_bytes "$back")" "$before"

note "$(tr '\n' ' ' <"$dir/writeback_rate_debug")"
is "writeback_rate_debug has seven lines" "$(wc -l <"$dir/writeback_rate_debug")" 7
put 4096 "$dir/writeback_rate_minimum"
put 40 "$dir/writeback_percent"
put 1 "$dir/writeback_running"
sleep 4
a=$(dirty_bytes "$back") start=${EPOCHREALTIME/[.,]/}
sleep 5
b=$(dirty_bytes "$back") took=$((${EPOCHREALTIME/[.,]/} - start))
drained=$(((a - b) * 1000000 / took))
is "the rate is the minimum still" "$(sed -n 's/^rate:[[:space:]]*//p' "$dir/writeback_rate_debug")" 2.0M/sec
at_least "dirty bytes still" "$b" 1
note "drained $drained bytes per second at a rate of 4096 sectors per second"
at_most "not faster than twice the rate" $drained 4300000
at_least "not slower than half the rate" $drained 1000000

# written: bytes written to the backing device so far
written() {
	awk '{ print $7 * 512 }' "/sys/block/$(basename "$back")/stat"
}
# In this order: what is written back between the two is no part of it.
a=$(dirty_bytes "$back")
before=$(written)
put 0 "$dir/writeback_percent"
ok "without limit it drains to nothing" within 60 sh -c "[ \"\$(cat $dir/dirty_data)\" = 0.0k ]"
# Each key once: dirty data, superblocks, and what was under way.
at_most "bytes written for that" $(($(written) - before)) $((a + (2 << 20)))
is "keys that could not be made clean" "$(cat "$dir/writeback_keys_failed" 2>/dev/null || cat "$dir/cache/internal/writeback_keys_failed")" 0
ok "the state becomes clean" within 40 sh -c "[ \"\$(cat $dir/state)\" = clean ]"
sync
is "on disk too" "$(bcache-super-show "$back" | awk '/dev.data.cache_state/ { print $2 }')" 1
ok "stop" stop_all
size=$(blockdev --getsz "$back")
dmsetup create raw --table "0 $((size - 16)) linear $back 16"
ok "the backing device alone holds the data" fio --name=w --filename=/dev/mapper/raw --direct=1 --ioengine=libaio \
	--rw=randwrite --bs=4k --iodepth=16 --size=128M --io_size=40M --randseed=7 --verify=crc32c --verify_only \
	--output-format=terse
dmsetup remove raw
done_testing
