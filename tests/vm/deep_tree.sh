#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=256M --disk back=184M --timeout 400
# long
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
# The first sector of the journal, and the one behind it.
journal() {
	bcache-super-show "$cache" | awk '/cache.first_sector/ { first = $2 } /cache.total_sectors/ { n = int($2 / 8 / 128) }
		END { print first, first + 8 * (n < 2 ? 2 : n > 256 ? 256 : n) }'
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
# An entry of the journal is no entry if what it speaks of is not on the disk, nor if it is not there itself.
# shellcheck disable=SC2046
ok "the first block of what is appended goes last, the journal flushes" python3 - $(journal) <<'END'
import sys
bucket, first, end = 8, int(sys.argv[1]), int(sys.argv[2])
rest, appended, entries = {}, 0, 0
for line in open("/tmp/writes"):
    flags, sector, sectors = line.split()
    sector, sectors = int(sector), int(sectors)
    if first <= sector < end:
        assert flags.count("F") == 2, line
        entries += 1
    if "M" not in flags or sector < end or sector % bucket == 0:
        continue
    if flags.count("F") != 2:
        rest[sector] = sectors
    else:
        # One block is 512 bytes here; the rest of the set was written before.
        assert sectors == 1, line
        appended += 1
        rest.pop(sector + 1, None)
print(f"# {entries} entries of the journal; {appended} sets were appended, {len(rest)} lack their first block")
assert entries > 20 and appended > 20 and len(rest) <= 1
END
before=$(sum "$dev")
# Keys that are in the journal only, in nodes of which memory could do without. What was pruned last was not used since.
fresh() {
	python3 - "$dev" "$1" <<'END'
import hashlib, mmap, os, sys
what, page = sys.argv[2], mmap.mmap(-1, 4096)
fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
right = 0
for i in range(96):
    text = hashlib.sha256(b"%d" % i).digest() * 128
    if what == "write":
        page[:] = text
        os.pwrite(fd, page, i << 20)
    else:
        os.preadv(fd, [page], i << 20)
        right += page[:] == text
print(right)
END
}
cached() {
	bytes_of "$(cat "$set_dir/btree_cache_size")"
}
put 100000 "$internal/prune_cache"
fresh write >/dev/null
at_least "nodes with keys that are not written" "$(sed -n 's/^unwritten sets:[[:space:]]*//p' "$set_dir/internal/bset_tree_stats")" 1
full=$(cached)
put 100000 "$internal/prune_cache"
put 100000 "$internal/prune_cache"
at_most "bytes of the index in memory after pruning" "$(cached)" $((full - 1))
is "blocks after pruning with keys in the journal only" "$(fresh read)" 96
before=$(sum "$dev")
put 1 "$internal/trigger_gc"
sleep 1
show "after gc"
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
