# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The floor, and others than bcache: the same jobs on the disks themselves and under dm-cache and dm-writecache.

raw_rows() {
	row raw-read-1 $BACKING $A "$N" 4 1 randread
	row raw-read-32 $BACKING $A "$N" 4 32 randread
	row_of_two raw-read-2jobs $BACKING $A "$N" randread
	row raw-write-1 $BACKING $A "$N" 4 1 randwrite
	row raw-write-32 $BACKING $A "$N" 4 32 randwrite
	row raw-fsync-1 $BACKING $A "$N" 4 1 randwrite --fsync=1
	row raw-dsync-1 $BACKING $A "$N" 4 1 randwrite --sync=dsync
	row raw-write-8k $BACKING $A "$N" 8 1 randwrite
	row_over raw-mixed $BACKING 192 "$N"
	row raw-write-64k $BACKING $A "$N64K" 64 1 write
	row raw-read-64k $BACKING $A "$N64K" 64 1 read
	row raw-write-1m $BACKING $A "$N1M" 1024 1 write
	row raw-read-1m $BACKING $A "$N1M" 1024 1 read
	idle_row
	null_rows
	dm_rows
}

# load MODULE...: with what they need, in the order of /modules/order
load() {
	local m
	for m; do
		sed -n "s/^$m: //p" /modules/order | while read -r m; do
			[ -e "/sys/module/${m//-/_}" ] || insmod "/modules/$m.ko" || die "insmod $m"
		done
	done
}

# A disk that does nothing at all.
null_rows() {
	any_wanted null-read-1 null-write-1 || return 0
	insmod /modules/configfs.ko 2>/dev/null
	insmod /modules/null_blk.ko nr_devices=1 queue_mode=2 gb=1 || die "null_blk"
	until_ok 10 test -b /dev/nullb0
	row null-read-1 /dev/nullb0 $A "$N" 4 1 randread
	row null-write-1 /dev/nullb0 $A "$N" 4 1 randwrite
	until_ok 10 rmmod null_blk
}

dm_rows() {
	local sectors=$((BACKING_MB * 2048))
	if any_wanted dmwc-write-1 dmwc-hit-read-1; then
		load dm-writecache
		dd if=/dev/zero of=$CACHE bs=1M count=1 oflag=direct 2>/dev/null
		dmsetup create wc --table "0 $sectors writecache s $BACKING $CACHE 4096 0" || die "dm-writecache"
		dmsetup mknodes
		row dmwc-write-1 /dev/mapper/wc $A "$N" 4 1 randwrite
		row dmwc-hit-read-1 /dev/mapper/wc $A "$N" 4 1 randread
		dmsetup remove wc || die "remove wc"
	fi
	if any_wanted dmcache-write-1 dmcache-hit-read-1; then
		load dm-cache dm-cache-smq
		dd if=/dev/zero of=$COPY bs=1M count=1 oflag=direct 2>/dev/null
		dmsetup create dc --table "0 $sectors cache $COPY $CACHE $BACKING 64 1 writeback smq 0" || die "dm-cache"
		dmsetup mknodes
		promote "$((N / 8))"
		row dmcache-hit-read-1 /dev/mapper/dc $A "$N" 4 1 randread
		row dmcache-write-1 /dev/mapper/dc $A "$N" 4 1 randwrite
		dmsetup remove dc || die "remove dc"
	fi
}

# promote BLOCKS: until dm-cache has that many of its blocks in the cache
promote() {
	local n=0 used _
	while [ $n -lt 30 ]; do
		"${FIO[@]}" --name=hot --filename=/dev/mapper/dc --offset="${A}M" --size=$((N * 4))k --bs=4k --rw=randread >/tmp/fio.log || die "promote"
		sleep 2
		dmsetup status dc >/tmp/status
		read -r _ _ _ _ _ _ used _ </tmp/status
		[ "${used%/*}" -lt "$1" ] || break
		n=$((n + 1))
	done
	clock "dm-cache: after $n rounds $(cat /tmp/status)"
}
