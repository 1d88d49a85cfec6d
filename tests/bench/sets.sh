# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Parts of the guest of scripts/bench: its disks, and the devices and sets that come and go on them.

# The smaller the cache, the fewer buckets C keeps ready; writes that find none are not cached. The small one is for rows
# that need a full cache; the copy is for one whose guest "has died".
CACHE_MB=1024 BACKING_MB=256 SMALL_MB=96
CACHE=/dev/ram0 BACKING=/dev/ram1 SMALL=/dev/ram2p1 COPY=/dev/ram3p1
SET=11111111-2222-3333-4444-555555555555
BDEV=/sys/block/${BACKING#/dev/}/bcache
CSET=/sys/fs/bcache/$SET
DEV=/dev/bcache0

# partition DISK: one partition of SMALL_MB from the first MiB
partition() {
	{
		printf '\x00\x00\x00\x00\x83\x00\x00\x00\x00\x08\x00\x00'
		printf '%b' "$(printf '\\x%02x' $((SMALL_MB * 2048 & 255)) $((SMALL_MB * 2048 >> 8 & 255)) $((SMALL_MB * 2048 >> 16 & 255)) 0)"
	} | dd of="$1" bs=1 seek=446 conv=notrunc 2>/dev/null
	printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc 2>/dev/null
	sync
	blockdev --rereadpt "$1"
	until_ok 10 test -b "${1}p1"
}

# A page of brd is allocated when it is first written: no row shall pay for that.
make_disks() {
	insmod /modules/brd.ko rd_nr=4 rd_size=$((CACHE_MB * 1024))
	partition /dev/ram2
	partition /dev/ram3
	dd if=/dev/zero of=$CACHE bs=1M count=$CACHE_MB oflag=direct 2>/dev/null
	dd if=/dev/zero of=$BACKING bs=1M count=$BACKING_MB oflag=direct 2>/dev/null
	dd if=/dev/zero of=$SMALL bs=1M count=$SMALL_MB oflag=direct 2>/dev/null
	dd if=/dev/zero of=$COPY bs=1M count=$SMALL_MB oflag=direct 2>/dev/null
}

# register DISK: again, until whoever had it before has let go
register() {
	until_ok 10 try_register "$1"
}
try_register() {
	echo "$1" >/sys/fs/bcache/register
}

# open_backing: a new backing device, without a set
open_backing() {
	dd if=/dev/zero of=$BACKING bs=64k count=1 oflag=direct 2>/dev/null
	make-bcache -w 4k -B $BACKING >/tmp/make.log 2>&1 || die "make-bcache: $(cat /tmp/make.log)"
	register_backing
}

register_backing() {
	register $BACKING
	until_ok 10 test -b $DEV
	echo 0 >$BDEV/sequential_cutoff
}

# register_set DISK: one that was made earlier; it decides nothing by the speed of its disks
register_set() {
	register "$1"
	until_ok 10 test -d $CSET
	echo 0 >$CSET/congested_read_threshold_us
	echo 0 >$CSET/congested_write_threshold_us
}

# attach_set DISK BUCKET [BLOCK]: a new set for the backing device
attach_set() {
	# Its journal must not find entries of an earlier set, which had the same UUID.
	dd if=/dev/zero of="$1" bs=1M count=16 oflag=direct 2>/dev/null
	make-bcache -w "${3:-4k}" -b "$2" --cset-uuid $SET -C "$1" >/tmp/make.log 2>&1 || die "make-bcache: $(cat /tmp/make.log)"
	register_set "$1"
	echo $SET >$BDEV/attach || die "attach"
	until_ok 10 test -d $BDEV/cache
	mode writethrough
}

mode() {
	echo "$1" >$BDEV/cache_mode || die "cache_mode $1"
}

# clean: no dirty data any more
clean() {
	local s
	read -r s <$BDEV/state
	[ "$s" = clean ]
}

# drain: writes all dirty data back, as fast as it goes
drain() {
	echo 0 >$BDEV/writeback_percent
	echo 0 >$BDEV/writeback_delay
	echo 1 >$BDEV/writeback_running
	until_ok 60 clean
}

detach() {
	echo 1 >$BDEV/detach
	until_ok 60 test ! -e $BDEV/cache
}

# stop_all: device and set
stop_all() {
	[ ! -e $BDEV/stop ] || echo 1 >$BDEV/stop
	until_ok 60 test ! -e $BDEV
	[ ! -e $CSET/stop ] || echo 1 >$CSET/stop
	until_ok 60 test ! -e $CSET
}

# leave: stops everything and unloads the driver
leave() {
	stop_all
	until_ok 60 rmmod bcache
}
