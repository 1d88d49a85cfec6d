#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs inside the toolchain tree: makes the initramfs of a guest with a driver.
#   tree-driver.sh FOLDER RELEASE INITRD      FOLDER/modules holds the module tree; FOLDER/initrd is made
set -euo pipefail
dir=$1 kver=$2 initrd=$3
# As `make install` does: most of a module is debug information.
find "$dir/modules" -name bcache.ko -exec strip --strip-debug {} +
depmod -b "$dir/modules" "$kver"
cd "$dir/modules/lib/modules/$kver"
rm -rf kernel modules.alias modules.builtin modules.builtin.modinfo modules.dep modules.symbols modules.softdep.bin modules.order
mkdir -p "$dir/ird"
cp -r . "$dir/ird/lib-modules"
cd "$dir/ird"
{
	cat "$initrd"
	find . | cpio -o -H newc --quiet | zstd -q -1
} >"$dir/initrd"
rm -rf "$dir/ird"
