#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --timeout 150
# case: writethrough | - | power cut of the backing disk after fsync, writethrough
# case: dsync | - | the same after a write with O_DSYNC
# case: around | - | the same after fsync, writearound, data past the cache
# case: preflush | - | the same after an fsync in a file system, writeback, data past the cache
# case: no_cache | - | the same after fsync, no set attached
# case: written_back | - | power cut of the backing disk after writeback, device clean
# case: not_needed | - | 20 x write and fsync in writeback: flushes sent to the backing disk
# What an fsync has acknowledged is on the backing disk, whose volatile cache forgets the rest when its power fails.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=/dev/nbd0 state=/run/forgetful

# a_disk: a new one, under a new pair in cache mode MODE
a_disk() {
	rm -rf $state && mkdir $state
	modprobe nbd nbds_max=1 max_part=0
	python3 "$(dirname "$0")/lib_forgetful_disk.py" $back 64 $state
	a_pair "$cache" $back --bucket 65536
	put "$1" "$dir/cache_mode"
	# What the disk holds at first is nobody's; from now on it has nothing to flush.
	ok "a first fsync" sync "$bdev"
}

gone() {
	! pgrep -f lib_forgetful_disk >/dev/null
}

end_disk() {
	ok "all stop" stop_all
	kill -KILL "$(cat $state/pid)"
	ok "the disk ends" within 10 gone
	ok "its driver, too" within 10 rmmod nbd
}

# fill DEV LETTER COUNT [DD-WORD...]: so many blocks of 64 KiB of this letter, 1 MiB behind the start
fill() {
	local dev=$1 letter=$2 count=$3
	shift 3
	head -c $((count * 65536)) /dev/zero | tr '\0' "$letter" |
		dd of="$dev" bs=64k seek=16 iflag=fullblock oflag="direct${1:+,$1}" conv=nocreat status=none
}

# cut: the power of the backing disk fails for a moment
cut() {
	local cuts
	cuts=$(cat $state/cuts 2>/dev/null || echo 0)
	kill -USR1 "$(cat $state/pid)"
	# It may be waiting for a request, or be in the middle of one.
	dd if=$back of=/dev/null bs=4k count=1 iflag=direct status=none
	within 10 grep -qx $((cuts + 1)) $state/cuts
}

# kept LETTER COUNT: how many of the blocks the backing disk itself has, which begins 8 KiB behind its start
kept() {
	dd if=$back bs=8k skip=$((128 + 1)) count=$(($2 * 8)) iflag=direct status=none | tr -cd "$1" | wc -c |
		awk '{ print $1 / 65536 }'
}

# survives LETTER COUNT: they all do
survives() {
	local have
	ok "the power fails" cut
	have=$(kept "$1" "$2")
	is "blocks that are there" "$have" "$2"
	saw "$have of $2 blocks are there"
}

case_writethrough() {
	a_disk writethrough
	fill "$bdev" a 4
	ok "the power fails" cut
	is "without an fsync they are gone" "$(kept a 4)" 0
	fill "$bdev" b 4
	ok "fsync" sync "$bdev"
	survives b 4
	end_disk
}

case_dsync() {
	local before
	a_disk writethrough
	before=$(cat $state/fuas)
	fill "$bdev" c 4 dsync
	# Whoever wrote it sends a flush, too, which alone would do for the blocks.
	at_least "writes that were durable when they ended" $(($(cat $state/fuas) - before)) 4
	survives c 4
	end_disk
}

case_around() {
	a_disk writearound
	fill "$bdev" d 4
	ok "fsync" sync "$bdev"
	survives d 4
	end_disk
}

# letters_on_disk LETTER: MiB of it on the backing disk, wherever
letters_on_disk() {
	dd if=$back bs=1M iflag=direct status=none | tr -cd "$1" | wc -c | awk '{ print int($1 / 1048576) }'
}

case_preflush() {
	local passed kept
	a_disk writeback
	set_to writeback_running=0 sequential_cutoff=65536
	ok "a file system" mkfs.ext4 -qF -E lazy_itable_init=0,lazy_journal_init=0 "$bdev"
	mkdir -p /mnt/x
	ok "mount" mount "$bdev" /mnt/x
	head -c 8M /dev/zero | tr '\0' i | dd of=/mnt/x/file bs=1M iflag=fullblock conv=fsync status=none
	passed=$(letters_on_disk i)
	at_least "MiB that went past the cache" "$passed" 4
	ok "the power fails" cut
	kept=$(letters_on_disk i)
	is "MiB that are there still" "$kept" "$passed"
	saw "$kept of $passed MiB are there"
	umount /mnt/x
	end_disk
}

case_no_cache() {
	a_disk writethrough
	put 1 "$dir/detach"
	ok "detached" within 20 test ! -e "$dir/cache"
	fill "$bdev" e 4
	ok "fsync" sync "$bdev"
	survives e 4
	# The flush that comes through the cache knows of what was written without.
	fill "$bdev" h 4
	ok "attach" put "$uuid" "$dir/attach"
	ok "fsync" sync "$bdev"
	survives h 4
	end_disk
}

case_written_back() {
	a_disk writeback
	set_to writeback_running=0 writeback_percent=0 writeback_delay=0
	fill "$bdev" f 64
	is "state" "$(state $back)" dirty
	put 1 "$dir/writeback_running"
	ok "clean" within 60 is_clean "$dir"
	survives f 64
	end_disk
}

case_not_needed() {
	local before sent
	a_disk writeback
	set_to writeback_running=0
	fill "$bdev" g 1
	sync "$bdev"
	before=$(cat $state/flushes)
	for _ in {1..20}; do
		fill "$bdev" g 1
		sync "$bdev"
	done
	sent=$(($(cat $state/flushes) - before))
	is "flushes sent to a disk that has nothing to flush" $sent 0
	saw "$sent flushes"
	end_disk
}

run_cases "$@"
