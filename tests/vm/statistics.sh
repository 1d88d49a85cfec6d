#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=64M --timeout 100
# What the journal counts in the internal directory of a set, after as many entries as fill it more than once.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
bdev=$(start_pair "$cache" "$back" --bucket 65536)
dir=$(sysdir "$back")
internal=$SYSFS/$(set_uuid "$cache")/internal
put 0 "$dir/sequential_cutoff"
no_congestion "$dir"
# Of 1024 buckets one in 128 is the journal's. An entry takes a block of 512 bytes.
buckets=8 per_bucket=128 entries=2500
put writeback "$dir/cache_mode"
# No entry is written but for these.
put 0 "$dir/writeback_running"
count() {
	cat "$internal/$1"
}
# writes KIB: each with an fsync, spread over so much
writes() {
	ok "$entries writes over $1 KiB, each with an fsync" fio --name=load --filename="$bdev" --rw=randwrite --bs=4k --size="$1k" \
		--io_size=$((entries * 4))k --norandommap --direct=1 --fsync=1 --output=/tmp/fio.log
}
reclaimed=$(count reclaimed_journal_buckets) reclaim=$(count reclaim)
writes 32768
reclaimed=$(($(count reclaimed_journal_buckets) - reclaimed))
reclaim=$(($(count reclaim) - reclaim))
note "$reclaimed buckets of the journal, $reclaim looks for room, $(count active_journal_entries) entries are in use"
at_least "each bucket of the journal that comes to be written counts" $reclaimed $((entries / per_bucket - 1))
at_most "and once" $reclaimed $((entries / per_bucket * 13 / 10))
at_least "looks for room, at least one for each entry" $reclaim $entries
at_most "entries in use" "$(count active_journal_entries)" $((buckets * per_bucket))
# A leaf with one key is not written for what it has.
flushed=$(count flush_write)
writes 4
flushed=$(($(count flush_write) - flushed))
at_least "a full journal has leaves written" $flushed 1
at_most "and seldom" $flushed $((entries / per_bucket))
ok "all stop" stop_all
done_testing
