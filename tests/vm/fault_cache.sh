#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk mirror=128M --timeout 280
# case: readahead_suspended | - | read-ahead while the cache device is suspended: a device of the device mapper then fails it
# case: dies_in_unregister | - | the cache fails while the set is unregistered, with dirty data; the disk stays open
# case: dies_in_detach | - | the cache fails while a device with dirty data is detached; the disk stays open
# case: over_dirty | - | a write past the cache over dirty data that was made durable: a power cut now?
# case: clean_read | - | reads of clean data that the cache fails to read
# case: dirty_tail | - | a read of many pieces, of which the cache fails to read a clean one, and the last is dirty
# case: dies_stopped | - | a clean device is stopped, takes another write from who has its disk open, and the cache fails; both come back
# case: policy | - | the set of a clean device fails, with each word of `stop_when_cache_set_failed`, and in a detach: the device then
# case: failed_write | - | a write past the cache that the disk refuses, over dirty data that was made durable
# case: fail_fast | - | writes that want an error rather than a retry, as those of a RAID 1 with another copy: what the cache gets
# case: congested | - | dirty data is written to a disk whose queue is full: does the cache, which is fast, count as congested?
# case: flush_past | - | fsync in a file system, past the cache, while the cache answers no more: the commit block on the disk before it does?
# case: flush_into | - | a write with a flush in it, into the cache, while the journal takes long: can the index, and so the disk, have it before what was acknowledged earlier is durable?
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
	head -c $((KIB * 1024)) /dev/zero | tr '\0' "$1" | dd of="$bdev" bs=64k oflag=direct conv=fsync,nocreat iflag=fullblock status=none
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
	ok "it is asked for" look_ahead
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
	is "new data that can be read" "$(dd if="$bdev" bs=1M count=8 iflag=direct status=none | tr -cd n | wc -c)" 8388608
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
	head -c 4096 /dev/zero | tr '\0' "$1" | dd of="$bdev" bs=4k seek="$2" oflag=direct,sync iflag=fullblock conv=notrunc,nocreat status=none
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
	saw "$(all_held && echo "all is read from the disk" || echo "not so")"
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
	is "bytes of the new block" "$(dd if="$bdev" bs=4k skip=64 count=1 iflag=direct status=none | tr -cd n | wc -c)" 4096
	errors=$(cat "$SYSFS/$uuid/cache0/io_errors")
	ok "the cache cannot be read" dm_table upper "0 $size flakey $cache 0 0 60 1 error_reads"
	bytes=$(dd if="$bdev" bs=260k count=1 iflag=direct status=none 2>/dev/null | tail -c 4096 | head -c 1)
	ok "the cache can be read again" dm_table upper "0 $size linear $cache 0"
	at_least "reads that the cache failed" $(($(cat "$SYSFS/$uuid/cache0/io_errors") - errors)) 1
	is "old data is read" "$([ "$bytes" = o ] && echo yes || echo no)" no
	saw "$([ -z "$bytes" ] && echo "an error" || echo "the last block is $([ "$bytes" = n ] && echo new || echo old)")"
	is "bytes of the new block, read again" "$(dd if="$bdev" bs=4k skip=64 count=1 iflag=direct status=none | tr -cd n | wc -c)" 4096
	no_fragile_pair
}

# first_byte: of the disk
first_byte() {
	dd if="$bdev" bs=4k count=1 iflag=direct status=none | head -c 1
}

case_dies_stopped() {
	local byte
	a_fragile_pair
	put writethrough "$dir/cache_mode"
	put 65535 "$SYSFS/$uuid/journal_delay_ms"
	fill_with o
	is "the first block" "$(first_byte)" o
	exec 8<>"$bdev"
	put 1 "$dir/stop"
	sleep 0.5
	ok "one more write, without a flush" python3 - <<-'END'
		import fcntl, mmap, os
		fcntl.fcntl(8, fcntl.F_SETFL, fcntl.fcntl(8, fcntl.F_GETFL) | os.O_DIRECT)
		new = mmap.mmap(-1, 4096)
		new.write(b"n" * 4096)
		assert os.pwritev(8, [new], 0) == 4096
	END
	ok "the cache fails" dm_table upper "0 $size error"
	put 1 "$SYSFS/$uuid/internal/trigger_gc" 2>/dev/null
	within 10 grep -qx 1 "$SYSFS/$uuid/internal/io_disable"
	exec 8<&-
	ok "device and set are gone" within 20 none_left
	dm_table upper "0 $size linear $cache 0"
	ok "both can be registered" register "$upper" "$lower"
	# What has left its set on disk is there at once, without a cache.
	ok "the disk is there" within 10 test -b "$(bcache_of "$lower")"
	bdev=$(bcache_of "$lower")
	byte=$(first_byte)
	is "the first block" "$byte" n
	saw "what was written last is $([ "$byte" = n ] && echo "there" || echo "gone: the cache has older data")"
	no_fragile_pair
}

read_under_way() {
	local reads
	read -r reads _ <"/sys/class/block/$(basename "$bdev")/inflight" && [ "$reads" -gt 0 ]
}

# set_fails POLICY [detach]: that of a clean device, which has a read in the cache, and is detached; says what becomes of it
set_fails() {
	local reader
	a_fragile_pair
	set_to cache_mode=writethrough stop_when_cache_set_failed="$1"
	soil "$bdev" 4
	hold_udev
	dmsetup suspend --noflush --nolockfs upper
	dd if="$bdev" of=/dev/null bs=4k count=1 iflag=direct status=none 2>/dev/null &
	reader=$!
	ok "a read is in the cache" within 5 read_under_way
	[ -z "${2-}" ] || put 1 "$dir/detach"
	sleep 1
	put 1 "$SYSFS/$uuid/internal/io_disable"
	put 1 "$SYSFS/$uuid/unregister" 2>/dev/null
	dmsetup resume --noudevsync upper
	let_udev
	wait $reader
	ok "the set is gone" within 20 test ! -e "$SYSFS/$uuid"
	# It may be on its way.
	within 5 test ! -e "$dir"
	saw "$*: $([ -e "$dir" ] && echo "stays" || echo "is gone")"
}

case_policy() {
	set_fails auto
	ok "the device is there, and takes data" block n 0
	no_fragile_pair
	set_fails always
	ok "the device is gone" test ! -e "$dir"
	no_fragile_pair
	set_fails always detach
	ok "the device is gone" test ! -e "$dir"
	no_fragile_pair
}

case_failed_write() {
	local byte
	a_fragile_pair
	set_to io_error_limit=2147483647 cache_mode=none
	fill_with o
	set_to cache_mode=writeback writeback_running=0
	fill_with d
	set_to cache_mode=none
	ok "the disk takes no write" dm_table lower "0 $back_size flakey $back 0 0 60 1 error_writes"
	fails "a write" block n 0
	ok "the disk takes writes again" dm_table lower "0 $back_size linear $back 0"
	byte=$(first_byte)
	is "what was there before, or what was to be written" "${byte/n/d}" d
	saw "then the block is $([ "$byte" = o ] && echo "older than both" || echo "what it was before")"
	no_fragile_pair
}

# The wish is REQ_FAILFAST_DEV, _TRANSPORT and _DRIVER, the bits from 8.
case_fail_fast() {
	local tracing=/sys/kernel/tracing mirror fast dev
	mirror=$(disk mirror)
	a_fragile_pair
	set_to cache_mode=writeback writeback_running=0
	ok "a RAID" mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --assume-clean --bitmap=none --failfast "$bdev" "$mirror"
	[ -e $tracing/trace ] || mount -t tracefs tracefs $tracing
	put 'p:bcache_test submit_bio_noacct dev=+8(%di):x64 at=+40(%di):u64 flags=+16(%di):x32' $tracing/kprobe_events
	hold_udev
	put 1 $tracing/events/kprobes/bcache_test/enable
	# This one shows which device the cache is.
	dd if="$upper" of=/dev/null bs=4k count=1 skip=12345 iflag=direct status=none
	dd if=/dev/zero of=/dev/md0 bs=4k count=16 oflag=direct status=none
	put 0 $tracing/events/kprobes/bcache_test/enable
	let_udev
	dev=$(sed -n 's/.* dd-.* bcache_test: .* dev=\([^ ]*\) at=98760 .*/\1/p;T;q' $tracing/trace)
	gawk 'sub(/.* bcache_test: .* dev=/, "") {
		flags = strtonum(substr($3, 7))
		if (and(flags, 0xff) == 1)
			print $1, and(flags, 0x700) ? "fast" : ""
	}' $tracing/trace >/tmp/writes
	echo >$tracing/kprobe_events
	at_least "writes to the cache" "$(grep -c "^$dev " /tmp/writes)" 16
	at_least "writes elsewhere that shall fail fast" "$(grep -v "^$dev " /tmp/writes | grep -c fast)" 32
	fast=$(grep -c "^$dev fast" /tmp/writes)
	is "writes to the cache that shall fail fast" "$fast" 0
	saw "$([ "$fast" = 0 ] && echo "has no such wish" || echo "$fast of them shall fail fast")"
	ok "the RAID ends" mdadm --stop /dev/md0
	mdadm --zero-superblock "$mirror"
	no_fragile_pair
}

# is_congested: there is a limit, in bytes, for what goes through the cache; 0 is none
is_congested() {
	local limit
	limit=$(cat "$SYSFS/$uuid/congested") || result 1 "the limit can be read"
	[ "$(bytes_of "$limit")" != 0 ]
}

# becomes TARGET: the cache does, and nobody waits for udev to have looked at it
becomes() {
	dmsetup suspend --noflush upper && dmsetup load upper --table "0 $size $1" && dmsetup resume --noudevsync upper
}

# With 50 ms for a request, and two at a time.
case_congested() {
	local disk=/sys/kernel/config/nullb/slow word most=0 n size upper
	modprobe null_blk nr_devices=0
	mkdir $disk
	for word in size=128 memory_backed=1 irqmode=2 completion_nsec=50000000 hw_queue_depth=2 submit_queues=1 power=1; do
		put "${word#*=}" "$disk/${word%%=*}" || result 1 "$word"
	done
	size=$(blockdev --getsz "$cache")
	dmsetup create upper --table "0 $size linear $cache 0"
	upper=$(readlink -f /dev/mapper/upper)
	a_pair "$upper" /dev/slow --bucket 65536
	put 0 "$dir/writeback_running"
	fio --name=soil --filename="$bdev" --rw=randwrite --bs=4k --size=64M --io_size=2M --direct=1 --ioengine=libaio --iodepth=8 \
		--randseed=1 --output-format=terse >/dev/null
	# On a busy host a read of the cache may take longer than 2 ms.
	put 100000 "$dir/cache/congested_read_threshold_us"
	set_to writeback_percent=0 writeback_delay=0 writeback_running=1
	for n in {1..40}; do
		sleep 0.1
		is_congested && most=$((most + 1))
	done
	at_least "bytes that are written back" $((2097152 - $(bytes_of "$(cat "$dir/dirty_data")"))) 65536
	is "of $n looks those with a congested cache" $most 0
	saw "$([ $most = 0 ] && echo no || echo "yes, in $most of $n looks")"
	set_to writeback_running=0
	# What users read counts.
	ok "a block in the cache" block n 0
	hold_udev
	ok "the cache is slow" becomes "delay $cache 0 1000"
	# A millisecond forgives one.
	for n in {1..10}; do
		dd if="$bdev" of=/dev/null bs=4k count=1 iflag=direct status=none
		is_congested && word=congested && break
	done
	is "after slow reads of a user" "$word" congested
	ok "the cache is fast" becomes "linear $cache 0"
	let_udev
	ok "all stop" stop_all
	ok "nobody holds the cache" within 10 dmsetup remove upper
	put 0 $disk/power
	rmdir $disk
}

case_flush_past() {
	local writer early
	a_fragile_pair
	put none "$dir/cache_mode"
	ok "a file system" mkfs.ext4 -qF -E lazy_itable_init=0,lazy_journal_init=0 "$bdev"
	mkdir -p /mnt/x
	ok "mount" mount "$bdev" /mnt/x
	ok "a file" dd if=/dev/zero of=/mnt/x/file bs=64k count=1 conv=fsync status=none
	trace_writes "$lower"
	dmsetup suspend --noflush upper
	dd if=/dev/zero of=/mnt/x/other bs=64k count=4 conv=fsync status=none &
	writer=$!
	ok "a write goes to the disk" within 30 a_write_is_traced
	sleep 2
	traced_writes >/tmp/traced
	dmsetup resume upper
	wait $writer
	result $? "fsync"
	early=$(awk '/^F/ && $3 > 0' /tmp/traced | wc -l)
	at_least "writes before the cache answered" "$(grep -vc '^F' /tmp/traced)" 1
	is "writes with a flush among them" "$early" 0
	saw "$([ "$early" = 0 ] && echo "not before what was acknowledged is durable" || echo "yes, though what was acknowledged before is not durable")"
	ok "unmount" umount /mnt/x
	no_fragile_pair
}

# journal_takes MS: to be written from now on; it is the buckets behind the first
journal_takes() {
	dmsetup suspend --noflush upper && dmsetup load upper <<-END && dmsetup resume --noudevsync upper
		0 128 linear $cache 0
		128 1024 delay $cache 128 0 $cache 128 $1 $cache 128 0
		1152 $((size - 1152)) linear $cache 1152
	END
}
# raid_is OFFSET: what the superblock on the disk says of a resync; it is written with a flush in it
raid_is() {
	[ "$(dd if="$bdev" bs=4k skip=1 count=1 iflag=direct status=none | od -An -tx8 -j208 -N8)" = " $1" ]
}

case_flush_into() {
	local mirror writer clean=ffffffffffffffff active=0000000000000000 early=0
	mirror=$(disk mirror)
	a_fragile_pair
	set_to cache_mode=writeback writeback_running=0
	ok "a RAID" mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --assume-clean --bitmap=none "$bdev" "$mirror"
	ok "nobody writes to it" within 20 raid_is $clean
	put 60 /sys/block/md0/md/safe_mode_delay
	put 65535 "$SYSFS/$uuid/journal_delay_ms"
	# C counts read-ahead that fails while a table is exchanged.
	hold_udev
	ok "the journal takes long" journal_takes 4000
	# A place that nobody needs.
	ok "a write, without a flush" dd if=/dev/zero of="$bdev" bs=4k count=1 oflag=direct conv=nocreat status=none
	dd if=/dev/zero of=/dev/md0 bs=4k count=1 oflag=direct status=none &
	writer=$!
	within 3 raid_is $active && early=1
	ok "the write waits for it" kill -0 $writer
	wait $writer
	result $? "and ends"
	ok "the superblock has been written" raid_is $active
	is "before the journal" "$early" 0
	saw "$([ "$early" = 0 ] && echo no || echo yes)"
	ok "the journal is as fast as before" journal_takes 0
	let_udev
	ok "the RAID ends" mdadm --stop /dev/md0
	mdadm --zero-superblock "$mirror"
	no_fragile_pair
}

run_cases "$@"
