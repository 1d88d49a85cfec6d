#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --mem 2G --disk cache2=128M --disk back2=96M --timeout 400
# long
# Power cuts as in crash.sh, of disks with a volatile cache: of what no flush has followed, any part may be there, or nothing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_crash.sh"
quiet_udev
modprobe nbd nbds_max=2 max_part=0

# forgetful NAME DEVICE: such a disk, as large as NAME2, which gets what it is after a power cut
forgetful() {
	mkdir "/run/$1"
	python3 "$(dirname "$0")/lib_forgetful_disk.py" "$2" $(($(blockdev --getsize64 "$(disk "$1"2)") >> 20)) "/run/$1" "$(disk "$1"2)"
	linear "$1" "$2"
}

# left_over NAME NUMBER: writes to NAME2 what is left of a disk
left_over() {
	kill -USR2 "$(cat "/run/$1/pid")"
	within 60 grep -qsx "$2" "/run/$1/images" || note "the image of $1 was not made"
}

cuts=0
cut_power() {
	# Who waits for a frozen disk is not stuck, however long its image takes.
	put 0 /proc/sys/kernel/hung_task_timeout_secs
	freeze
	cuts=$((cuts + 1))
	left_over cache $cuts
	left_over back $cuts
	thaw
	put 30 /proc/sys/kernel/hung_task_timeout_secs
	note "not flushed: cache $(cat /run/cache/volatile), backing disk $(cat /run/back/volatile)"
}

cache=$(forgetful cache /dev/nbd0) back=$(forgetful back /dev/nbd1)
dev=$(start_pair "$cache" "$back" --bucket 16384)
result $? "a device with a set"
crash_rounds 3
ok "no complaint" no_complaint
for disk in cache back; do
	dmsetup remove $disk
	at_least "$disk: power cuts" "$(cat /run/$disk/images)" 3
	kill -KILL "$(cat /run/$disk/pid)"
done
done_testing
