#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=256M --disk back=184M --timeout 400
# Buckets of one page: the smallest nodes, so that the tree gets three levels; many priority buckets; a journal of many
# small buckets that wraps. Everything is read back, across a restart and after writeback.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
dev=$(start_pair "$cache" "$back" --bucket 4096 --block 512)
ok "a set with buckets of 4 KiB" test -b "$dev"
set_dir=$SYSFS/$(set_uuid "$cache")
internal=$set_dir/internal
show() {
	note "$1: depth $(cat "$set_dir/tree_depth") nodes $(cat "$internal/btree_nodes") splits $(cat "$internal/btree_split_average_frequency_sec") avail $(cat "$set_dir/cache_available_percent")% journal entries $(cat "$internal/active_journal_entries")"
}
sum() {
	dd if="$1" bs=1M iflag=direct status=none | md5sum
}
# The end of the journal, which is behind the first bucket.
journal_end() {
	bcache-super-show "$cache" | awk '/cache.first_sector/ { first = $2 } /cache.total_sectors/ { n = int($2 / 8 / 128) }
		END { print first + 8 * (n < 2 ? 2 : n > 256 ? 256 : n) }'
}
put writeback "$(sysdir "$back")/cache_mode"
put 0 "$(sysdir "$back")/sequential_cutoff"
put 0 "$(sysdir "$back")/writeback_running"
no_congestion "$(sysdir "$back")"

fio_verify "random 4k writes" "$dev" --rw=randwrite --bs=4k --size=80M --iodepth=16 --randseed=7
show written
ok "the tree has three levels" test "$(cat "$set_dir/tree_depth")" -ge 2
# What is appended to a node counts with its first block, which goes to the disk last.
trace_writes "$cache"
fio_verify "small and large writes over them" "$dev" --rw=randwrite --bsrange=512-32k --blockalign=512 --size=120M --offset=60M --io_size=20M --iodepth=8 --randseed=8
traced_writes >/tmp/writes
ok "the first block of what is appended goes last" python3 - "$(journal_end)" <<'END'
import sys
bucket, end = 8, int(sys.argv[1])
rest, appended = {}, 0
for line in open("/tmp/writes"):
    flags, sector, sectors = line.split()
    sector, sectors = int(sector), int(sectors)
    if "M" not in flags or sector < end or sector % bucket == 0:
        continue
    if flags.count("F") != 2:
        rest[sector] = sectors
    else:
        # One block is 512 bytes here; the rest of the set was written before.
        assert sectors == 1, line
        appended += 1
        rest.pop(sector + 1, None)
print(f"# {appended} sets were appended, {len(rest)} lack their first block")
assert appended > 20 and len(rest) <= 1
END
before=$(sum "$dev")
put 100000 "$internal/prune_cache"
put 100000 "$internal/prune_cache"
is "content after pruning with keys in the journal only" "$(sum "$dev")" "$before"
put 1 "$internal/trigger_gc"
sleep 1
show "after gc"
before=$(sum "$dev")
put 100000 "$internal/prune_cache"
is "content after pruning" "$(sum "$dev")" "$before"
note "priority buckets: $(($(blockdev --getsize64 "$cache") / 4096 * 3 / 4056 + 1))"
ok "everything stops" stop_all 60
ok "registers again" register "$back" "$cache"
ok "the disk is there" within 20 test -b "$dev"
show restarted
ok "still three levels" test "$(cat "$set_dir/tree_depth")" -ge 2
is "content after a restart" "$(sum "$dev")" "$before"
no_congestion "$(sysdir "$back")"
put 0 "$(sysdir "$back")/writeback_percent"
ok "clean in the end" within 200 grep -q clean "$(sysdir "$back")/state"
put 1 "$internal/gc_always_rewrite"
put 1 "$internal/trigger_gc"
sleep 2
show clean
ok "stops" stop_all 60
is "content of the backing device" "$(dd if="$back" bs=8192 skip=1 iflag=direct status=none | md5sum)" "$before"
ok "no complaint" no_complaint
done_testing
