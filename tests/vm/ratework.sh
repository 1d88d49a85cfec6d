#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=256M --timeout 300
# The rate work as debugfs shows it: armed, running, stopped by a detach while it is read and re-armed; what a
# teardown waits for; and a long wait, which is said in the log and ends well.
. "$(dirname "$0")/lib.sh"
quiet_udev
back=$(disk back) debug=/sys/kernel/debug
mountpoint -q $debug || mount -t debugfs none $debug
# The cache device can be made to stand still.
dmsetup create slow --table "0 $(blockdev --getsz "$(disk cache)") linear $(disk cache) 0"
cache=/dev/mapper/slow
file=$debug/bcache/$(basename "$back")/rate_work

# shown NAME: a line of the file
shown() {
	sed -n "s/^$1: //p" "$file"
}

# shows NAME VALUE
shows() {
	[ "$(shown "$1")" = "$2" ]
}

# above NAME N
above() {
	[ "$(shown "$1")" -gt "$2" ]
}

format_backing "$back"
ok "register the backing device" register "$back"
ok "no file without a set" test ! -e "$file"
format_cache $cache --bucket 65536
ok "register the cache" register $cache
uuid=$(set_uuid $cache)
dir=$(sysdir "$back")
ok "attach" put "$uuid" "$dir/attach"
bdev=$(bcache_of "$back")
is "phase" "$(shown phase)" armed
is "WB_RUNNING" "$(shown wb_running)" 1
is "RATE_DW_RUNNING" "$(shown rate_dw_running)" 0
is "waits for" "$(shown waits_for)" nothing
is "only root may read it" "$(stat -c %a "$file")" 400

# A change of the period counts from the last run, also if the run that is due was planned after a longer one.
put 60 "$dir/writeback_rate_update_seconds"
before=$(shown runs)
sleep 6
is "a longer period holds" "$(shown runs)" "$before"
put 1 "$dir/writeback_rate_update_seconds"
start=$(date +%s%N)
ok "a shorter period counts at once" within 5 above runs "$before"
at_most "milliseconds until the next run" $((($(date +%s%N) - start) / 1000000)) 4000
at_most "milliseconds since the last run" "$(shown last_run_ms_ago)" 4000

# Detach while one reads the file and another writes the knob that arms the work.
reads=0 cycles=0
for _ in $(seq 5); do
	touch /tmp/go
	(
		n=0
		while [ -e /tmp/go ]; do
			cat "$file" >/dev/null 2>&1 && n=$((n + 1))
		done
		echo $n >/tmp/reads
	) &
	(while [ -e /tmp/go ]; do put 10 "$dir/writeback_percent"; done) &
	sleep 1
	put 1 "$dir/detach"
	within 20 test ! -e "$file" || break
	within 20 test ! -e "$dir/cache" || break
	rm -f /tmp/go
	wait
	reads=$((reads + $(cat /tmp/reads)))
	[ "$(state "$back")" = "no cache" ] || break
	put "$uuid" "$dir/attach" || break
	shows phase armed || break
	cycles=$((cycles + 1))
done
rm -f /tmp/go
is "detach cycles under readers and writers" $cycles 5
at_least "reads of the file" "$reads" 10

# A request that does not end keeps the set from being freed, for as long as it takes.
put writethrough "$dir/cache_mode"
put 0 "$dir/sequential_cutoff"
no_congestion "$dir"
dd if=/dev/urandom of="$bdev" bs=64k count=16 oflag=direct status=none
sum=$(dd if="$bdev" bs=64k count=16 iflag=direct status=none | md5sum)
dmsetup suspend slow
(dd if="$bdev" bs=64k count=16 iflag=direct status=none | md5sum >/tmp/sum) &
reader=$!
sleep 1
put 15 /sys/module/bcache/parameters/teardown_warn_seconds
ok "a request is in the cache" within 5 above requests 0
put 1 "$dir/detach"
ok "the detach waits for it" within 20 shows waits_for "requests that use the cache"
is "the rate work has stopped" "$(shown phase)" stopped
is "WB_RUNNING" "$(shown wb_running)" 0
put 10 "$dir/writeback_percent"
is "and cannot be armed" "$(shown phase)" stopped
(put writethrough "$dir/cache_mode" && touch /tmp/stored) &
ok "who needs the register lock does not wait for it" within 5 test -e /tmp/stored
is "the superblock says already that there is no set" "$(bcache-super-show "$back" | awk '/dev.data.cache_state/ { print $2 }')" 0
said="waiting for requests that use the cache for more than 15 seconds"
ok "nothing is said yet" sh -c "! dmesg | grep -q '$said'"
ok "after 15 seconds the log says what it waits for" within 40 dmesg_says "$said"
ok "it goes on waiting" test -e "$file"
sleep 5
is "it is said once" "$(dmesg | grep -c "$said")" 1
dmsetup resume slow
wait $reader
result $? "the request ends"
is "with the right data" "$(cat /tmp/sum)" "$sum"
ok "the detach ends" within 20 test ! -e "$file"
is "the backing device has the data" "$(dd if="$bdev" bs=64k count=16 iflag=direct status=none | md5sum)" "$sum"

# What gc counted is not what the controller goes by (C then sees an empty cache).
sum=$(cat "$SYSFS/$uuid/cache_available_percent")
put 1 "$SYSFS/$uuid/clear_stats"
at_most "available buckets before clear_stats, percent" "$sum" 99
is "available buckets after clear_stats" "$(cat "$SYSFS/$uuid/cache_available_percent")" "$sum"

ok "attach again" put "$uuid" "$dir/attach"
ok "the file is back" test -e "$file"

# A cache that stands still keeps the last step of a detach from its end, too, and that can be seen.
dmsetup suspend slow
put 1 "$dir/detach"
ok "the detach waits for the uuid table" within 20 shows waits_for "the uuid table to be written"
dmsetup resume slow
ok "it ends" within 20 test ! -e "$file"
ok "attach again after that" put "$uuid" "$dir/attach"

# The sum of the errors belongs to the attachment. The thread keeps up with a rate this low, so that it grows.
integral() {
	sed -n 's/^integral:[[:space:]]*//p' "$dir/writeback_rate_debug"
}
grown() {
	[ "$(integral)" != 0.0k ]
}
put writeback "$dir/cache_mode"
put 0 "$SYSFS/$uuid/internal/idle_max_writeback_rate"
put 0 "$dir/writeback_delay"
put 1 "$dir/writeback_percent"
put 4294967295 "$dir/writeback_rate_p_term_inverse"
put 1000 "$dir/writeback_rate_i_term_inverse"
dd if=/dev/zero of="$bdev" bs=64k count=256 oflag=direct status=none
ok "the integral grows" within 20 grown
note "integral $(integral), dirty $(cat "$dir/dirty_data")"
put 1 "$dir/detach"
ok "detach with dirty data" within 60 test ! -e "$dir/cache"
ok "attach once more" put "$uuid" "$dir/attach"
dd if=/dev/zero of="$bdev" bs=64k count=1 oflag=direct status=none
runs=$(shown runs)
ok "two steps of the controller" within 10 above runs $((runs + 1))
is "a new attachment begins with no integral" "$(integral)" 0.0k
ok "unregister the set" put 1 "$SYSFS/$uuid/unregister"
ok "the file is gone with it" within 30 test ! -e "$file"
ok "stop" stop_all
dmsetup remove slow
ok "the module unloads" unload
ok "and takes its directory along" test ! -e $debug/bcache
done_testing
