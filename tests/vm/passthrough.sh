#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk back=128M --timeout 120
# A backing device without a set passes everything through, offset by its superblock.
. "$(dirname "$0")/lib.sh"
quiet_udev
back=$(disk back)
format_backing "$back"
ok "register" register "$back"
ok "the disk appears" within 10 test -b /dev/bcache0
fio_verify "random writes of all sizes" /dev/bcache0 --rw=randwrite --bsrange=512-256k --blockalign=512 \
	--iodepth=16 --size=96M --io_size=64M
dd if=/dev/urandom of=/tmp/sample bs=64k count=4 status=none
ok "write a sample" dd if=/tmp/sample of=/dev/bcache0 bs=64k seek=100 oflag=direct conv=fsync status=none
ok "it lies 8 KiB further on the backing device" cmp -n 262144 /tmp/sample <(
	dd if="$back" bs=8192 skip=$((800 + 1)) count=32 iflag=direct status=none)
ok "flush and FUA" fio --name=f --filename=/dev/bcache0 --rw=randwrite --bs=4k --size=1M --fsync=4 --sync=1 --direct=1
before=$(awk '{ print $14 }' "/sys/block/$(basename "$back")/stat")
ok "discard" blkdiscard -o 1048576 -l 1048576 /dev/bcache0
is "sectors that the backing device discards" $(($(awk '{ print $14 }' "/sys/block/$(basename "$back")/stat") - before)) 2048
before=$(awk '{ print $7 }' /sys/block/bcache0/stat)
dd if=/dev/zero of=/dev/bcache0 bs=64k count=16 oflag=direct status=none
is "statistics count what passes" "$(($(awk '{ print $7 }' /sys/block/bcache0/stat) - before))" 2048
ok "a partition table" sh -c "echo ,32M | sfdisk -q --no-reread --no-tell-kernel --lock=no /dev/bcache0"
ok "is read" blockdev --rereadpt /dev/bcache0
ok "the partition appears" within 5 test -d /sys/block/bcache0/bcache0p1
exec 9<>/dev/bcache0
put 1 "$(sysdir "$back")/stop"
fails "a stopped disk cannot be opened" dd if=/dev/bcache0 of=/dev/null bs=4k count=1 status=none
ok "but who has it open goes on" dd of=/dev/null bs=4k count=1 status=none <&9
exec 9>&-
ok "the last close ends it" within 20 none_left
ok "the backing device is free" can_claim "$back"
ok "register again" register "$back"
ok "again there" within 10 test -b /dev/bcache0
ok "stop" stop_all
ok "unload" unload
done_testing
