#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --timeout 150
# case: delay_wraps | H15 | `writeback_delay` of 17179870 s, 2^32 / HZ and a bit
# case: delay | B17 | `writeback_delay` from 3600 to 0 while the thread waits
# case: running | B17 | `writeback_running` 0 in the middle of 8 MiB
# case: percent | B17 | `writeback_percent` 0 (no limit) at a rate of 1
# case: target | B17 | `writeback_percent` from 40 to 1, a minute before the next update
# case: period | H16 | `writeback_rate_update_seconds` from 60 to 1
# Settings take effect when they are stored.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)

# nothing_dirty
nothing_dirty() {
	[ "$(cat "$dir/dirty_data")" = 0.0k ]
}

# after_a_scan DELAY: all is written back, and the thread waits for so many seconds
after_a_scan() {
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_percent=0 "writeback_delay=$1"
	soil "$bdev" 4
	ok "a first scan" within 5 nothing_dirty
	# The last keys are made clean before the thread waits.
	sleep 1.5
	soil "$bdev" 64 1024
}

case_delay_wraps() {
	local start=$EPOCHREALTIME
	after_a_scan 17179870
	is "dirty data" "$(cat "$dir/dirty_data")" 64.0k
	start=$EPOCHREALTIME
	fails "a scan in 4 s" within 4 nothing_dirty
	if nothing_dirty; then
		saw "the next scan after $(since "$start") ms"
	else
		saw "no scan in 4 s"
	fi
}

case_delay() {
	local start
	after_a_scan 3600
	sleep 1
	is "dirty data" "$(cat "$dir/dirty_data")" 64.0k
	set_to writeback_delay=0
	start=$EPOCHREALTIME
	ok "all is written back" within 5 nothing_dirty
	if nothing_dirty; then
		saw "written back after $(since "$start") ms"
	else
		saw "not written back in 5 s"
	fi
}

# slow_pair RATE: 8 MiB in small keys are written back at that rate, which no step of the controller changes
slow_pair() {
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_running=0 writeback_percent=40 writeback_rate_update_seconds=60
	# A step that was due sooner is over by then. C only looks at the period when that is.
	sleep "$([ "$DRIVER" = c ] && echo 6 || echo 1.5)"
	fio --name=soil --filename="$bdev" --rw=randwrite --bs=4k --size=64M --io_size=8M --direct=1 --ioengine=libaio \
		--iodepth=8 --randseed=1 --output-format=terse >/dev/null
	set_to "writeback_rate=$1" writeback_running=1
}

# less_dirty BYTES
less_dirty() {
	[ "$(dirty_bytes "$back")" -lt "$1" ]
}

case_running() {
	local before after start
	slow_pair 512
	ok "writeback is at work" within 10 less_dirty 8000000
	set_to writeback_running=0
	# What was under way ends, and is settled.
	sleep 1.5
	before=$(dirty_bytes "$back")
	sleep 3
	after=$(dirty_bytes "$back")
	is "dirty data, 3 s later" "$after" "$before"
	set_to writeback_running=1
	start=$EPOCHREALTIME
	ok "and on again" within 5 less_dirty "$after"
	saw "$(((before - after) / 1024)) KiB written back in the next 3 s"
}

# a_wait_began: the thread has just begun to wait, for 2.5 s as long as the rate is 1
a_wait_began() {
	local next
	next=$(shown "next io")
	[ "${next%ms}" -gt 2200 ]
}

case_percent() {
	local before start limit=2000
	# There a command alone may take a second.
	[ "${KERNEL:-}" != debug ] || limit=8000
	slow_pair 1
	ok "the thread waits" within 10 a_wait_began
	start=$EPOCHREALTIME
	before=$(dirty_bytes "$back")
	set_to writeback_percent=0
	ok "writeback is without limit" within 10 less_dirty "$before"
	at_most "milliseconds" "$(since "$start")" $limit
	saw "more is written back after $(since "$start") ms"
}

# rate_is_not TEXT
rate_is_not() {
	[ "$(shown rate)" != "$1" ]
}

# a_minute_before: the next step of the controller is far away, and the rate is the one that was stored
a_minute_before() {
	slow_pair 4
	# The step that was armed when the device was attached is over by then.
	sleep 5
	set_to writeback_rate=4
	is "the rate is the one stored" "$(shown rate)" 2.0k/sec
	sleep 1
	is "and stays" "$(shown rate)" 2.0k/sec
}

# another_rate WHAT IF NOT NAME=VALUE: soon after that is set the rate is no longer the first one
another_rate() {
	local start
	a_minute_before
	set_to "$3"
	start=$EPOCHREALTIME
	ok "$1" within 5 rate_is_not 2.0k/sec
	if rate_is_not 2.0k/sec; then
		saw "$1 after $(since "$start") ms"
	else
		saw "$2"
	fi
}

case_target() {
	another_rate "another rate" "the same rate for 5 s" writeback_percent=1
}

case_period() {
	another_rate "a step" "no step in 5 s" writeback_rate_update_seconds=1
}

run_cases "$@"
