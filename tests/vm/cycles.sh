#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=256M --disk back2=256M --timeout 300
# long
# Attach, detach, stop, unregister, again and again, under fio. Every cycle has to end in bounded time.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back) back2=$(disk back2)
bdev=$(start_pair "$cache" "$back" --bucket 65536)
uuid=$(set_uuid "$cache")
format_backing "$back2"
ok "a second backing device" register "$back2"
ok "on the same set" put "$uuid" "$(sysdir "$back2")/attach"
ok "both attached" attached "$back2"
dir=$(sysdir "$back")
put writeback "$dir/cache_mode"
put 0 "$dir/writeback_percent"
no_congestion "$dir"

load() {
	fio --name=load --filename="$1" --direct=1 --ioengine=libaio --rw=randrw --bs=4k-64k --iodepth=8 \
		--size=200M --time_based --runtime="$2" --output-format=terse >/tmp/load.log 2>&1
}

longest=0 cycles=0
for i in $(seq 8); do
	load "$bdev" 4 &
	load=$!
	sleep 1
	start=$SECONDS
	put 1 "$dir/detach"
	within 30 test ! -e "$dir/cache" || break
	took=$((SECONDS - start))
	[ "$took" -le "$longest" ] || longest=$took
	wait $load || break
	is "cycle $i: state after detach" "$(state "$back")" "no cache"
	put "$uuid" "$dir/attach" || break
	put 0 "$dir/writeback_percent"
	no_congestion "$dir"
	cycles=$((cycles + 1))
done
is "detach cycles under fio" "$cycles" 8
at_most "longest detach in seconds" "$longest" 30
fio_verify "data after the cycles" "$bdev" --rw=randwrite --bs=16k --iodepth=8 --size=32M

cycles=0
for _ in 1 2 3; do
	load "$bdev" 3 &
	load=$!
	sleep 1
	put 1 "$SYSFS/$uuid/unregister"
	within 40 test ! -e "$SYSFS/$uuid" || break
	wait $load || break
	register "$cache" || break
	put "$uuid" "$dir/attach" || break
	put "$uuid" "$(sysdir "$back2")/attach" || break
	cycles=$((cycles + 1))
done
is "unregister cycles under fio" "$cycles" 3
ok "attached at the end" attached "$back"

cycles=0
put 0 "$dir/sequential_cutoff"
for _ in 1 2 3 4 5; do
	no_congestion "$dir"
	put 0 "$dir/writeback_running"
	dd if=/dev/urandom of="$bdev" bs=64k count=64 oflag=direct status=none
	sum=$(dd if="$bdev" bs=64k count=64 iflag=direct status=none | md5sum)
	[ "$(dirty_bytes "$back")" -gt 1000000 ] || break
	stop_all || break
	register "$back" "$cache" "$back2" || break
	within 10 test -b "$bdev" || break
	[ "$(dd if="$bdev" bs=64k count=64 iflag=direct status=none | md5sum)" = "$sum" ] || break
	cycles=$((cycles + 1))
done
is "stop and register cycles with dirty data" "$cycles" 5
ok "everything stops" stop_all
ok "the module unloads" unload
done_testing
