#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs inside the toolchain tree: makes a guest's files from a kernel and a root file system.
#   tree-guest.sh KERNEL-FOLDER ROOTFS OUT
set -eu
kernel=$1 rootfs=$2 out=$3
from=$(echo "$kernel"/image/usr/lib/modules/*)
kver=${from##*/}
mod=$out/modules/lib/modules/$kver

# What is in the guest: block devices, their file systems, and what these need. The rest would only cost time.
keep=(
	block crypto lib arch/x86/crypto drivers/block drivers/char/hw_random drivers/crypto drivers/md drivers/nvme drivers/scsi/scsi_mod
	drivers/scsi/scsi_common drivers/scsi/sd_mod drivers/scsi/sg drivers/scsi/scsi_debug drivers/virtio fs/9p fs/btrfs fs/configfs
	fs/ext4 fs/f2fs fs/fat fs/fuse fs/jbd2 fs/mbcache fs/netfs fs/nls fs/overlayfs fs/xfs net/9p
)
mkdir -p "$mod/kernel" "$out/c"
# The kernel itself, out of its wrapping: QEMU starts that, too, and unpacking it in an emulated processor takes a second.
"$kernel/src/scripts/extract-vmlinux" "$from/vmlinuz" 2>/dev/null >"$out/vmlinux"
readelf -n "$out/vmlinux" 2>/dev/null | grep -q '0x00000012' || cp "$from/vmlinuz" "$out/vmlinux"
cp "$from"/modules.order "$from"/modules.builtin "$from"/modules.builtin.modinfo "$mod/"
for k in "${keep[@]}"; do
	for f in "$from/kernel/$k" "$from/kernel/$k".ko*; do
		[ -e "$f" ] || continue
		mkdir -p "$mod/kernel/${k%/*}"
		cp -rT "$f" "$mod/kernel/$k${f#"$from/kernel/$k"}"
	done
done
find "$mod" -name '*.ko.xz' -print0 | xargs -0 -r -n 20 -P "$(nproc)" xz -d
# udev must find no bcache but the one that a run chooses.
mv "$mod/kernel/drivers/md/bcache/bcache.ko" "$out/c/"
depmod -b "$out/modules" "$kver"

ird=$(mktemp -d)
mkdir -p "$ird"/{bin,dev,proc,sys,mnt,modules}
cp "$rootfs/usr/bin/busybox" "$ird/bin/"
cp "$(dirname "$0")/guest-initramfs" "$ird/init"
for m in virtio_blk ext4 9p 9pnet_virtio configfs; do
	modprobe -S "$kver" -d "$out/modules" --show-depends "$m"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r f; do
	cp "$f" "$ird/modules/"
	echo "${f##*/}" >>"$ird/modules/order"
done
touch "$ird/modules/order"
(cd "$ird" && find . | cpio -o -H newc --quiet) | zstd -q -3 >"$out/initrd"

# The root file system: the userland, the modules (without the indexes, which depend on the driver), mount points.
root=$(mktemp -d -p "$out")
cp -a "$rootfs/." "$root/"
rm -rf "${root:?}"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/doc "${root:?}"/dev/* "$root"/tmp/*
mkdir -p "$root/lab" "$root/job" "$root/usr/lib/lab-modules" "$root/lib/modules/$kver"
cp -r "$mod/kernel" "$root/usr/lib/lab-modules/"
ln -sf /proc/self/mounts "$root/etc/mtab"
mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$root" "$out/root.img" 2G
rm -rf "$root" "$ird"
