#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk back2=128M --timeout 150
# case: minimum | H2, B11 | `writeback_rate_minimum` of 2^31, terms that are 0
# case: inverses | H4, B11 | `p_term_inverse` and `i_term_inverse` of 2^32 - 1
# case: stale_share | H5, B12 | target of a device after another of the same size was stopped
# case: integral | H6 | integral after a detach and an attach
# case: integral_inverse | H6 | integral part of the rate after `i_term_inverse` went from 1000 to 1
# What the controller makes of values at the borders, and of what an earlier time left behind.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)

# A divisor that makes a term 0, and is a valid one for C.
NONE=2147483647

case_minimum() {
	local rate
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_rate_p_term_inverse=$NONE writeback_rate_i_term_inverse=$NONE writeback_rate_minimum=2147483648 \
		writeback_percent=40 writeback_delay=0
	soil "$bdev" 8192
	sleep 2.5
	rate=$(number rate)
	ok "all is written back" within 5 is_clean "$dir"
	at_least "rate in bytes per second" "$rate" 900000000000
	saw "rate $rate B/s, $(cat "$dir/dirty_data") of 8M left after 2.5 s or more"
}

case_inverses() {
	local dirty
	a_pair "$cache" "$back" --bucket 65536
	set_to writeback_percent=1 writeback_delay=0 writeback_rate_p_term_inverse=$NONE writeback_rate_i_term_inverse=4294967295
	soil "$bdev" 8192
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

# with_target N: the controller has made a step and aims at a target above N bytes
with_target() {
	[ "$(number target)" -gt "$1" ]
}

case_stale_share() {
	local both alone back2
	back2=$(disk back2)
	a_pair "$cache" "$back" --bucket 65536
	format_backing "$back2"
	register "$back2"
	ok "a second device" put "$uuid" "$(sysdir "$back2")/attach"
	soil "$bdev" 1024
	ok "a step of the controller" within 5 with_target 0
	sleep 1.5
	both=$(number target)
	put 1 "$(sysdir "$back2")/stop"
	ok "the second one is stopped" within 20 test ! -e "$(sysdir "$back2")"
	within 4 with_target $((both * 3 / 2))
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
	sleep 2.5
	after=$(shown integral)
	is "integral part of a new attachment" "$after" 0.0k
	saw "$before/s before, $after/s after"
}

case_integral_inverse() {
	local before after
	an_integral
	# From now on the target is a little above what is dirty.
	set_to writeback_percent=14
	sleep 1.5
	before=$(shown integral)
	set_to writeback_rate_i_term_inverse=1
	sleep 1.5
	after=$(shown integral)
	at_most "integral part" "$(bytes_of "$after")" "$(bytes_of "$before")"
	saw "$before/s before, $after/s after"
}

run_cases "$@"
