#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk odd=130M,opt_io_size=196608 --disk big=8T,opt_io_size=4096 --disk r0=1T --disk r1=1T --disk r2=1T --disk r3=1T --timeout 240
# case: odd_stripes | H14, B15 | stripes of 3 x 64 KiB: 32 KiB dirty at the end of the device
# case: small_stripes | B14 | 8 TiB with an `io_opt` of 4 KiB
# case: raid | H14, B15 | RAID 5 of 3 TiB, stripes of 22 x 3 x 64 KiB: one that is dirty all over, behind 2 TiB, and 128 lone blocks in front
# Stripes of any size, on devices of any size.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache)

case_odd_stripes() {
	a_pair "$cache" "$(disk odd)" --bucket 65536
	set_to writeback_running=0
	is "stripe size" "$(cat "$dir/stripe_size")" 4.1M
	# In the last stripe, where the bits of the place in it look like the end of one.
	dd if=/dev/zero of="$bdev" bs=32k count=1 seek=$((0x3ffe0 * 512)) oflag=direct,seek_bytes status=none
	is "dirty data" "$(cat "$dir/dirty_data")" 32.0k
	saw "dirty_data $(cat "$dir/dirty_data")"
	set_to writeback_percent=0 writeback_delay=0 writeback_running=1
	ok "it is written back" within 5 is_clean "$dir"
	is "dirty data then" "$(cat "$dir/dirty_data")" 0.0k
}

case_small_stripes() {
	local big sum
	big=$(disk big)
	a_pair "$cache" "$big" --bucket 65536
	set_to writeback_running=0
	dd if=/dev/urandom of="$bdev" bs=4k count=1 seek=$((7 << 28)) oflag=direct status=none
	sum=$(dd if="$bdev" bs=4k count=1 skip=$((7 << 28)) iflag=direct status=none | md5sum)
	is "dirty data" "$(cat "$dir/dirty_data")" 4.0k
	set_to writeback_percent=0 writeback_delay=0 writeback_running=1
	ok "it is written back" within 5 is_clean "$dir"
	is "to its place" "$(dd if="$big" bs=4k count=1 skip=$(((7 << 28) + 2)) iflag=direct status=none | md5sum)" "$sum"
	saw "$(all_held && echo "written back to its place" || echo "not so")"
}

# A RAID wants whole stripes, which it writes without reading: they go first.
case_raid() {
	local members=() i at size=$((8448 * 512)) middle=$((1 << 40)) whole gone
	for i in 0 1 2 3; do
		members+=("$(disk "r$i")")
	done
	ok "a RAID" mdadm --create /dev/md0 --run --level=5 --raid-devices=4 --chunk=64 --assume-clean --bitmap=none "${members[@]}"
	udevadm settle
	a_pair "$cache" /dev/md0 --bucket 65536
	is "partial stripes are expensive" "$(cat "$dir/partial_stripes_expensive")" 1
	is "stripe size" "$(cat "$dir/stripe_size")" 4.1M
	set_to writeback_running=0
	at=$((635500 * size))
	# At random, so that there are more keys than the thread takes at a time: those it writes by their place.
	fio --name=whole --filename="$bdev" --offset=$at --size=$((2 * size)) --bs=4k --rw=randwrite --direct=1 --ioengine=libaio \
		--iodepth=8 --randseed=3 --output-format=terse >/dev/null
	# Across the border between the two, and not of a stripe each: the superblock in front moves the one against the other.
	dd if=/dev/urandom of="$bdev" bs=64k count=1 seek=$((at + size - 8192 - 32768)) oflag=direct,seek_bytes status=none
	whole=$(dd if="$bdev" bs=4k count=$((2 * size / 4096)) skip=$at iflag=direct,skip_bytes status=none | md5sum)
	# In front of both the place of the stripes and the one that 32 bits make of it, and between the two.
	lone write "$bdev" 0
	lone write "$bdev" $middle
	is "dirty data" "$(cat "$dir/dirty_data")" 8.7M
	set_to writeback_percent=40 writeback_delay=0 writeback_rate_minimum=2048 writeback_running=1
	ok "something is written back" within 20 dirty_below $((7 << 20))
	set_to writeback_running=0
	blockdev --flushbufs /dev/md0
	# Behind the superblock of 8 KiB.
	gone=$(($(lone count /dev/md0 8192) + $(lone count /dev/md0 $((middle + 8192)))))
	is "lone blocks that went before the stripes" "$gone" 0
	saw "$gone of 128 lone blocks go first"
	set_to writeback_percent=0 writeback_running=1
	ok "all is written back" within 20 is_clean "$dir"
	blockdev --flushbufs /dev/md0
	is "lone blocks then" "$(lone count /dev/md0 8192) $(lone count /dev/md0 $((middle + 8192)))" "64 64"
	is "the stripes are in their place" "$whole" \
		"$(dd if=/dev/md0 bs=4k count=$((2 * size / 4096)) skip=$((at + 8192)) iflag=direct,skip_bytes status=none | md5sum)"
	ok "the set ends" stop_all
	ok "the RAID ends" mdadm --stop /dev/md0
	mdadm --zero-superblock "${members[@]}"
}
# lone write|count DEVICE OFFSET: 64 blocks of 4 KiB, a MiB apart; prints how many there are
lone() {
	python3 - "$@" <<'END'
import os, sys
what, device, offset = sys.argv[1], sys.argv[2], int(sys.argv[3])
fd = os.open(device, os.O_RDWR)
found = 0
for i in range(64):
    at, block = offset + (i << 20), bytes([i + 1]) * 4096
    if what == "write":
        os.pwrite(fd, block, at)
    else:
        found += os.pread(fd, 4096, at) == block
os.fsync(fd)
if what == "count":
    print(found)
END
}

run_cases "$@"
