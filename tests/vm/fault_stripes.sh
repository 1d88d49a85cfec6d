#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk odd=130M,opt_io_size=196608 --disk big=8T,opt_io_size=4096 --timeout 120
# case: odd_stripes | H14, B15 | stripes of 3 x 64 KiB: 32 KiB dirty at the end of the device
# case: small_stripes | B14 | 8 TiB with an `io_opt` of 4 KiB
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
	saw "written back to its place"
}

run_cases "$@"
