#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --timeout 200
# case: readahead_suspended | - | read-ahead while the cache device is suspended: a device of the device mapper then fails it
# case: dies_in_unregister | - | the cache fails while the set is unregistered, with dirty data; the disk stays open
# case: dies_in_detach | - | the cache fails while a device with dirty data is detached; the disk stays open
# case: over_dirty | - | a write past the cache over dirty data that was made durable: a power cut now?
# case: clean_read | - | reads of clean data that the cache fails to read
# case: dirty_tail | - | a read of many pieces, of which the cache fails to read a clean one, and the last is dirty
# A cache device that fails, or seems to, at a bad moment; and what must be durable before the cache forgets.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache) back=$(disk back)
# KiB of the disk that the tests look at, and as many blocks of 4 KiB.
KIB=8192 BLOCKS=2048

# a_fragile_pair: the device with its set, upon devices that can be changed; sets lower and upper
a_fragile_pair() {
	size=$(blockdev --getsz "$cache") back_size=$(blockdev --getsz "$back")
	dmsetup create upper --table "0 $size linear $cache 0"
	dmsetup create lower --table "0 $back_size linear $back 0"
	upper=$(readlink -f /dev/mapper/upper) lower=$(readlink -f /dev/mapper/lower)
	a_pair "$upper" "$lower" --bucket 65536
}

no_fragile_pair() {
	dm_table upper "0 $size linear $cache 0"
	ok "all stop" stop_all
	ok "nobody holds the disks" within 10 dmsetup remove upper
	ok "nor the other" within 10 dmsetup remove lower
}

# fill_with BYTE: each block of the disk's beginning, durable
fill_with() {
	head -c $((KIB * 1024)) /dev/zero | tr '\0' "$1" | dd of="$bdev" bs=64k oflag=direct conv=fsync iflag=fullblock status=none
}

# look_ahead: asks for the disk's beginning to be read ahead, and for none of it to be kept
look_ahead() {
	python3 - "$bdev" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		for n in range(32):
		    os.posix_fadvise(fd, n * 65536, 65536, os.POSIX_FADV_WILLNEED)
	END
}

case_readahead_suspended() {
	local state
	a_fragile_pair
	fill_with n
	put 0 "$dir/writeback_running"
	echo 3 >/proc/sys/vm/drop_caches
	dmsetup suspend --noflush upper
	look_ahead
	sleep 1
	dmsetup resume upper
	within 3 test ! -e "$SYSFS/$uuid"
	ok "the set is there" test -e "$SYSFS/$uuid"
	state=$(state "$lower" 2>/dev/null)
	is "state" "$state" dirty
	ok "all data is there" cmp -n $((KIB * 1024)) "$bdev" <(head -c $((KIB * 1024)) /dev/zero | tr '\0' n)
	[ -e "$SYSFS/$uuid" ] && saw "nothing happens" || saw "the set is gone${state:+, state $state}"
	no_fragile_pair
}

# dies_while COMMAND...: new data is in the cache only when the command begins the end; the backing device answers no more until
# the cache has failed. Who has the disk open must not be given the old data.
dies_while() {
	local old
	a_fragile_pair
	put writethrough "$dir/cache_mode"
	fill_with o
	put writeback "$dir/cache_mode"
	put 0 "$dir/writeback_running"
	fill_with n
	exec 8<"$bdev"
	is "the new data can be read" "$(dd if="$bdev" bs=1M count=8 iflag=direct status=none | tr -d n | wc -c)" 0
	dmsetup suspend --noflush lower
	"$@"
	sleep 1
	ok "the cache fails" dm_table upper "0 $size error"
	sleep 1
	dmsetup resume lower
	ok "the attachment ends" within 20 test ! -e "$dir/cache"
	old=$(python3 - 2>/dev/null <<-'END'
		import os
		old = errors = 0
		for n in range(2048):
		    try:
		        os.posix_fadvise(8, n * 4096, 4096, os.POSIX_FADV_DONTNEED)
		        old += os.pread(8, 4096, n * 4096)[:1] == b"o"
		    except OSError:
		        errors += 1
		print(old, errors)
	END
	)
	is "blocks of $BLOCKS with old data" "${old% *}" 0
	saw "${old% *} of $BLOCKS blocks are old, ${old#* } cannot be read"
	is "and no file makes it work again" "$(errno_of 0 "$dir/io_disable")" EBUSY
	exec 8<&-
	ok "the device is stopped" within 10 test ! -e "$dir"
	no_fragile_pair
}

unregister() {
	put 1 "$SYSFS/$uuid/unregister"
}

case_dies_in_unregister() {
	dies_while unregister
}

detach() {
	put 1 "$dir/detach"
}

case_dies_in_detach() {
	dies_while detach
}

# flushes: how often the backing device was flushed
flushes() {
	awk '{ print $16 }' "/sys/block/$(basename "$back")/stat"
}

case_over_dirty() {
	local before clean dirty
	a_pair "$cache" "$back" --bucket 65536
	put 0 "$dir/writeback_running"
	soil "$bdev" 64
	sync "$bdev"
	put none "$dir/cache_mode"
	before=$(flushes)
	dd if=/dev/zero of="$bdev" bs=4k count=1 seek=4096 oflag=direct status=none
	clean=$(($(flushes) - before))
	dd if=/dev/zero of="$bdev" bs=4k count=1 oflag=direct status=none
	dirty=$(($(flushes) - before - clean))
	is "flushes for a write where nothing is dirty" "$clean" 0
	at_least "flushes for one over dirty data" "$dirty" 1
	[ "$dirty" -gt 0 ] && saw "the write is durable before the cache forgets" || saw "older data than both comes back"
}

# block BYTE NUMBER: writes a block of 4 KiB
block() {
	head -c 4096 /dev/zero | tr '\0' "$1" | dd of="$bdev" bs=4k seek="$2" oflag=direct,sync iflag=fullblock conv=notrunc status=none
}

case_clean_read() {
	local errors
	a_fragile_pair
	put 1000000 "$SYSFS/$uuid/io_error_limit"
	put writethrough "$dir/cache_mode"
	fill_with o
	errors=$(cat "$SYSFS/$uuid/cache0/io_errors")
	ok "the cache cannot be read" dm_table upper "0 $size flakey $cache 0 0 60 1 error_reads"
	for bs in 4 260; do
		is "blocks of $bs KiB that are not what was written" \
			"$(dd if="$bdev" bs=${bs}k count=$((KIB / bs)) iflag=direct status=none | tr -d o | wc -c)" 0
		is "bytes of them" "$(dd if="$bdev" bs=${bs}k count=$((KIB / bs)) iflag=direct status=none | wc -c)" $((KIB / bs * bs * 1024))
	done
	errors=$(($(cat "$SYSFS/$uuid/cache0/io_errors") - errors))
	at_least "reads that the cache failed" $errors 1
	saw "all is read from the disk"
	no_fragile_pair
}

# The cached blocks are those with an even number; odd ones are not cached, the last is dirty.
case_dirty_tail() {
	local n bytes errors
	a_fragile_pair
	put 1000000 "$SYSFS/$uuid/io_error_limit"
	put none "$dir/cache_mode"
	fill_with o
	put writethrough "$dir/cache_mode"
	for n in $(seq 0 2 62); do
		block o "$n"
	done
	put writeback "$dir/cache_mode"
	put 0 "$dir/writeback_running"
	block n 64
	is "the new block" "$(dd if="$bdev" bs=4k skip=64 count=1 iflag=direct status=none | tr -d n | wc -c)" 0
	errors=$(cat "$SYSFS/$uuid/cache0/io_errors")
	ok "the cache cannot be read" dm_table upper "0 $size flakey $cache 0 0 60 1 error_reads"
	bytes=$(dd if="$bdev" bs=260k count=1 iflag=direct status=none 2>/dev/null | tail -c 4096 | head -c 1)
	ok "the cache can be read again" dm_table upper "0 $size linear $cache 0"
	at_least "reads that the cache failed" $(($(cat "$SYSFS/$uuid/cache0/io_errors") - errors)) 1
	is "old data is read" "$([ "$bytes" = o ] && echo yes || echo no)" no
	saw "$([ -z "$bytes" ] && echo "an error" || echo "the last block is $([ "$bytes" = n ] && echo new || echo old)")"
	is "the new block, read again" "$(dd if="$bdev" bs=4k skip=64 count=1 iflag=direct status=none | tr -d n | wc -c)" 0
	no_fragile_pair
}

run_cases "$@"
