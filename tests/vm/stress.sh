#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=128M --disk back2=128M --timeout 120
# faults: --timeout 1200
# case: ten_minutes | B1-B4, B20, B32 | stop, detach, unregister, attach, register, all of sysfs, gc and fio at once, for ten minutes
#   stress.sh [SECONDS|ten_minutes]
# Everything at once on two devices and one set: register, attach, detach, stop, unregister, all files of sysfs read and
# written, gc, fio, and readers and writers who check their data. Then all is there again, with the data, and ends.
. "$(dirname "$0")/lib.sh"
quiet_udev
seconds=${1:-20} more=60
seconds=${seconds/ten_minutes/600}
# There an emulated processor gets a third as far.
[ $# -gt 0 ] || [ "${KERNEL:-}" != debug ] || seconds=60
[ "${KERNEL:-}" != debug ] || more=180
cache=$(disk cache)
backs=("$(disk back)" "$(disk back2)")
go=/tmp/go settled=/tmp/settled overtime=/tmp/overtime
start_pair "$cache" "${backs[0]}" --bucket 65536 >/dev/null
format_backing "${backs[1]}"
uuid=$(set_uuid "$cache")
set_dir=$SYSFS/$uuid
touch $go

# actor NAME MILLISECONDS: calls do_NAME until the end, with pauses of up to so long in between
actor() {
	(
		n=0
		while [ -e $go ]; do
			back=${backs[RANDOM % 2]}
			dir=$(sysdir "$back")
			"do_$1" 2>/dev/null && n=$((n + 1)) && : >"/tmp/once.$1"
			printf -v pause '%d.%03d' $((RANDOM % $2 / 1000)) $((RANDOM % $2 % 1000))
			sleep "$pause"
		done
		echo $n >"/tmp/did.$1"
	) &
}
do_register() {
	local dev
	for dev in "$cache" "${backs[@]}"; do
		[ -e "$(sysdir "$dev")" ] || put "$dev" $SYSFS/register_quiet
	done
}
do_attach() {
	put "$uuid" "$dir/attach"
}
do_detach() {
	put 1 "$dir/detach"
}
# In overtime what ends things rests when it has done its part: who needs them finds them.
rests() {
	[ -e $overtime ] && [ -e "/tmp/once.$1" ]
}
do_stop() {
	! rests stop && put 1 "$dir/stop"
}
do_end_set() {
	local how=(stop unregister)
	! rests end_set && put 1 "$set_dir/${how[RANDOM % 2]}"
}
do_percent() {
	put $((RANDOM % 41)) "$dir/writeback_percent"
}
do_gc() {
	put 1 "$set_dir/internal/trigger_gc"
	put $((RANDOM % 100)) "$set_dir/internal/prune_cache"
	put 1 "$set_dir/clear_stats"
}
do_read() {
	[ -e "$dir" ] || return
	# Files and whole directories vanish meanwhile.
	find "$set_dir/" "$dir/" /sys/kernel/debug/bcache -type f -readable -exec cat {} + >/dev/null
	return 0
}
# name=values of files of a device; each store takes one of each
knobs=(
	"cache_mode=writethrough writeback writeback writearound none" "writeback_running=0 1 1" "writeback_delay=0 1 30 4294967295"
	"writeback_rate_update_seconds=1 2 60" "writeback_rate_minimum=8 100000 4294967295" "writeback_metadata=0 1"
	"writeback_rate_p_term_inverse=1 40 4294967295" "writeback_rate_i_term_inverse=1 10000 4294967295" "writeback_rate=1 100000"
	"sequential_cutoff=0 4M" "label=a b" "stop_when_cache_set_failed=auto always" "readahead_cache_policy=all meta-only"
	"writeback_controller=pi adaptive latency" "writeback_rate_maximum=0 65536" "clear_stats=1" "io_error_limit=64"
)
do_knobs() {
	local k values done=1
	for k in "${knobs[@]}"; do
		read -ra values <<<"${k#*=}"
		put "${values[RANDOM % ${#values[@]}]}" "$dir/${k%%=*}" && done=0
	done
	return $done
}
do_fio() {
	# Whichever disk there is; it may be gone before fio opens it. fio would then take its node for a file and unlink that, if it
	# comes back just then: it gets a node of its own.
	local disks=(/dev/bcache*) disk node=/dev/load
	disk=${disks[RANDOM % ${#disks[@]}]}
	[ -b "$disk" ] || return
	rm -f $node
	mknod $node b "0x$(stat -c %t "$disk")" "0x$(stat -c %T "$disk")" || return
	fio --name=load --filename=$node --direct=1 --ioengine=libaio --rw=randrw --bs=4k-64k --iodepth=8 \
		--offset=64M --size=48M --allow_file_create=0 --time_based --runtime=1 --output-format=terse >/tmp/fio.log 2>&1
	# It counts if it read and wrote until the disk went, too: KiB of both.
	awk -F';' 'NF > 50 && $6 + $47 > 0 { found = 1 } END { exit !found }' /tmp/fio.log
}

checkers=()
for back in "${backs[@]}"; do
	for first in 0 2048; do
		python3 "$(dirname "$0")/lib_stress.py" "$back" $first 2048 "$seconds" $settled >"/tmp/checked.${back##*/}.$first" 2>&1 &
		checkers+=($!)
	done
done
actor register 200
actor attach 300
actor detach 1500
actor stop 5000
actor end_set 6000
actor percent 50
actor gc 500
actor read 300
actor knobs 300
actor fio 200
actors=(register attach detach stop end_set percent gc read knobs fio)
# Whether fio has started before its disk is gone is chance.
all_did() {
	local what
	for what in "${actors[@]}"; do
		[ -e "/tmp/once.$what" ] || [ "$what" = fio ] || return
	done
	[ "$(grep -l 'has written' /tmp/checked.* | wc -l)" = 4 ]
}
sleep "$seconds"
# A busy host gets less far in that time.
touch $overtime
within $more all_did
rm $go
# Each actor says what it did when it wakes from its last pause.
all_said() {
	local what
	for what in "${actors[@]}"; do
		[ -s "/tmp/did.$what" ] || return
	done
}
within 30 all_said
for what in "${actors[@]}"; do
	[ "$what" != fio ] || { note "fio went through $(cat /tmp/did.fio)" && continue; }
	at_least "$what went through" "$(cat "/tmp/did.$what" 2>/dev/null || echo 0)" 1
done
said() {
	dmesg | grep -cE "bcache: ([a-z_]+\(\) )?$1"
}
did="attached $(said 'Caching .* as'), detached $(said 'Caching disabled'), devices stopped $(said 'bcache[0-9]* stopped'), sets ended $(said 'Cache set .* unregistered')"

# What was under way ends; then everything can be had again.
running() {
	do_register
	for back in "${backs[@]}"; do
		[ -b "$(bcache_of "$back")" ] || return 1
	done
}
ok "all can be registered again" within 60 running
running || for back in "${backs[@]}"; do
	note "$back: $(bcache_of "$back"), $(ls -d /dev/bcache* | tr '\n' ' '), state $(state "$back"), running $(cat "$(sysdir "$back")/running"), set $(set_uuid "$back")"
done
touch $settled
for i in 0 1 2 3; do
	wait "${checkers[i]}"
	result $? "the data of checker $i is right"
done
sed 's/^/# /' /tmp/checked.*
ok "no wait took more than a minute" sh -c '! dmesg | grep "for more than 60 seconds"'
ok "all stop" stop_all 60
note "$did"
part ten_minutes "$did;"
ok "the module unloads" unload
done_testing
