#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk held=16M --timeout 400
# idle
# case: failing_keys | H19 | detach while the backing device takes no write, `io_error_limit` out of reach
# case: failed_disk | - | detach and unregister while the backing device takes no write, for good
# case: superblock | - | detach of a clean device whose disk takes no superblock; then with a stop, and with few errors to the limit
# case: stopped_first | - | detach while the backing device takes no write, stop, and then the disk is given up
# case: between_stores | - | detach right behind 200 stores, while the thread waits for `writeback_delay`, an hour; 20 times
# case: behind_attach | - | a detach that could end while another device is being attached, which takes long
# case: two_reasons | - | detach and stop while the backing device takes no write for long, and then while the disk is open for another one
# case: endless_io | - | detach under I/O that does not end
# A detach that cannot end yet does not turn in circles, says why, and ends as soon as it can. One that can never end does not
# hold the set, nor lose what is dirty.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)

# table LINE: what is below the backing device from now on, behind its first 16 MiB
table() {
	local head="0 32768 linear $back 0"
	dmsetup suspend --nolockfs fragile && dmsetup load fragile --table "$head
32768 $((size - 32768)) $1" && dmsetup resume fragile
}

# fragile_pair: the backing device is one whose table can be changed; sets size, fragile
fragile_pair() {
	size=$(blockdev --getsz "$back")
	dmsetup create fragile --table "0 $size linear $back 0"
	fragile=$(readlink -f /dev/mapper/fragile)
	a_pair "$cache" "$fragile" --bucket 65536
}

# errors_above N
errors_above() {
	[ "$(cat "$dir/io_errors")" -gt "$1" ]
}

case_failing_keys() {
	local size errors start fragile took waits
	fragile_pair
	set_to writeback_running=0 io_error_limit=2147483647
	fio --name=soil --filename="$bdev" --rw=randwrite --bs=4k --offset=32M --size=64M --io_size=512k --direct=1 \
		--ioengine=libaio --iodepth=8 --randseed=1 --output-format=terse >/dev/null
	ok "the disk takes no write any more" table error
	put 1 "$dir/detach"
	sleep 6
	errors=$(cat "$dir/io_errors")
	at_most "attempts in 6 s" "$errors" 640
	ok "there are more and more" within 30 errors_above 16
	is "state" "$(state "$fragile")" dirty
	ok "it is attached still" test -e "$dir/cache"
	if [ "$DRIVER" != c ]; then
		waits=$(sed -n 's/^waits_for: //p' "$debug/bcache/$(basename "$fragile")/rate_work")
		is "the device waits for" "$waits" "dirty data to be written back"
		saw "waits for: $waits"
		is "the set waits for nothing" "$(sed -n 's/^waits_for: //p' "$debug/bcache/$uuid/teardown")" nothing
		put 1 "$SYSFS/$uuid/unregister"
		ok "the set says what it waits for" within 5 grep -qx "waits_for: its devices to leave it" "$debug/bcache/$uuid/teardown"
	fi
	ok "the log says that it tries again" dmesg_says "could not be written back, trying again"
	table "linear $back 32768"
	start=$EPOCHREALTIME
	ok "the detach ends" within 20 test ! -e "$dir/cache"
	took=$(since "$start")
	is "state" "$(state "$fragile")" "no cache"
	saw "$errors attempts in 6 s; the detach ends $took ms after the disk is healed"
	stop_all
	dmsetup remove fragile
}

case_failed_disk() {
	local size start fragile fio dev
	fragile_pair
	# A slow machine makes few attempts in each pass, and the passes are ever further apart.
	set_to writeback_running=0 io_error_limit=8
	fio=(fio --name=soil --filename="$bdev" --rw=randwrite --bs=4k --offset=32M --size=1M --direct=1 --ioengine=libaio --iodepth=8
		--randseed=1 --verify=crc32c --output-format=terse)
	"${fio[@]}" --do_verify=0 >/dev/null
	ok "the disk takes no write any more" table error
	start=$EPOCHREALTIME
	put 1 "$dir/detach"
	put 1 "$SYSFS/$uuid/unregister"
	if within 60 test ! -e "$SYSFS/$uuid"; then
		saw "device and set are gone after $(since "$start") ms"
	else
		saw "device and set are there after 60 s"
	fi
	ok "the set is gone" test ! -e "$SYSFS/$uuid"
	ok "the device is gone" test ! -e "$dir"
	table "linear $back 32768"
	register "$cache" "$fragile"
	ok "attached again" within 20 attached "$fragile"
	is "state" "$(state "$fragile")" dirty
	dev=$(bcache_of "$fragile")
	ok "what was dirty is there" "${fio[@]/#--filename=*/--filename=$dev}" --verify_only
	saw "then, with a healed disk, $(cat "$dir/dirty_data") dirty"
	stop_all
	dmsetup remove fragile
}

# on_disk: the state in the superblock, as it is on the disk
on_disk() {
	blockdev --flushbufs "$back"
	bcache-super-show "$back" | sed -n 's/^dev.data.cache_state[[:space:]]*[0-9]* \[\(.*\)\]$/\1/p'
}

case_superblock() {
	local size start fragile first
	fragile_pair
	set_to io_error_limit=2147483647 cache_mode=writethrough
	soil "$bdev" 64
	is "state" "$(state "$fragile")" clean
	ok "the disk takes nothing" dm_table fragile "0 $size error"
	start=$EPOCHREALTIME
	put 1 "$dir/detach"
	if within 3 test ! -e "$dir/cache"; then
		first="over after $(since "$start") ms, the disk says: $(on_disk)"
		fails "the detach waits for the superblock" true
		ok "the disk is healed" dm_table fragile "0 $size linear $back 0"
	else
		ok "the file says what it waits for" within 10 says rate_work "waits_for: its superblock to be written"
		ok "the log says that it tries again" within 10 dmesg_says "its superblock could not be written, trying again"
		is "the superblock" "$(on_disk)" clean
		ok "the disk is healed" dm_table fragile "0 $size linear $back 0"
		ok "the detach ends" within 40 test ! -e "$dir/cache"
		is "then the superblock" "$(on_disk)" detached
		first="waits for its superblock to be written, and ends when it is"
	fi
	refused_and stop "with a stop the device is gone"
	register "$fragile"
	ok "the device is there again" within 10 test -e "$dir/stop"
	refused_and limit "at the limit of errors it is stopped"
	saw "$first"
	stop_all
	dmsetup remove fragile
}

# refused_and stop|limit WHAT: the superblock of another detach is refused, and something else happens
refused_and() {
	local start
	attached "$fragile" || put "$uuid" "$dir/attach"
	ok "attached again" within 10 attached "$fragile"
	set_to io_error_limit=2147483647
	ok "the disk takes nothing again" dm_table fragile "0 $size error"
	[ "$1" = stop ] || set_to io_error_limit=$(($(cat "$dir/io_errors") + 3))
	start=$EPOCHREALTIME
	put 1 "$dir/detach"
	[ "$1" = limit ] || put 1 "$dir/stop"
	if within 30 test ! -e "$dir"; then
		first+="; $2 after $(since "$start") ms"
	else
		first+="; $2: no"
		[ "$DRIVER" = c ]
		result $? "$2"
	fi
	ok "the disk is healed" dm_table fragile "0 $size linear $back 0"
}

case_stopped_first() {
	local size start fragile
	fragile_pair
	set_to writeback_running=0 io_error_limit=2147483647
	soil "$bdev" 512 32768
	ok "the disk takes no write any more" table error
	put 1 "$dir/detach"
	sleep 1
	put 1 "$dir/stop"
	sleep 1
	ok "the device is there" test -e "$dir"
	start=$EPOCHREALTIME
	# The next error is one too many. (After a minute the driver looks anyway.)
	set_to io_error_limit=1
	if within 30 test ! -e "$dir"; then
		saw "the device is gone after $(since "$start") ms"
	else
		saw "the device is there after 30 s"
	fi
	ok "the device is gone" test ! -e "$dir"
	table "linear $back 32768"
	register "$fragile"
	ok "attached again" within 20 attached "$fragile"
	is "state" "$(state "$fragile")" dirty
	stop_all
	dmsetup remove fragile
}

# says NAME LINE: a file of the device in debugfs
says() {
	grep -qx "$2" "$debug/bcache/$(basename "$fragile")/$1"
}

# is_stuck PID: it waits for something that no signal ends
is_stuck() {
	grep -q '^State:.D' "/proc/$1/status"
}

case_behind_attach() {
	local size start fragile held attach
	# The kernel's own word on who stores to the file is not what this is about.
	put 0 /proc/sys/kernel/hung_task_timeout_secs
	fragile_pair
	held=$(disk held)
	format_backing "$held"
	dmsetup create held --table "0 $(blockdev --getsz "$held") linear $held 0"
	held=$(readlink -f /dev/mapper/held)
	register "$held"
	set_to writeback_running=0
	soil "$bdev" 512 32768
	dmsetup suspend --noflush --nolockfs fragile
	put 1 "$dir/detach"
	dmsetup suspend --noflush --nolockfs held
	long_is 5
	echo "$uuid" >"$(sysdir "$held")/attach" &
	attach=$!
	ok "the attach does not get on" within 20 is_stuck $attach
	dmsetup resume --noudevsync fragile
	if [ "$DRIVER" != c ]; then
		ok "the file says what the detach waits for" within 30 says rate_work "waits_for: another registration, attach or detach to end"
		ok "the log says that nothing can end" within 30 dmesg_says "nothing can end before another registration, attach or detach, which takes more than 5 seconds"
	else
		sleep 75
	fi
	ok "the detach is not over" test -e "$dir/cache"
	dmsetup resume --noudevsync held
	start=$EPOCHREALTIME
	wait $attach
	result $? "the attach ends"
	ok "the detach ends" within 20 test ! -e "$dir/cache"
	if dmesg_says "nothing can end before"; then
		saw "the log says why it does not end; it ends $(since "$start") ms after the attach can"
	else
		saw "the log says nothing for 75 s; it ends $(since "$start") ms after the attach can"
	fi
	stop_all
	dmsetup remove held
	dmsetup remove fragile
	put 30 /proc/sys/kernel/hung_task_timeout_secs
	long_is 60
}

# waited_for TEXT: the log says that the device has waited for that for long
waited_for() {
	dmesg_says "bcache: $(basename "$fragile"): waiting for $1 for more than 5 seconds"
}

case_two_reasons() {
	local size start fragile holder reason said
	fragile_pair
	set_to writeback_running=0
	soil "$bdev" 512 32768
	exec {holder}<"$bdev"
	dmsetup suspend --noflush --nolockfs fragile
	long_is 5
	put 1 "$dir/detach"
	put 1 "$dir/stop"
	if [ "$DRIVER" != c ]; then
		ok "the first reason is said" within 30 waited_for "dirty data to be written back"
	else
		sleep 65
	fi
	dmsetup resume --noudevsync fragile
	ok "the device leaves its set" within 30 test ! -e "$dir/cache"
	start=$SECONDS
	if [ "$DRIVER" != c ]; then
		ok "the second one, too" within 30 waited_for "the disk to be closed"
		at_least "seconds that it has waited for that" $((SECONDS - start)) 3
	else
		sleep 65
	fi
	said=0
	for reason in "dirty data to be written back" "the disk to be closed"; do
		! waited_for "$reason" || said=$((said + 1))
	done
	case $said in
	2) saw "both are said, each in its time" ;;
	1) saw "one is said, the other is not" ;;
	0) saw "the log says nothing" ;;
	esac
	exec {holder}<&-
	ok "closed, the device goes" within 20 test ! -e "$dir"
	long_is 60
	dmsetup remove fragile
}

# stores_and_detach ROUND: the last store of many is that of a detach, some microseconds behind the others
stores_and_detach() {
	python3 - "$dir" "$1" <<-'END'
		import os, sys, time
		percent, detach = (os.open(f"{sys.argv[1]}/{name}", os.O_WRONLY) for name in ("writeback_percent", "detach"))
		for n in range(200):
		    os.pwrite(percent, b"%d\n" % (10 + n % 20), 0)
		until = time.perf_counter_ns() + int(sys.argv[2]) * 5000
		while time.perf_counter_ns() < until:
		    pass
		os.pwrite(detach, b"1\n", 0)
	END
}

written_back() {
	[ "$(cat "$dir/dirty_data")" = 0.0k ]
}

case_between_stores() {
	local start took longest=0 rounds=0
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_delay=3600
	while [ $rounds -lt 20 ]; do
		soil "$bdev" 4
		within 10 written_back || break
		start=$EPOCHREALTIME
		stores_and_detach $rounds
		within 30 test ! -e "$dir/cache" || break
		took=$(since "$start")
		longest=$((took > longest ? took : longest))
		rounds=$((rounds + 1))
		put "$uuid" "$dir/attach" || break
	done
	is "detaches that ended in time" $rounds 20
	if [ $rounds = 20 ]; then
		saw "each ends within $longest ms"
	else
		saw "one does not end in 8 s, after $rounds others"
		put 0 "$dir/writeback_percent"
	fi
}

is_dirty() {
	[ "$(dirty_bytes "$back")" -gt $((1 << 20)) ]
}

case_endless_io() {
	local start took fio
	a_pair "$cache" "$back" --bucket 65536
	fio --name=load --filename="$bdev" --direct=1 --ioengine=libaio --rw=randrw --bs=4k --iodepth=32 --numjobs=2 --size=100M \
		--time_based --runtime=90 --output-format=terse >/tmp/load.log 2>&1 &
	fio=$!
	ok "there is dirty data" within 40 is_dirty
	put 1 "$dir/detach"
	start=$EPOCHREALTIME
	ok "the detach ends" within 40 test ! -e "$dir/cache"
	took=$(since "$start")
	ok "the I/O goes on" kill -0 $fio
	is "requests that failed meanwhile" "$(grep -c 'io_u error' /tmp/load.log)" 0
	if [ -e "$dir/cache" ]; then
		saw "not over after 40 s"
	else
		saw "over after $took ms"
	fi
	kill $fio
	wait $fio
}

run_cases "$@"
