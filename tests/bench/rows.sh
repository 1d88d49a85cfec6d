# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# The rows of requests, in the order in which they run: a row may use what an earlier one left. Where one is left out
# that another needs, its work is done without counting. REQUESTS is the number for 4 KiB.

# Areas of the backing device, in MiB from its start; rows warm up at its end.
A=0 B=64 B32=96 C=128 D=160 E=192
N=$REQUESTS
N64K=$((N / 8 > 512 ? 512 : N / 8))
N1M=$((N / 64 > 32 ? 32 : N / 64 < 16 ? 16 : N / 64))

request_rows() {
	open_backing
	row pass-read-1 $DEV $A "$N" 4 1 randread
	row pass-write-1 $DEV $A "$N" 4 1 randwrite

	attach_set $CACHE 512k
	row wt-write-1 $DEV $A "$N" 4 1 randwrite
	row wt-write-32 $DEV $A "$N" 4 32 randwrite
	if any_wanted hit-read-1 hit-read-32 hit-read-2jobs; then
		fill $DEV $A "$N"
	fi
	row hit-read-1 $DEV $A "$N" 4 1 randread
	row hit-read-32 $DEV $A "$N" 4 32 randread
	row_of_two hit-read-2jobs $DEV $A "$N" randread
	row miss-read-1 $DEV $B "$N" 4 1 randread
	row miss-read-32 $DEV $B32 "$N" 4 32 randread

	mode none
	row bypass-read-1 $DEV $C "$N" 4 1 randread
	row bypass-write-1 $DEV $C "$N" 4 1 randwrite

	mode writeback
	echo 0 >$BDEV/writeback_running
	row wb-write-1 $DEV $A "$N" 4 1 randwrite
	row wb-write-32 $DEV $A "$N" 4 32 randwrite
	row wb-fsync-1 $DEV $A "$N" 4 1 randwrite --fsync=1
	row journal-write-1 $DEV $A "$N" 4 1 randwrite --sync=dsync
	if wanted writeback-key; then
		[ "$ROWS" = all ] || fill_big $DEV $A $((N / 256)) randwrite 4k
		settle
		work writeback-key "$N" drain
		echo 0 >$BDEV/writeback_running
	fi
	# Where no smaller extents were: of those a read would meet the remains, more or fewer.
	row wb-write-64k $DEV $D "$N64K" 64 1 write
	[ "$ROWS" = all ] || ! wanted hit-read-64k || fill_big $DEV $D 32 write 64k
	row hit-read-64k $DEV $D "$N64K" 64 1 read
	row wb-write-1m $DEV $E "$N1M" 1024 1 write "${VERIFIABLE[@]}"
	[ "$ROWS" = all ] || ! wanted hit-read-1m || fill_big $DEV $E 32
	row hit-read-1m $DEV $E "$N1M" 1024 1 read
	sysfs_rows
	if any_wanted detach wb-write-1m; then
		drain
		settle
		work detach 1 detach
		! wanted wb-write-1m || verify $DEV $E $((N1M * 1048576))
	fi
	stop_all
	sleep 1
}

driver_rows() {
	# What is verified was not written by the driver before.
	dd if=/dev/zero of=$BACKING bs=1M count=$BACKING_MB oflag=direct 2>/dev/null
	memory_rows
	request_rows
	split_row
	mixed_row
	invalidate_row
	take_rows
	index_rows
	register_rows
}
