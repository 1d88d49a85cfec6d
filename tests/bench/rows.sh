# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The rows of the table, in the order in which they run: a row may use what an earlier one left. Where one is left out
# that another needs, its work is done without counting. REQUESTS is the number for 4 KiB.

# Areas of the backing device, in MiB from its start; rows warm up at its end.
A=0 B=64 B32=96 C=128
N=$REQUESTS
N64K=$((N / 8 > 512 ? 512 : N / 8))
N1M=$((N / 64 > 40 ? 40 : N / 64 < 16 ? 16 : N / 64))

# The floor: the same jobs on the disk itself.
raw_rows() {
	row raw-read-1 $BACKING $A "$N" 4 1 randread
	row raw-read-32 $BACKING $A "$N" 4 32 randread
	row raw-write-1 $BACKING $A "$N" 4 1 randwrite
	row raw-write-32 $BACKING $A "$N" 4 32 randwrite
	row raw-fsync-1 $BACKING $A "$N" 4 1 randwrite --fsync=1
	row raw-write-64k $BACKING $A "$N64K" 64 1 write
	row raw-read-64k $BACKING $A "$N64K" 64 1 read
	row raw-write-1m $BACKING $A "$N1M" 1024 1 write
	row raw-read-1m $BACKING $A "$N1M" 1024 1 read
}

driver_rows() {
	open_backing
	row pass-read-1 /dev/bcache0 $A "$N" 4 1 randread
	row pass-write-1 /dev/bcache0 $A "$N" 4 1 randwrite

	attach_set
	row wt-write-1 /dev/bcache0 $A "$N" 4 1 randwrite
	row wt-write-32 /dev/bcache0 $A "$N" 4 32 randwrite
	if any_wanted hit-read-1 hit-read-32; then
		fill /dev/bcache0 $A "$N"
	fi
	row hit-read-1 /dev/bcache0 $A "$N" 4 1 randread
	row hit-read-32 /dev/bcache0 $A "$N" 4 32 randread
	row miss-read-1 /dev/bcache0 $B "$N" 4 1 randread
	row miss-read-32 /dev/bcache0 $B32 "$N" 4 32 randread

	mode none
	row bypass-read-1 /dev/bcache0 $C "$N" 4 1 randread
	row bypass-write-1 /dev/bcache0 $C "$N" 4 1 randwrite

	mode writeback
	echo 0 >$BDEV/writeback_running
	row wb-write-1 /dev/bcache0 $A "$N" 4 1 randwrite
	row wb-write-32 /dev/bcache0 $A "$N" 4 32 randwrite
	row wb-fsync-1 /dev/bcache0 $A "$N" 4 1 randwrite --fsync=1
	row wb-write-64k /dev/bcache0 $A "$N64K" 64 1 write
	row hit-read-64k /dev/bcache0 $A "$N64K" 64 1 read
	row wb-write-1m /dev/bcache0 $A "$N1M" 1024 1 write
	row hit-read-1m /dev/bcache0 $A "$N1M" 1024 1 read
}
