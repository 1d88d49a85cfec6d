#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=128M --timeout 240
# debug
# Requests fail by chance: those of the backing device, of the cache, of both. Whatever comes to an end by that can be had
# again once the disks are well, and what was acknowledged is there; of a cache that failed, what was synced.
. "$(dirname "$0")/lib.sh"
quiet_udev
fail=/sys/kernel/debug/fail_make_request
go=/tmp/go settled=/tmp/settled failing=/tmp/failing
cache=$(disk cache) back=$(disk back) dir=$(sysdir "$(disk back)")

# unwell 0|1 DISK...: whether these fail requests
unwell() {
	local state=$1 d
	shift
	for d; do
		put "$state" "/sys/block/${d##*/}/make-it-fail"
	done
}
tune() {
	put writeback "$dir/cache_mode" && put 0 "$dir/sequential_cutoff" && put 0 "$dir/writeback_delay" &&
		put 1 "$dir/writeback_percent" && put 10000 "$dir/writeback_rate_minimum" && no_congestion "$dir"
}
# known: all is registered and attached; as often as that is tried, it may fail
known() {
	local dev
	for dev in "$cache" "$back"; do
		[ -e "$(sysdir "$dev")" ] || put "$dev" $SYSFS/register_quiet || return
	done
	[ -b "$(bcache_of "$back")" ] || return
	attached "$back" || put "$uuid" "$dir/attach" || return
	tune
}
detached() {
	[ ! -e "$dir/cache" ] && [ "$(cat "$dir/state")" = "no cache" ]
}
# failures: how many requests failed so far
failures() {
	echo $((100000 - $(cat $fail/times)))
}
# phase NAME INTERVAL DISK...: each so manieth request of these disks fails with a probability of a half
phase() {
	local name=$1 interval=$2 checker end ended
	shift 2
	start_pair "$cache" "$back" --bucket 65536 >/dev/null
	uuid=$(set_uuid "$cache")
	ok "$name: begins" known
	dd if=/dev/zero of="$(bcache_of "$back")" bs=1M count=16 oflag=direct conv=fsync status=none
	rm -f $settled $failing
	[[ " $* " != *" $cache "* ]] || touch $failing
	touch $go
	python3 "$(dirname "$0")/lib_stress.py" --requests-fail --cache-fails $failing "$back" 0 4096 1000 $settled $go >/tmp/checked 2>&1 &
	checker=$!
	put 100000 $fail/times && put "$interval" $fail/interval && put 50 $fail/probability
	unwell 1 "$@"
	end=$((SECONDS + 20))
	# A busy host gets through fewer requests in that time.
	while [ $SECONDS -lt $end ] || { [ "$(failures)" -lt 10 ] && [ $SECONDS -lt $((end + 60)) ]; }; do
		known 2>/dev/null
		sleep 0.3
	done
	unwell 0 "$@"
	at_least "$name: requests that failed" "$(failures)" 10
	ended=$(dmesg | grep -c 'Cache set .* unregistered')
	note "$name: ends of the set $((ended - ended_before)), of the device $(($(dmesg | grep -c 'bcache[0-9]* stopped') - stopped_before))"
	ok "$name: all is there again" within 30 known
	put 0 "$dir/writeback_percent"
	put 1 "$dir/detach"
	rm $go
	ok "$name: all is written back" within 30 detached
	touch $settled
	wait $checker
	result $? "$name: the data is right"
	sed 's/^/# /' /tmp/checked
	ok "$name: all stop" stop_all 60
	ended_before=$ended
	stopped_before=$(dmesg | grep -c 'bcache[0-9]* stopped')
}

mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
put 0 $fail/verbose
ended_before=0 stopped_before=0
phase "backing device" 20 "$back"
phase "cache" 100 "$cache"
phase "both" 100 "$cache" "$back"
ok "no wait took more than a minute" sh -c '! dmesg | grep "for more than 60 seconds"'
done_testing
