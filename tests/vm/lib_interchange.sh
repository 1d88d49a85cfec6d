#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's part of interchange.sh and interchange_crash.sh: does the steps named in its arguments, in this order.
# STEP or STEP=VALUE; disks: cache, back, and with pair=2 cache2, back2. $OUT/log is the crash writer's log.
# shellcheck disable=SC2317
. "$(dirname "$0")/lib.sh"
quiet_udev
# pair [NUMBER]: the disks of the steps that follow
pair() {
	cache=$(disk "cache$1") back=$(disk "back$1")
	dir=$(sysdir "$back")
}
pair ''
writer_py=$(dirname "$0")/lib_crash_writer.py
blocks=8192

# tune: dirty data comes to be and stays
tune() {
	put writeback "$dir/cache_mode" && put 0 "$dir/sequential_cutoff" && put 40 "$dir/writeback_percent" &&
		no_congestion "$dir"
}
# drained: nothing is dirty
drained() {
	[ "$(dirty_bytes "$back")" = 0 ] && [ "$(state "$back")" = clean ]
}
# fio_area SEED AREA OPTION...: the same writes for the same seed; area A or B, 12 MiB each
fio_area() {
	local seed=$1 offset=0
	[ "$2" = A ] || offset=12m
	shift 2
	fio --name=area --filename="$disk" --direct=1 --ioengine=libaio --rw=randwrite --bsrange=4k-64k --iodepth=16 \
		--offset="$offset" --size=12m --randseed="$seed" --verify=crc32c --verify_header_seed=1 --verify_fatal=1 --output-format=terse "$@"
}
# extents AREA: 256 of 64 KiB each, area 0 or 1; what the index has of them so far is written
extents() {
	dd if=/dev/urandom of="$disk" bs=64k count=256 seek=$(($1 * 256)) oflag=direct conv=nocreat iflag=fullblock status=none &&
		put 1 "$SYSFS/$(set_uuid "$cache")/internal/trigger_gc"
}
# middles AREA KIB: 4 KiB of each extent are written, so far from its start
middles() {
	fio --name=middles --filename="$disk" --direct=1 --rw=write:60k --bs=4k --offset=$(($1 * 16384 + $2))k --number_ios=256 \
		--size=$((16384 - $2))k --randrepeat=0 --output-format=terse
}
# both: a sum of both areas
both() {
	dd if="$disk" bs=1M count=32 iflag=direct status=none | md5sum
}
# loaded: much has been written and there is dirty data
loaded() {
	[ "$(wc -l <"$OUT/log")" -gt $((lines + 1500)) ] && [ "$(dirty_bytes "$back")" -gt 2000000 ]
}
# there: there is a disk in front of the backing device
there() {
	[ -b "$(bcache_of "$back")" ]
}
# raw: the backing device behind its superblock, seen without bcache
raw() {
	dmsetup create raw --table "0 $(($(blockdev --getsz "$back") - 16)) linear $back 16"
}

disk=
lines=$(cat "$OUT/log" 2>/dev/null | wc -l)
for step; do
	value=${step#*=}
	case $step in
	pair=*) pair "$value" ;;
	format=*)
		ok "$DRIVER: format, register, attach" start_pair "$cache" "$back" --bucket "$value"
		disk=$(bcache_of "$back")
		ok "tune" tune
		;;
	open)
		# udev may have been faster.
		ok "$DRIVER: register" sh -c "echo $back >$SYSFS/register_quiet; echo $cache >$SYSFS/register_quiet"
		ok "the disk is there" within 30 there
		# Not always bcache0: udev may have been faster with another one.
		disk=$(bcache_of "$back")
		ok "attached" within 10 attached "$back"
		ok "tune" tune
		note "$(dmesg | grep 'journal replay' | tail -n 1) dirty $(cat "$dir/dirty_data") state $(state "$back")"
		;;
	hold)
		put 0 "$dir/writeback_running"
		;;
	fill=*) ok "fill area ${value#*:} with seed ${value%:*}" fio_area "${value%:*}" "${value#*:}" --do_verify=0 ;;
	verify=*) ok "area ${value#*:} holds seed ${value%:*}" fio_area "${value%:*}" "${value#*:}" --verify_only ;;
	differs=*) fails "area ${value#*:} does not hold seed ${value%:*}" fio_area "${value%:*}" "${value#*:}" --verify_only ;;
	extents=*) ok "extents in area $value" extents "$value" ;;
	around=*)
		put writearound "$dir/cache_mode"
		ok "area $value is erased from the cache" extents "$value"
		put writeback "$dir/cache_mode"
		;;
	middles=*) ok "a piece in the middle of each" middles "${value%:*}" "${value#*:}" ;;
	sum=*) both >"$OUT/sum.$value" ;;
	same=*) is "both areas" "$(both)" "$(cat "$OUT/sum.$value")" ;;
	dirty) ok "there is dirty data" test "$(dirty_bytes "$back")" -gt 1000000 ;;
	check) ok "all that was synced is there" python3 "$writer_py" settle "$disk" "$OUT/log" $blocks ;;
	drain)
		put 0 "$dir/writeback_delay"
		put 1 "$dir/writeback_running"
		put 0 "$dir/writeback_percent"
		ok "dirty data drains" within 60 drained
		put 1 "$dir/detach"
		ok "detached" within 30 sh -c "! test -e $dir/cache"
		is "state" "$(state "$back")" "no cache"
		;;
	attach)
		ok "attach" put "$(set_uuid "$cache")" "$dir/attach"
		ok "tune" tune
		;;
	stop) ok "stop" stop_all 60 ;;
	raw)
		ok "the backing device alone" raw
		disk=/dev/mapper/raw
		;;
	unraw) ok "it is given back" dmsetup remove raw ;;
	load=*)
		# Writes and writeback at the same time.
		put 1 "$dir/writeback_percent"
		put 0 "$dir/writeback_delay"
		python3 "$writer_py" write "$disk" "$OUT/log" $blocks 100000000 "$value" &
		writer=$!
		ok "writes and writeback" within 60 loaded
		;;
	halt=writer)
		kill "$writer"
		# Not in a subshell, which has no jobs.
		wait "$writer"
		is "how the writer ends" $? 143
		;;
	stuck)
		# With the register lock held, an attach waits for a disk that does not answer.
		held=$(disk held)
		format_backing "$held"
		dmsetup create held --table "0 $(blockdev --getsz "$held") linear $held 0"
		held=$(readlink -f /dev/mapper/held)
		register "$held"
		dmsetup suspend --noflush --nolockfs held
		echo "$(set_uuid "$cache")" >"$(sysdir "$held")/attach" &
		ok "an attach does not get on" within 20 grep -q '^State:.D' /proc/$!/status
		;;
	reboot)
		ok "there is dirty data" test "$(dirty_bytes "$back")" -gt 100000
		[ $_failed = 0 ] || break
		note "dirty $(cat "$dir/dirty_data")"
		busybox reboot -fn
		;;
	replayed=*) ok "journal keys replayed: $value" dmesg_says "journal replay done, $value keys" ;;
	write=*)
		# Slow enough writeback that there is always some, fast enough that it meets the writer.
		put 1 "$dir/writeback_percent"
		put 0 "$dir/writeback_delay"
		put 1 "$SYSFS/$(set_uuid "$cache")/internal/gc_always_rewrite"
		note "writing"
		python3 "$writer_py" write "$disk" "$OUT/log" $blocks 100000000 "$value" &
		within 30 test -s "$OUT/log"
		touch "$OUT/writing"
		while sleep 0.7; do
			put 1 "$SYSFS/$(set_uuid "$cache")/internal/trigger_gc"
		done
		;;
	esac
	[ $_failed = 0 ] || break
done
ok "the log has no complaint" no_complaint
[ $_failed = 0 ] || dmesg | grep -i bcache | tail -n 20
done_testing
