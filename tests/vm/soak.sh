#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=128M --timeout 120
#   soak.sh [CYCLES [FAILURES [SECONDS]]]
# Attach, dirty data, detach; and set failures, every fourth in a set that is clean; each within SECONDS, under readers and
# writers who check their data, while someone writes the knob that arms the rate work. `make soak` does many of them.
. "$(dirname "$0")/lib.sh"
# What udev does at each change of a disk would take most of the time, and is the subject of other tests.
quiet_udev
udevadm control --exit
export DM_DISABLE_UDEV=1
cycles=${1:-10} failures=${2:-6} limit=${3:-30}
back=$(disk back) dir=$(sysdir "$(disk back)")
sectors=$(blockdev --getsz "$(disk cache)")
linear="0 $sectors linear $(disk cache) 0"
go=/tmp/go settled=/tmp/settled failing=/tmp/failing
dmsetup create fragile --table "$linear"
cache=$(readlink -f /dev/mapper/fragile)
start_pair "$cache" "$back" --bucket 65536 >/dev/null
uuid=$(set_uuid "$cache")

# tune MODE RATE: how fast dirty data goes away at least, in sectors per second
tune() {
	put "$1" "$dir/cache_mode" && put 0 "$dir/sequential_cutoff" && put 0 "$dir/writeback_delay" &&
		put "$2" "$dir/writeback_rate_minimum" && no_congestion "$dir"
}
dirty_above() {
	[ "$(dirty_bytes "$back")" -gt "$1" ]
}
write_some() {
	dd if=/dev/urandom of="$(bcache_of "$back")" bs=64k count=8 seek=1024 oflag=direct,nonblock conv=nocreat status=none
}
detached() {
	[ ! -e "$dir/cache" ] && [ "$(cat "$dir/state")" = "no cache" ]
}
set_gone() {
	[ ! -e "$SYSFS/$uuid" ]
}
# ended [STATE]: the set is gone; the log says if there was dirty data, and so what has to become of the disk: with it, the end,
# without, a disk without a cache
ended() {
	local said
	set_gone || return
	said=$(dmesg | sed -n 's/.*stop_when_cache_set_failed of .* and cache is \([a-z]*\),.*/\1/p' | tail -n 1)
	[ "${1:-$said}" = "$said" ] || return
	case $said in
	dirty) [ ! -e "$dir" ] ;;
	clean) detached ;;
	*) return 1 ;;
	esac
}
# timed COMMAND...: it succeeds within the limit; counts how long that took
timed() {
	local start=${EPOCHREALTIME/[.,]/} ms
	within "$limit" "$@" || {
		echo "not within $limit s: $*"
		teardown_waits
		return 1
	}
	ms=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
	sum=$((sum + ms)) longest=$((ms > longest ? ms : longest))
}

one_cycle() {
	attached "$back" || put "$uuid" "$dir/attach" || return
	tune writeback 8 && write_some || return
	within "$limit" dirty_above 300000 || return
	[ $(($1 % 5)) != 0 ] || put 1 "$SYSFS/$uuid/internal/trigger_gc"
	put 1 "$dir/detach" || return
	timed detached
}
known() {
	local dev
	for dev in "$cache" "$back"; do
		[ -e "$(sysdir "$dev")" ] || put "$dev" $SYSFS/register_quiet || return
	done
	within 10 test -b "$(bcache_of "$back")" || return
	attached "$back" || put "$uuid" "$dir/attach"
}
one_failure() {
	local mode=writeback rate=8 state=
	[ $(($1 % 4)) != 0 ] || mode=writethrough rate=1000000 state=clean
	known || { echo "cannot be registered"; return 1; }
	tune $mode $rate || return
	if [ $mode = writethrough ]; then
		put 0 "$dir/writeback_percent"
		within "$limit" grep -q clean "$dir/state" || { echo "does not get clean"; return 1; }
	else
		write_some && within "$limit" dirty_above 300000 || { echo "nothing is dirty"; return 1; }
	fi
	put 1 "$SYSFS/$uuid/internal/trigger_gc"
	dm_table fragile "0 $sectors error" || return
	# If nobody else notices.
	write_some 2>/dev/null
	timed ended ${state:+"$state"} || return
	dm_table fragile "$linear"
}
# repeat NAME COUNT COMMAND: with the number of the round
repeat() {
	local name=$1 count=$2 i
	sum=0 longest=0
	for ((i = 1; i <= count; i++)); do
		"$3" "$i" >/tmp/round.log 2>&1 || break
		[ $((i % 20)) != 0 ] || note "$name $i: at most $longest ms, $((sum / i)) ms on average"
	done
	is "$name: rounds" $((i - 1)) "$count"
	[ "$i" -gt "$count" ] || {
		sed 's/^/# /' /tmp/round.log
		note "state $(cat "$dir/state" 2>/dev/null), dirty $(cat "$dir/dirty_data" 2>/dev/null)"
		dmesg | grep bcache | tail -n 10 | sed 's/^/# /'
	}
	note "$name: at most $longest ms, $((sum / (count > 0 ? count : 1))) ms on average"
}

touch $go
mkfifo /tmp/never
checkers=()
for first in 0 2048; do
	python3 "$(dirname "$0")/lib_stress.py" --cache-fails $failing "$back" $first 2048 100000 $settled $go >/tmp/checked.$first 2>&1 &
	checkers+=($!)
done
(
	while [ -e $go ]; do
		put $((RANDOM % 41)) "$dir/writeback_percent"
		# As sleep does, without a process for it.
		read -rt 0.05 <>/tmp/never
	done
) 2>/dev/null &

repeat "detach" "$cycles" one_cycle
touch $failing
repeat "set failure" "$failures" one_failure

rm $go
ok "all is there again" known
touch $settled
for i in 0 1; do
	wait "${checkers[i]}"
	result $? "the data of checker $i is right"
done
sed 's/^/# /' /tmp/checked.*
ok "no wait took more than a minute" sh -c '! dmesg | grep "for more than 60 seconds"'
ok "all stop" stop_all 60
dmsetup remove fragile
ok "the module unloads" unload
done_testing
