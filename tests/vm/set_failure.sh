#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=256M --timeout 420
# case: set_failure | H1, B3 | `writeback_percent` written while the set fails under load, 10 times (C: 5)
# The seed case: a metadata I/O error retires the set while writeback, controller, gc and user I/O are at work.
# Ten rounds (the soak has more); nothing may be used after it is freed, the backing device must behave as documented, and all ends.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
rounds=${ROUNDS:-10}
[ "$DRIVER" != c ] || rounds=5
size=$(blockdev --getsz "$cache")
linear="0 $size linear $cache 0"
dmsetup create fragile --table "$linear"
fragile=/dev/mapper/fragile
dm=$(readlink -f $fragile)

# dirty_above DEV BYTES
dirty_above() {
	[ "$(dirty_bytes "$1")" -gt "$2" ]
}

# written_above DISK SECTORS
written_above() {
	[ "$(awk '{ print $7 }' "/sys/block/$(basename "$1")/stat")" -gt "$2" ]
}

# because TEXT: why a round has not ended well
reasons=/run/reasons
because() {
	echo "$*" | tee -a "$reasons"
	return 1
}

# Someone keeps writing the knob that re-armed the rate work after its set was freed: as fast as can be, through one open file.
writer='$| = 1; open F, ">", $ARGV[0] or die; $SIG{TERM} = sub { print "$n\n"; exit }; $n = 0;
	syswrite F, "10\n" and $n++; open G, ">", $ARGV[1];
	while (1) { syswrite F, "10\n" and $n++ }'

one_round() {
	local bdev dir uuid start load writers=() n
	# This is a process of its own: what it has begun ends with it.
	trap 'kill $(jobs -p) 2>/dev/null' EXIT
	# However the round before has ended.
	dm_table fragile "$linear" || because "the disk cannot be exchanged" || return
	stop_all 20
	wipefs -qa "$back"
	bdev=$(start_pair $fragile "$back" --bucket 65536) || because "no device" || return
	dir=$(sysdir "$back")
	uuid=$(set_uuid $fragile)
	put writeback "$dir/cache_mode"
	put 0 "$dir/sequential_cutoff"
	put 1 "$dir/writeback_rate_update_seconds"
	put 0 "$dir/writeback_delay"
	no_congestion "$dir"
	[ "$1" = clean ] && put writethrough "$dir/cache_mode"
	fio --name=load --filename="$bdev" --direct=1 --ioengine=libaio --rw=randrw --bs=4k-32k --iodepth=8 --size=200M \
		--time_based --runtime=60 --continue_on_error=none --output-format=terse >/dev/null 2>&1 &
	load=$!
	if [ "$1" = dirty ]; then
		within 20 dirty_above "$back" 500000 || because "nothing dirty" || return
	else
		within 20 written_above "$bdev" 1000 || because "nothing written" || return
	fi
	put 1 "$SYSFS/$uuid/internal/trigger_gc"
	rm -f /run/begun.?
	for n in 1 2; do
		perl -e "$writer" "$dir/writeback_percent" /run/begun.$n >/run/writes.$n &
		writers+=($!)
	done
	within 20 test -e /run/begun.1 -a -e /run/begun.2 || because "nobody stores" || return
	dm_table fragile "0 $size error" || because "the disk cannot be exchanged" || return
	start=$SECONDS
	while [ -e "$SYSFS/$uuid" ] && [ $((SECONDS - start)) -lt 40 ]; do
		sleep 0.05
	done
	[ ! -e "$SYSFS/$uuid" ] || { teardown_waits; because "the set is still there after 40 s"; } || return
	kill "${writers[@]}"
	wait "${writers[@]}"
	n=$(cat /run/writes.? | awk '{ n += $1 } END { print n + 0 }')
	echo "$n" >>/run/stores
	[ "$n" -gt 100 ] || because "only $n stores" || return
	end_job $load || because "the load goes on" || return
	if [ "$1" = clean ]; then
		[ "$(cat "$dir/state")" = "no cache" ] || because "state $(cat "$dir/state")" || return
		dd if="$bdev" of=/dev/null bs=64k count=4 iflag=direct status=none || because "clean device does not answer" || return
	else
		within 20 test ! -e "$dir" || because "dirty device was not stopped" || return
	fi
	stop_all 20 || because "does not stop" || return
	dm_table fragile "$linear" || because "the disk cannot be exchanged" || return
	dd if=/dev/zero of=$fragile bs=1M count=4 oflag=direct status=none
}

for i in $(seq "$rounds"); do
	[ $((i % 4)) -eq 0 ] && kind=clean || kind=dirty
	ok "round $i, $kind" one_round $kind
done
bad=$_failed
others=$(sort -u "$reasons" 2>/dev/null | paste -sd ';' | sed 's/;/; /g')
stores=$(awk '{ n += $1 } END { print n + 0 }' /run/stores)
echo "# saw: set_failure: $((rounds - bad)) of $rounds rounds end well${others:+ ($others)}, under $stores stores"
note "$dm"
dmsetup remove fragile
ok "the module unloads" unload
done_testing
