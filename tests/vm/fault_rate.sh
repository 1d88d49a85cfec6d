#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk back2=128M --timeout 240
# case: minimum | H2, B11 | `writeback_rate_minimum` of 2^31, then of 2^32 - 1, terms that are 0
# case: inverses | H4, B11 | `p_term_inverse` and `i_term_inverse` of 2^32 - 1
# case: stale_share | H5, B12 | target of a device after another of the same size was stopped
# case: integral | H6 | integral after a detach and an attach
# case: tail | B10 | the rest of the dirty data of a fragmented cache: rate with less than a sector in each bucket in use
# case: busy_neighbour | B7 | full speed of an idle device beside a busy one of its set
# case: integral_inverse | H6 | integral part of the rate after `i_term_inverse` went from 1000 to 1
# What the controller makes of values at the borders, and of what an earlier time left behind.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)

# A divisor that makes a term 0, and is a valid one for C.
NONE=2147483647

case_minimum() {
	local minimum rate
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_rate_p_term_inverse=$NONE writeback_rate_i_term_inverse=$NONE writeback_percent=40 writeback_delay=0
	for minimum in 2147483648 4294967295; do
		set_to writeback_rate_minimum=$minimum
		soil "$bdev" 8192
		sleep 2.5
		rate=$(number rate)
		ok "$minimum: all is written back" within 30 is_clean "$dir"
		at_least "$minimum: rate in bytes per second" "$rate" 900000000000
		saw "$minimum: rate $rate B/s, $(cat "$dir/dirty_data") of 8M left after 2.5 s or more"
	done
}

case_inverses() {
	local dirty
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_percent=1 writeback_delay=0 writeback_rate_p_term_inverse=$NONE writeback_rate_i_term_inverse=4294967295
	# Small keys: the thread keeps up with them, without which nothing is summed up.
	soil_randomly 8M
	ok "a step of the controller" within 8 with_target 0
	sleep 3.5
	is "integral part above the target" "$(shown integral)" 0.0k
	saw "above the target: integral part $(shown integral)"
	set_to writeback_percent=40 writeback_rate_p_term_inverse=4294967295 writeback_rate_i_term_inverse=$NONE
	sleep 2.5
	dirty=$(cat "$dir/dirty_data")
	is "rate below the target" "$(shown rate)" 4.0k/sec
	at_least "dirty data below the target" "$(bytes_of "$dirty")" 3000000
	saw "below it: rate $(shown rate), $dirty of 8M left"
}

# used_up: more than half of the buckets hold dirty data, as gc knows. A write that finds no bucket goes past the cache.
used_up() {
	dd if=/dev/zero of="$bdev" bs=64k count=680 oflag=direct status=none
	put 1 "$SYSFS/$uuid/internal/trigger_gc"
	sleep 1
	[ "$(cat "$SYSFS/$uuid/cache_available_percent")" -lt 45 ]
}

case_tail() {
	a_pair "$cache" "$back" --bucket 4096 --block 512
	set_to writeback_running=0
	ok "more than half of the buckets are in use" within 40 used_up
	# Down to less than a sector for each of them; gc does not look again before the device is clean.
	set_to writeback_percent=40 writeback_delay=0 writeback_rate_minimum=16384 writeback_running=1
	ok "much is written back" within 40 dirty_below $((16 << 20))
	# So slowly that a slow machine does not come too late.
	set_to writeback_rate_minimum=4096
	ok "more is written back" within 40 dirty_below $((5 << 20))
	set_to writeback_rate_minimum=1024
	ok "most is written back" within 40 dirty_below $((2560 << 10))
	set_to writeback_rate_minimum=8
	sleep 2.5
	# More than 8,192 buckets: a sector of each in ten minutes.
	at_least "rate in bytes per second" "$(number rate)" 6900
	at_least "dirty data" "$(bytes_of "$(cat "$dir/dirty_data")")" 1
	saw "$(cat "$dir/dirty_data") are left: $(shown rate)"
}

# with_target N: the controller has made a step and aims at a target above N bytes
with_target() {
	[ "$(number target)" -gt "$1" ]
}

with_target_below() {
	[ "$(number target)" -lt "$1" ]
}

case_stale_share() {
	local both alone back2
	back2=$(disk back2)
	a_pair "$cache" "$back" --bucket 65536
	format_backing "$back2"
	register "$back2"
	ok "a second device" put "$uuid" "$(sysdir "$back2")/attach"
	soil "$bdev" 1024
	ok "a step of the controller" within 20 with_target 0
	sleep 1.5
	both=$(number target)
	put 1 "$(sysdir "$back2")/detach"
	ok "the second one is detached" within 20 test ! -e "$(sysdir "$back2")/cache"
	ok "that gives its share back, too" within 20 with_target $((both * 3 / 2))
	ok "it is attached again" put "$uuid" "$(sysdir "$back2")/attach"
	ok "and has its share" within 20 with_target_below $((both * 3 / 2))
	put 1 "$(sysdir "$back2")/stop"
	ok "the second one is stopped" within 20 test ! -e "$(sysdir "$back2")"
	within 20 with_target $((both * 3 / 2))
	alone=$(number target)
	at_least "target without it" "$alone" $((both * 3 / 2))
	saw "target $((both / 1024)) KiB with it, $((alone / 1024)) KiB without"
}

# soil_randomly BYTES: in 64 MiB, in blocks of 4 KiB that do not follow on each other
soil_randomly() {
	fio --name=soil --filename="$bdev" --rw=randwrite --bs=4k --size=64M --io_size="$1" --direct=1 --ioengine=libaio \
		--iodepth=8 --randseed=1 --output-format=terse >/dev/null
}

# an_integral: the rate has an integral part; the thread keeps up with a rate that low, so that it grows
an_integral() {
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_percent=1 writeback_delay=0 writeback_rate_p_term_inverse=$NONE writeback_rate_i_term_inverse=1000
	soil_randomly 8M
	ok "the integral grows" within 15 has_integral 32768
}

# has_integral N: above N bytes per second
has_integral() {
	[ "$(number integral)" -gt "$1" ]
}

# runs: of the controller
runs() {
	sed -n 's/^runs: //p' "$debug/bcache/$(basename "$back")/rate_work"
}
more_runs_than() {
	[ "$(runs)" -gt "$1" ]
}

# some_steps: the controller has made two more, one a second
some_steps() {
	if [ "$DRIVER" = c ]; then
		sleep 2.5
	else
		ok "steps of the controller" within 20 more_runs_than $(($(runs) + 1))
	fi
}

case_integral() {
	local before after
	an_integral
	before=$(shown integral)
	put 1 "$dir/detach"
	ok "detach" within 30 test ! -e "$dir/cache"
	ok "attach" put "$uuid" "$dir/attach"
	# The controller's next steps see dirty data that is a little below the target.
	set_to writeback_running=0 writeback_percent=0
	soil_randomly 8M
	set_to writeback_percent=14 writeback_running=1
	some_steps
	after=$(shown integral)
	is "integral part of a new attachment" "$after" 0.0k
	saw "$before/s before, $after/s after"
}

case_integral_inverse() {
	local before after
	an_integral
	# From now on the target is a little above what is dirty.
	set_to writeback_percent=14
	some_steps
	before=$(shown integral)
	set_to writeback_rate_i_term_inverse=1
	some_steps
	after=$(shown integral)
	at_most "integral part" "$(bytes_of "$after")" "$(bytes_of "$before")"
	saw "$before/s before, $after/s after"
}

# at_maximum: the one that is set
at_maximum() {
	[ "$(shown rate)" = 2.0M/sec ]
}

# last_step: law, rate and reason of the last step of $back
last_step() {
	tail -n 1 "$steps" | cut -d, -f3,9,13
}
last_step_is() {
	last_step | grep -qx "$1"
}

case_busy_neighbour() {
	local back2 bdev2 start user steps
	back2=$(disk back2)
	a_pair "$cache" "$back" --bucket 65536
	format_backing "$back2"
	register "$back2"
	ok "a second device" put "$uuid" "$(sysdir "$back2")/attach"
	bdev2=$(bcache_of "$back2")
	while dd if="$bdev2" of=/dev/null bs=4k count=1 iflag=direct status=none; do
		sleep 0.3
	done &
	user=$!
	set_to writeback_percent=40
	put 1 "$SYSFS/$uuid/internal/idle_max_writeback_rate"
	soil "$bdev" 8192
	start=$EPOCHREALTIME
	ok "full speed" within 20 at_full_speed
	if at_full_speed; then
		saw "full speed after $(since "$start") ms"
	else
		saw "none in 20 s"
	fi
	ok "the neighbour is busy still" kill -0 $user
	if [ "$DRIVER" != c ]; then
		is "what is in force without asking" "$(cat "$dir"/writeback_{controller,rate_maximum,latency_target_us} | tr '\n' ' ')" \
			"[pi] adaptive latency 2147483647 20000 "
		# No update will come that would have to do with it.
		set_to writeback_rate_update_seconds=60
		put 4096 "$dir/writeback_rate_maximum"
		ok "not above the maximum that is set" within 2 at_maximum
		steps=$debug/bcache/$(basename "$back")/rate_steps
		is "the record of a step" "$(head -n 1 "$steps")" step,ms,law,dirty,target,error,proportional,integral,rate,change,inflow,latency_us,reason
		# Idleness stands there once, as it began.
		is "law, rate and reason of the last one" "$(last_step)" pi,2147483647,idle
		ok "an earlier one has the terms" grep -q ',terms$\|,minimum$' "$steps"
		# What is above the maximum from then on is so by a step, not by the store.
		dd if=/dev/zero of="$bdev" bs=4k count=1 oflag=direct status=none
		set_to writeback_rate_update_seconds=1
		ok "idleness ends" within 5 last_step_is "pi,[0-9]*,[tm].*"
		ok "and begins, not above the maximum" within 20 last_step_is pi,4096,idle
		ok "the rate" at_maximum
		is "steps are numbered" "$(sed 1d "$steps" | cut -d, -f1 | awk 'NR > 1 && $1 != last + 1 { bad++ } { last = $1 } END { print bad + 0 }')" 0
	fi
	kill $user
	wait $user 2>/dev/null
}

run_cases "$@"
