# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the tests of power cuts share, beside lib.sh. A test starts the pair cache, back as dev and has a function cut_power,
# which leaves on the disks cache2 and back2 what a power cut at that moment would leave.
writer_py=$(dirname "$0")/lib_crash_writer.py
blocks=16384
writes=/run/writes
cache='' back='' dev=''

# linear NAME DISK: a disk in front of it, which can be frozen
linear() {
	dmsetup create "$1" --table "0 $(blockdev --getsz "$2") linear $2 0"
	readlink -f "/dev/mapper/$1"
}

# tune: what makes a started set do as much as it can
tune() {
	set_dir=$SYSFS/$(set_uuid "$cache")
	put writeback "$(sysdir "$back")/cache_mode"
	put 0 "$(sysdir "$back")/sequential_cutoff"
	put 1 "$(sysdir "$back")/writeback_percent"
	put 1 "$set_dir/internal/gc_always_rewrite"
	put 1 "$set_dir/internal/copy_gc_enabled"
	put 0 "$set_dir/congested_read_threshold_us"
	put 0 "$set_dir/congested_write_threshold_us"
}

# load SEED: starts the writer
load() {
	: >"$writes"
	python3 "$writer_py" write "$dev" "$writes" "$blocks" 100000000 "$1" &
	writer=$!
}

# freeze: nothing goes to either disk any more; what was synced before is MARK lines of the log
freeze() {
	mark=$(wc -l <"$writes")
	dmsetup suspend --nolockfs --noflush cache
	dmsetup suspend --nolockfs --noflush back
}

# thaw: they go on, without the writer
thaw() {
	cp "$writes" "$writes.crash"
	kill "$writer"
	dmsetup resume back
	dmsetup resume cache
	wait "$writer" 2>/dev/null
}

# much_done: something is durable, and something is dirty
much_done() {
	[ "$(grep -c '^s' "$writes")" -ge 3 ] && [ "$(dirty_bytes "$back")" -gt 0 ]
}

# crash_rounds COUNT: the power fails so often
crash_rounds() {
	local round
	tune
	load 1
	for round in $(seq "$1"); do
		ok "round $round: there is much to lose" within 60 much_done
		sleep $((2 + RANDOM % 5))
		ok "round $round: the writer works" kill -0 "$writer"
		[ $((round % 2)) = 0 ] && put 1 "$set_dir/internal/trigger_gc" && sleep 0.3
		cut_power
		# Only one set of this UUID can run.
		ok "round $round: the first pair stops" stop_all 120
		ok "round $round: the copies register" register "$(disk back2)" "$(disk cache2)"
		ok "round $round: the disk is there" within 20 test -b /dev/bcache0
		note "$(dmesg | grep replay | tail -1)"
		ok "round $round: synced data is there" \
			python3 "$writer_py" check /dev/bcache0 "$writes.crash" "$blocks" "$mark"
		ok "round $round: the copies stop" stop_all 60
		[ "$round" = "$1" ] && break
		register "$back" "$cache"
		within 20 test -b /dev/bcache0
		dev=/dev/bcache0
		tune
		dd if=/dev/zero of="$dev" bs=1M count=$((blocks / 256)) oflag=direct conv=fsync,nocreat status=none
		load $((round + 1))
	done
}
