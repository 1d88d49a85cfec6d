#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk stays_cache=64M --disk stays_back=16M --timeout 900
# debug
# case: attach_allocations | B20, B54, H12 | each allocation of an attach fails in turn
# Allocations fail: each one of attach and of the registrations in turn, which must leave nothing behind; and a third of
# those that do not wait, system-wide, while fio writes and verifies and the cache is collected and written back.
# In turn are those of the task that stores to the file; and for an attach those of kthreadd for the threads that it is asked for,
# but for their stacks: there the kernel complains.
# With the name of the case: only the attach; with a number N behind it: only every N-th allocation of it.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
fail=/sys/kernel/debug/failslab
# The lab's kernel says which allocation fails in each case; that would only fill the log.
for f in failslab fail_page_alloc; do
	echo 0 >/sys/kernel/debug/$f/verbose
	echo N >/sys/kernel/debug/$f/ignore-gfp-wait
done
# Single pages, too, and those of vmalloc.
echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
echo N >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem

# nth N TEXT FILE [TASK]
nth() {
	python3 "$(dirname "$0")/lib_fail.py" "$@"
}

# sweep NAME LIMIT TEXT FILE [TASK]: fails one allocation after the other of a store, every $each-th of the first $all and then each
# twentieth part further on; calls after_ok, after_error. There are more than $least of them.
each=1 least=32
sweep() {
	local name=$1 limit=$2 n=1 failed=0 lived=0 result reached
	shift 2
	while [ $n -le "$limit" ]; do
		read -r result reached < <(nth $n "$@")
		if [ "$result" = ok ]; then
			after_ok || break
			[ "$reached" = yes ] || break
			lived=$((lived + 1))
		else
			after_error || break
			failed=$((failed + 1))
		fi
		n=$((n + (n < all ? each : n / 20)))
	done
	swept="$name: allocations 1 to $n: the store failed $failed times, went on $lived times"
	note "$swept"
	ok "$name with failing allocations" test $(((failed + lived) * each)) -gt $least -a "$reached" = no
}

# A pair that stays, so that the caches of bios of each size are there: the kernel complains when one cannot be made.
start_pair "$(disk stays_cache)" "$(disk stays_back)" --bucket 65536 >/dev/null
result $? "another pair"

# One that knows its set and waits for it: its disk is not looked at for partitions, where the kernel complains, too.
start_pair "$cache" "$back" --bucket 65536 >/dev/null
result $? "the pair"
uuid=$(set_uuid "$cache")
dir=$(sysdir "$back")

# stopped DIRECTORY OF A DEVICE OR SET
stopped() {
	put 1 "$1/stop"
	within 20 test ! -e "$1"
}
after_ok() {
	stopped "$dir"
}
after_error() {
	within 20 test ! -e "$dir"
}
ok "it stops" stopped "$dir"
ok "its set, too" stopped "$SYSFS/$uuid"
all=300
[ $# -gt 0 ] || sweep "registration of a backing device" 4000 "$back" $SYSFS/register
all=60
after_ok() {
	stopped "$SYSFS/$uuid"
}
after_error() {
	within 20 test ! -e "$SYSFS/$uuid"
}
[ $# -gt 0 ] || sweep "registration of a cache" 4000 "$cache" $SYSFS/register

ok "both register when there is memory" register "$cache" "$back"
ok "they are attached" attached "$back"
put 1 "$dir/detach"
ok "and detached" within 20 test ! -e "$dir/cache"
detached() {
	[ ! -e "$dir/cache" ] && [ "$(state "$back")" = "no cache" ]
}
# threads N: so many devices have a writeback thread; an attach of a moment ago may not have named its own
threads() {
	[ "$(pgrep -c '^bcache_writebac')" = "$1" ]
}
# Only links and files of debugfs may lack, as in C: the rest of an attach that went on is there.
after_ok() {
	local file=/sys/kernel/debug/bcache/${back##*/}/rate_work
	[ "$(state "$back")" = clean ] && within 5 threads 2 || return
	[ ! -e "$file" ] || grep -qx "phase: armed" "$file" || return
	put 1 "$dir/detach"
	within 20 detached
}
# What an attach that failed has left can be stopped and had again, as can its set.
after_error() {
	detached && within 5 threads 1 && stopped "$dir" || return
	if [ $((failed % 8)) = 7 ]; then
		stopped "$SYSFS/$uuid" && register "$cache" || return
	fi
	register "$back" && detached
}
all=4000 each=${2:-1}
sweep "attach" 4000 "$uuid" "$dir/attach"
saw=$swept each=1 least=4
# Of a task that is made, what is no part of its stack.
for c in task_struct sighand_cache signal_cache cred pid kmalloc-128 kmalloc-192 kmalloc-256 kmalloc-512; do
	put 1 /sys/kernel/slab/$c/failslab
done
put Y $fail/cache-filter
put 20 /sys/kernel/debug/fail_page_alloc/min-order
sweep "attach, where threads are made" 4000 "$uuid" "$dir/attach" 2
put 0 /sys/kernel/debug/fail_page_alloc/min-order
put N $fail/cache-filter
echo "# saw: attach_allocations: $saw; ${swept/attach, where threads are made/kthreadd}"
ok "attach when there is memory" put "$uuid" "$dir/attach"
if [ $# -gt 0 ]; then
	ok "all stop" stop_all
	done_testing
fi

# A device that comes to its set while that is there: it goes on without one if it cannot be attached, and can be later.
# The links alone may have failed, as in C: it is attached then. If not, nothing of the attach is left, and the next works.
after_ok() {
	if [ ! -e "$dir/cache" ] && within 5 threads 1; then
		put "$uuid" "$dir/attach" && attached "$back" || return
	fi
	within 5 threads 2 && stopped "$dir"
}
after_error() {
	within 20 test ! -e "$dir"
}
all=100 each=1 least=32
ok "the device is stopped" stopped "$dir"
sweep "registration of a device whose set is there" 4000 "$back" $SYSFS/register
ok "registered when there is memory" register "$back"
ok "it is attached" attached "$back"

dev=$(bcache_of "$back")
put writeback "$dir/cache_mode"
put 0 "$dir/sequential_cutoff"
no_congestion "$dir"
for f in failslab fail_page_alloc; do
	echo Y >/sys/kernel/debug/$f/ignore-gfp-wait
done
echo 30 >$fail/probability
echo 1000000 >$fail/times
fio_verify "writes while a third of the allocations fail" "$dev" --rw=randwrite --bsrange=4k-64k --size=96M --io_size=24M --iodepth=16 --randseed=3
put 1 "$SYSFS/$uuid/internal/trigger_gc"
fio_verify "and reads of what is not cached" "$dev" --rw=randrw --bs=16k --size=96M --io_size=8M --iodepth=16 --randseed=4
put 0 "$dir/writeback_percent"
ok "all is written back" within 100 grep -q clean "$dir/state"
at_most "failures that are left of 1000000" "$(cat $fail/times)" 999000
echo 0 >$fail/probability
ok "all stop" stop_all
ok "the module unloads" unload
done_testing
