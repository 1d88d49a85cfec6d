#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --timeout 120
# case: percent_without_set | B2 | `writeback_percent` written with no set attached
# case: percent_in_detach | H1, B3, B4 | `writeback_percent` written all through 5 detaches
# Somebody writes the knob that arms the rate work when it must not be armed.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)

case_percent_without_set() {
	format_backing "$back"
	register "$back"
	dir=$(sysdir "$back")
	put 1 "$dir/writeback_rate_update_seconds"
	for p in 20 0 30; do
		is "percent $p" "$(errno_of $p "$dir/writeback_percent")" OK
	done
	# As long as an update would take to come.
	sleep 2.5
	is "it is stored" "$(cat "$dir/writeback_percent")" 30
	ok "the device can still be used" dd if="$(bcache_of "$back")" of=/dev/null bs=4k count=1 iflag=direct
	saw "$(all_held && echo "stored, nothing else happens" || echo "not so")"
}

# rate_works SECONDS: how many works that may update a rate, once a second here, run more than once in that time; others, such as
# that of the statistics, come each 13 s
rate_works() {
	local trace=/sys/kernel/tracing
	echo >$trace/trace
	echo 1 >$trace/events/workqueue/workqueue_execute_start/enable
	sleep "$1"
	echo 0 >$trace/events/workqueue/workqueue_execute_start/enable
	sed -n 's/.*work struct \([^:]*\): function .*\(update_writeback_rate\|7delayed3run\).*/\1/p' $trace/trace | sort | uniq -d | wc -l
}

case_percent_in_detach() {
	local cycles=0 rearmed=0 writes writer writers
	mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
	a_pair "$cache" "$back" --bucket 65536
	ok "it is armed" put 10 "$dir/writeback_percent"
	at_least "works while it is attached" "$(rate_works 7)" 1
	# As fast as can be, through one open file.
	writer='$| = 1; open F, ">", $ARGV[0] or die; $SIG{TERM} = sub { print "$n\n"; exit }; $n = 0;
		while (1) { syswrite F, "10\n" and $n++ }'
	perl -e "$writer" "$dir/writeback_percent" >/tmp/writes.1 &
	writers=$!
	perl -e "$writer" "$dir/writeback_percent" >/tmp/writes.2 &
	writers+=" $!"
	for _ in 1 2 3 4 5; do
		put 1 "$dir/detach"
		within 20 test ! -e "$dir/cache" || break
		# A work that was armed again comes after a second, and again.
		rearmed=$((rearmed + $(rate_works 2.5)))
		put "$uuid" "$dir/attach" || break
		cycles=$((cycles + 1))
	done
	# shellcheck disable=SC2086
	kill $writers
	wait
	writes=$(cat /tmp/writes.? | awk '{ n += $1 } END { print n }')
	is "cycles" $cycles 5
	is "works after the end of the attachment" $rearmed 0
	at_least "stores meanwhile" "$writes" 100
	saw "$cycles of 5 cycles under $writes stores; $rearmed works go on after them"
}

run_cases "$@"
