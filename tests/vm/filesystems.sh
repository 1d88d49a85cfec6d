#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=768M --timeout 300
# ext4 and xfs on a writeback device: files keep their checksums over remounts, stop and register.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
bdev=$(start_pair "$cache" "$back" --bucket 65536)
ok "a device attached to a set" test -b "$bdev"
dir=$(sysdir "$back")
put writeback "$dir/cache_mode"
put 0 "$dir/sequential_cutoff"
no_congestion "$dir"

for fs in ext4 xfs; do
	case $fs in
	ext4) ok "mkfs.ext4" mkfs.ext4 -qF "$bdev" ;;
	xfs) ok "mkfs.xfs" mkfs.xfs -qf "$bdev" ;;
	esac
	mkdir -p /mnt/$fs
	ok "mount $fs" mount -t $fs "$bdev" /mnt/$fs
	for i in $(seq 40); do
		dd if=/dev/urandom of="/mnt/$fs/file$i" bs=64k count=$((i % 20 + 1)) status=none
	done
	cp -r /usr/share/perl5 /mnt/$fs/ 2>/dev/null || cp -r /usr/lib/python3* /mnt/$fs/
	(cd /mnt/$fs && find . -type f -print0 | sort -z | xargs -0 sha256sum) >/tmp/$fs.sums
	note "$(wc -l </tmp/$fs.sums) files on $fs, dirty $(cat "$dir/dirty_data")"
	ok "unmount $fs" umount /mnt/$fs
	ok "mount $fs again" mount -t $fs "$bdev" /mnt/$fs
	ok "checksums on $fs" sh -c "cd /mnt/$fs && sha256sum --quiet -c /tmp/$fs.sums"
	ok "trim on $fs" fstrim /mnt/$fs
	ok "unmount $fs for the restart" umount /mnt/$fs
	at_least "dirty bytes" "$(dirty_bytes "$back")" 1
	ok "stop with dirty data" stop_all
	ok "register both" register "$cache" "$back"
	ok "the disk is back" within 10 test -b "$bdev"
	ok "mount $fs after the restart" mount -t $fs "$bdev" /mnt/$fs
	ok "checksums on $fs after the restart" sh -c "cd /mnt/$fs && sha256sum --quiet -c /tmp/$fs.sums"
	ok "unmount $fs at the end" umount /mnt/$fs
done
ok "fsck finds nothing" xfs_repair -n "$bdev"
done_testing
