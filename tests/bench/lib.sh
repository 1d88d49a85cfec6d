# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Parts of the guest of scripts/bench: a measured fio job, and a device that comes and goes.

# The smaller the cache, the fewer buckets C keeps ready; writes that find none are not cached.
CACHE_MB=1024 BACKING_MB=256
CACHE=/dev/ram0
BACKING=/dev/ram1
SET=11111111-2222-3333-4444-555555555555
BDEV=/sys/block/${BACKING#/dev/}/bcache
CSET=/sys/fs/bcache/$SET
turn=0

# clock TEXT: how far the guest is, in its own seconds
clock() {
	echo "bench: $(cut -d" " -f1 /proc/uptime) $*" >/dev/console
}

say() {
	echo "$*" >&3
}

die() {
	say "failed turn $turn: $*"
	echo "bench: failed: $*" >/dev/kmsg
	sleep 1
	echo o >/proc/sysrq-trigger
	sleep 60
}

# until_ok SECONDS COMMAND...
until_ok() {
	local n=$(($1 * 50))
	shift
	until "$@" 2>/dev/null; do
		n=$((n - 1))
		[ $n -gt 0 ] || die "not in time: $*"
		sleep 0.02
	done
}

# wanted NAME: the row is to be measured
wanted() {
	[ "$ROWS" = all ] || [[ ,$ROWS, == *,$1,* ]]
}

# any_wanted NAME...
any_wanted() {
	local n
	for n; do
		wanted "$n" && return
	done
	return 1
}

said_modules() {
	say "modules $turn"
	cat /proc/modules >&3
	say "end"
	if [ -n "$SYMBOLS" ]; then
		say "symbols $turn"
		if [ "$turn" = 0 ]; then cat /proc/kallsyms >&3; else grep -F '[' /proc/kallsyms >&3; fi
		say "end"
	fi
}

# Of a real-time priority: who runs next, fio or a worker of the driver, would else hang on what ran before. Now and then it
# rests, so that the driver's threads get the processor, too: without them there are no free buckets.
FIO=(
	chrt -f 10 fio --minimal --ioengine=libaio --direct=1 --randseed=42 --allrandrepeat=1 --invalidate=0 --eta=never --gtod_reduce=1 --allow_file_create=0
	--thinktime=1ms --thinktime_blocks=32
)

# fill DEVICE OFFSET-MiB BLOCKS: writes each 4 KiB block once, in random order, without counting
fill() {
	local rw
	# Where no bucket was ready the write has passed the cache by; a read brings it in, unless there is none again.
	for rw in randwrite read read; do
		"${FIO[@]}" --name=fill --filename="$1" --offset="${2}M" --size=$(($3 * 4096)) --bs=4k --rw=$rw >/tmp/fio.log || die "fill"
		sleep 1
	done
}

# row NAME DEVICE OFFSET-MiB REQUESTS BS DEPTH RW [FIO-OPTION...]
# A job of the same kind at the end of the device comes first, uncounted. Each block of the area is met once.
row() {
	local name=$1 device=$2 offset=$3 requests=$4 bs=$5 depth=$6 rw=$7
	shift 7
	wanted "$name" || return 0
	# What an earlier row left to do in the background is not this one's, nor is its share of the next gc.
	[ ! -e $CSET/internal/trigger_gc ] || echo 1 >$CSET/internal/trigger_gc
	sleep 2
	"${FIO[@]}" --filename="$device" --bs="${bs}k" --iodepth="$depth" --rw="$rw" "$@" \
		--name=warm --offset=$((BACKING_MB - 32))M --size=$((bs > 64 ? 16 : 1))M --number_ios=$((bs > 4 ? 16 : 200)) \
		--name=run --stonewall --offset="${offset}M" --size=$((requests * bs))k \
		--exec_prerun="mark 1" --exec_postrun="mark 2" >/tmp/fio.log 2>&1 || die "fio $name: $(tail -n 3 /tmp/fio.log)"
	say "row $turn $name $requests"
}

# open_backing: a new backing device, without a set
open_backing() {
	dd if=/dev/zero of=$BACKING bs=64k count=1 oflag=direct 2>/dev/null
	dd if=/dev/zero of=$CACHE bs=1M count=1 oflag=direct 2>/dev/null
	make-bcache -w 4k -B $BACKING >/tmp/make.log 2>&1 || die "make-bcache: $(cat /tmp/make.log)"
	echo $BACKING >/sys/fs/bcache/register || die "register $BACKING"
	until_ok 10 test -b /dev/bcache0
	echo 0 >$BDEV/sequential_cutoff
}

# attach_set: a new set for it, which decides nothing by the speed of its disks
attach_set() {
	make-bcache -w 4k -b 512k --cset-uuid $SET -C $CACHE >/tmp/make.log 2>&1 || die "make-bcache: $(cat /tmp/make.log)"
	echo $CACHE >/sys/fs/bcache/register || die "register $CACHE"
	until_ok 10 test -d $CSET
	echo $SET >$BDEV/attach || die "attach"
	until_ok 10 test -d $BDEV/cache
	echo 0 >$CSET/congested_read_threshold_us
	echo 0 >$CSET/congested_write_threshold_us
	mode writethrough
}

mode() {
	echo "$1" >$BDEV/cache_mode || die "cache_mode $1"
}

# leave: stops everything and unloads the driver
leave() {
	[ ! -e $BDEV/stop ] || echo 1 >$BDEV/stop
	until_ok 60 test ! -e $BDEV
	[ ! -e $CSET/stop ] || echo 1 >$CSET/stop
	until_ok 60 test ! -e $CSET
	until_ok 60 rmmod bcache
}
