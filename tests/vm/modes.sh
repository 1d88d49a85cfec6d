#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=96M --disk back=512M --timeout 400
# Every cache mode keeps what was written, over a working set larger than the cache.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
bdev=$(start_pair "$cache" "$back" --bucket 65536)
ok "a device attached to a set" test -b "$bdev"
dir=$(sysdir "$back")
put 0 "$dir/sequential_cutoff"
no_congestion "$dir"

for mode in writethrough writeback writearound none; do
	ok "$mode can be chosen" put "$mode" "$dir/cache_mode"
	fio_verify "$mode: random, 4 KiB to 128 KiB, depth 32" "$bdev" --rw=randwrite \
		--bsrange=4k-128k --iodepth=32 --size=128M --io_size=128M
	fio_verify "$mode: reads and writes mixed" "$bdev" --rw=randrw --bs=4k --iodepth=16 \
		--offset=128M --size=64M --io_size=24M
done
note "misses $(cat "$dir/stats_total/cache_misses")"
at_least "hits" "$(cat "$dir/stats_total/cache_hits")" 1000
ok "gc and reclaim leave the set alive" test -e "$dir/cache"
ok "stop" stop_all
done_testing
