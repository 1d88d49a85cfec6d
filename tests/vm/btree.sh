#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=256M --disk back=168M --timeout 500
# long
# The index under load: many small extents in small nodes, so that leaves split and the tree grows; gc, memory pressure,
# restarts with and without a clean end; everything is read back.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
dev=$(start_pair "$cache" "$back" --bucket 8192)
set_dir=$SYSFS/$(set_uuid "$cache")
internal=$set_dir/internal
show() {
	note "$1: depth $(cat "$set_dir/tree_depth") nodes $(cat "$internal/btree_nodes") root $(cat "$set_dir/root_usage_percent")% used $(cat "$internal/btree_used_percent")% avail $(cat "$set_dir/cache_available_percent")% cache $(cat "$set_dir/btree_cache_size") key $(cat "$set_dir/average_key_size")"
}
put writeback "$(sysdir "$back")/cache_mode"
put 0 "$(sysdir "$back")/sequential_cutoff"
put 0 "$(sysdir "$back")/writeback_running"
put 0 "$set_dir/congested_read_threshold_us"
put 0 "$set_dir/congested_write_threshold_us"

fio_verify "random 4k writes" "$dev" --rw=randwrite --bs=4k --size=96M --io_size=32M --iodepth=16 --norandommap --randseed=7
show written
put 1 "$internal/trigger_gc"
sleep 2
show "after gc"
fio_verify "small writes over large ones" "$dev" --rw=randwrite --bsrange=512-64k --blockalign=512 --size=64M --offset=96M --io_size=40M --iodepth=8 --randseed=8
show written
sum() {
	dd if="$1" bs=1M iflag=direct status=none | md5sum
}
before=$(sum "$dev")
put 1 "$internal/gc_always_rewrite"
put 1 "$internal/copy_gc_enabled"
put 1 "$internal/trigger_gc"
sleep 2
show "after rewrite"
put 0 "$internal/gc_always_rewrite"
is "content after gc" "$(sum "$dev")" "$before"
put 100000 "$internal/prune_cache"
put 100000 "$internal/prune_cache"
show pruned
is "content after pruning" "$(sum "$dev")" "$before"
show "read back"
put 1 "$(sysdir "$back")/writeback_running"
ok "everything stops" stop_all 60
ok "registers again" register "$back" "$cache"
ok "disk is there" within 20 test -b /dev/bcache0
dev=$(bcache_of "$back")
show restarted
is "content after a restart" "$(sum "$dev")" "$before"
put 0 "$(sysdir "$back")/writeback_percent"
ok "clean in the end" within 150 grep -q clean "$(sysdir "$back")/state"
put 1 "$internal/trigger_gc"
sleep 3
show clean
is "content after writeback" "$(sum "$dev")" "$before"
ok "stops" stop_all 60
is "content of the backing device" "$(dd if="$back" bs=8192 skip=1 iflag=direct status=none | md5sum)" "$before"
ok "no complaint" no_complaint
done_testing
