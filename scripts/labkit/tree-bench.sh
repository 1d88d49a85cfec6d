#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs inside the toolchain tree: makes QEMU's plugin, and an initramfs that holds all that the guest of scripts/bench needs;
# modules/order there says for a module by name what has to be loaded, in order.
#   tree-bench.sh GUEST-FOLDER ROOTFS OUT
set -eu
guest=$1 rootfs=$2 out=$3
programs=(
	usr/bin/bash usr/bin/chrt usr/bin/fio usr/sbin/make-bcache usr/sbin/bcache-super-show usr/sbin/dmsetup
)
modules=(brd null_blk configfs dm-mod dm-cache dm-cache-smq dm-writecache dm-delay)

gcc-14 -Wall -O2 -fPIC -shared -o "$out/count.so" /bcache/tests/bench/count.c
ird=$out/ird
mkdir -p "$ird"/{bin,dev,proc,sys,tmp,run,lib64,modules/c,usr/lib/x86_64-linux-gnu}
gcc-14 -Wall -O2 -static -nostdlib -o "$ird/bin/mark" /bcache/tests/bench/mark.c
gcc-14 -Wall -O2 -fPIC -shared -nostdlib -o "$ird/bin/mark.so" /bcache/tests/bench/bash_mark.c
ln -s usr/lib "$ird/lib"
cp "$rootfs/usr/bin/busybox" "$ird/bin/busybox"
for a in $("$ird/bin/busybox" --list | grep -vx busybox); do
	ln -s busybox "$ird/bin/$a"
done
for p in "${programs[@]}"; do
	cp -L "$rootfs/$p" "$ird/bin/"
	chroot "$rootfs" ldd "/$p" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | while read -r l; do
		cp -Ln "$rootfs/$l" "$ird/usr/lib/x86_64-linux-gnu/"
	done
done
cp -L "$rootfs/lib64/ld-linux-x86-64.so.2" "$ird/lib64/"
kver=$(basename "$guest"/modules/lib/modules/*)
for m in "${modules[@]}"; do
	modprobe -S "$kver" -d "$guest/modules" --show-depends "$m" | awk '$1 == "insmod" { print $2 }' | while read -r f; do
		cp "$f" "$ird/modules/"
		f=${f##*/}
		echo "$m: ${f%.ko}" >>"$ird/modules/order"
	done
done
cp "$guest/c/bcache.ko" "$ird/modules/c/"
cp "$guest/c/bcache.ko" "$out/c.ko"
(cd "$ird" && find . | cpio -o -H newc --quiet) >"$out/initrd"
rm -rf "$ird"
