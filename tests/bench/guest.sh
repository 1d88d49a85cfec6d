#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Process 1 of the guest of scripts/bench: fixed work on disks in memory, with each driver in turn.
# Says on the port "lab.out": modules TURN and the lines of /proc/modules; row TURN NAME UNITS for each bracket, in order;
# did TURN NAME HITS MISSES BYPASS-HITS BYPASS-MISSES DIRTY of a row; data TURN NAME VALUE for what is no bracket; symbols, if asked; done at the end.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs shm /dev/shm 2>/dev/null || { mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm; }
mkdir -p /tmp
cd /tmp || exit
. /bench/config # REQUESTS ROWS TURNS SYMBOLS
# Whether the device counts what the rows are named after: asked for in a boot of its own.
COUNTS=${COUNTS:-}
enable -f /bin/mark.so mark
. /bench/lib.sh
. /bench/sets.sh
. /bench/others.sh
. /bench/work.sh
. /bench/rows.sh

for p in /sys/class/virtio-ports/*; do
	[ "$(cat "$p/name")" = lab.out ] && port=/dev/${p##*/}
done
exec 3>"$port"
echo 100000 >/proc/sys/vm/stat_interval
clock "booted"
make_disks
clock "disks are filled"

turn=0
said_modules
raw_rows
for driver in $TURNS; do
	turn=$((turn + 1))
	insmod "/modules/$driver/bcache.ko" || die "insmod $driver"
	said_modules
	driver_rows
	clock "turn $turn is measured"
	leave
	clock "turn $turn has ended"
done
say "done"
exec 3>&-
sync
echo o >/proc/sysrq-trigger
sleep 60
