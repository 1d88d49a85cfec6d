#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=512M --timeout 420
# case: eight | B3, B21, B32 | eight devices of a set, dirty and under load, end at once
# Eight devices on one set, all with dirty data and under load, end at once: by the stop of their set, by its end
# (unregister), each by a detach or a stop of its own, and by a set that fails. Each time all is gone in bounded time, and the
# data is there again.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) big=$(disk back)
sectors=$(blockdev --getsz "$cache")
dmsetup create fragile --table "0 $sectors linear $cache 0"
cache=$(readlink -f /dev/mapper/fragile)
backs=()
for i in $(seq 0 7); do
	dmsetup create "back$i" --table "0 98304 linear $big $((i * 98304))"
	backs+=("$(readlink -f "/dev/mapper/back$i")")
	format_backing "${backs[i]}" || note "cannot format ${backs[i]}"
done
dmsetup create held --table "0 32768 linear $big $((8 * 98304))"
format_backing "$(readlink -f /dev/mapper/held)"
format_cache "$cache" --bucket 65536
uuid=$(set_uuid "$cache")
ok "register all" register "$cache" "${backs[@]}"

# A ninth, of no set, is stopped while somebody has it open; that takes longer than a minute.
held=$(readlink -f /dev/mapper/held)
ok "another device" register "$held"
exec {holder}<"$(bcache_of "$held")"
put 1 "$(sysdir "$held")/stop"
if [ "$DRIVER" != c ]; then
	mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
	shows=/sys/kernel/debug/bcache/${held##*/}/teardown
	waiting="stopping: 1 detaching: 0 io_disable: 0 openers: 1 requests: 0 waits_for: the disk to be closed "
	says_so() { [ "$(tr '\n' ' ' <"$shows")" = "$waiting" ]; }
	# udev's own look at the new disk may not have ended.
	ok "what the ninth waits for can be seen" within 10 says_so
	note "$(tr '\n' ' ' <"$shows")"
fi

# each FUNCTION: all eight at once; fails if one does
each() {
	local back pids=() rc=0 p
	for back in "${backs[@]}"; do
		"$1" "$back" >"/tmp/each.${back##*/}" 2>&1 &
		pids+=($!)
	done
	for p in "${pids[@]}"; do
		wait "$p" || rc=1
	done
	[ $rc = 0 ] || cat /tmp/each.*
	return $rc
}
attach() {
	[ -e "$(sysdir "$1")/cache" ] || put "$uuid" "$(sysdir "$1")/attach"
}
tune() {
	local dir
	dir=$(sysdir "$1")
	put writeback "$dir/cache_mode" && put 0 "$dir/sequential_cutoff" && put 40 "$dir/writeback_percent" && no_congestion "$dir" &&
		put 0 "$dir/writeback_running"
}
# What was written stays dirty until it has been looked at.
write_back() {
	put 1 "$(sysdir "$1")/writeback_running"
}
# Numbers that no other device has, and the same one at no other time: fio looks at them only if it is told so.
area() {
	fio --name=area --filename="$(bcache_of "$1")" --allow_file_create=0 --direct=1 --ioengine=libaio --rw=randwrite --bs=16k \
		--iodepth=4 --size=2M --verify=crc32c --verify_fatal=1 --verify_header_seed=1 \
		--randseed="$((0x$(md5sum <<<"${1##*/} $phase" | head -c 7)))" --output-format=terse "${@:2}"
}
write_area() {
	area "$1" --do_verify=0
}
verify_area() {
	area "$1" --verify_only
}
load() {
	fio --name=load --filename="$(bcache_of "$1")" --allow_file_create=0 --direct=1 --ioengine=libaio --rw=randrw --bs=4k-32k \
		--iodepth=4 --offset=8M --size=16M --time_based --runtime=4 --output-format=terse
}
flush() {
	sync "$(bcache_of "$1")"
}
is_dirty() {
	[ "$(state "$1")" = dirty ] && [ "$(dirty_bytes "$1")" -gt 0 ]
}
detach() {
	put 1 "$(sysdir "$1")/detach"
}
stop() {
	put 1 "$(sysdir "$1")/stop"
}
# none COMMAND: it succeeds for no device
none() {
	local back
	for back in "${backs[@]}"; do
		! "$1" "$back" || return 1
	done
}
has_dir() {
	[ -e "$(sysdir "$1")" ]
}
no_set() {
	[ ! -e "$SYSFS/$uuid" ]
}
# gone_within SECONDS NAME COMMAND...: says how long it took, and after too long what is waited for
gone_within() {
	local start=$SECONDS limit=$1 name=$2
	shift 2
	within "$limit" "$@"
	result $? "$name ($((SECONDS - start)) s)"
	"$@" || teardown_waits
}
# begin NAME: eight devices with dirty data, and load on them
begin() {
	phase=$1
	ok "$1: all attached" each attach
	ok "$1: tuned" each tune
	ok "$1: data written" each write_area
	ok "$1: all dirty" each is_dirty
	ok "$1: writeback begins" each write_back
	each load >/dev/null &
	loads=$!
	sleep 1
}
# again NAME: all are registered and attached again, with their data
again() {
	wait "$loads" 2>/dev/null
	ok "$1: registered again" each known
	ok "$1: all attached again" each attach
	ok "$1: the data" each verify_area
}
# known DEV: registers the device if it is not
known() {
	local dev
	for dev in "$cache" "$1"; do
		[ -e "$(sysdir "$dev")" ] || put "$dev" $SYSFS/register_quiet || return
	done
}

begin "stop of the set"
put 1 "$SYSFS/$uuid/stop"
gone_within 30 "stop of the set: all devices are gone" none has_dir
gone_within 30 "stop of the set: it is gone" no_set
register "$cache"
again "stop of the set"
part eight "by the stop of the set"

begin "unregister"
put 1 "$SYSFS/$uuid/unregister"
gone_within 60 "unregister: all devices are detached" none attached
wait "$loads"
result $? "unregister: nobody's I/O failed"
gone_within 30 "unregister: the set is gone" no_set
register "$cache"
again "unregister"
part eight "by its unregister"

begin "detach and stop"
each detach
each stop
gone_within 60 "detach and stop: all devices are gone" none has_dir
again "detach and stop"
part eight "each by a detach and a stop"

begin "failure"
wait "$loads"
result $? "failure: nobody's I/O failed before it"
ok "failure: what was acknowledged is on the cache" each flush
dmsetup suspend --noflush fragile
dmsetup load fragile --table "0 $sectors error"
dmsetup resume fragile
phase=later each write_area >/dev/null
gone_within 40 "failure: the set is gone" no_set
gone_within 40 "failure: all devices, being dirty, are gone" none has_dir
dmsetup suspend fragile
dmsetup load fragile --table "0 $sectors linear $(disk cache) 0"
dmsetup resume fragile
ok "failure: the set can be had again" register "$cache" "${backs[@]}"
ok "failure: all attached" each attached
ok "failure: the data" each verify_area
part eight "by a set that fails"
waits_for_disk() {
	[ "$(dmesg | grep -c "bcache: ${held##*/}: waiting for the disk to be closed for more than 60 seconds")" = 1 ]
}
[ "$DRIVER" = c ] || ok "the log says once what the ninth waits for" within 65 waits_for_disk
ok "it is still there" test -e "$(sysdir "$held")"
exec {holder}<&-
ok "closed, it goes" within 10 test ! -e "$(sysdir "$held")"
[ "$DRIVER" = c ] || ok "and takes its file along" test ! -e "$shows"
ok "all stop" stop_all
dmsetup remove held
for i in $(seq 0 7); do
	dmsetup remove "back$i"
done
dmsetup remove fragile
ok "the module unloads" unload
done_testing
