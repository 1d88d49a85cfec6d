#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs inside the toolchain tree: configures and builds the debug kernel in /kdir and installs it.
#   tree-debug-kernel.sh SOURCE IMAGE
set -eu
src=$1 image=$2
config=$(dirname "$0")/debug.config
run() {
	make -C "$src" O=/kdir LLVM=1 "$@"
}

run KCONFIG_ALLCONFIG="$config" allnoconfig
lost=$(grep '^CONFIG_' "$config" | grep -vxFf /kdir/.config || true)
[ -z "$lost" ] || {
	printf 'these did not survive Kconfig:\n%s\n' "$lost" >&2
	exit 1
}
run -j"$(nproc)" bzImage modules
kver=$(cat /kdir/include/config/kernel.release)
run INSTALL_MOD_PATH="$image/usr" INSTALL_MOD_STRIP=1 DEPMOD=true modules_install
rm -f "$image/usr/lib/modules/$kver/build" "$image/usr/lib/modules/$kver/source"
cp /kdir/arch/x86/boot/bzImage "$image/usr/lib/modules/$kver/vmlinuz"
cp /kdir/.config "$image/usr/lib/modules/$kver/config"
# Building modules needs the headers, the tools and rust/, none of the kernel's objects.
find /kdir -path /kdir/rust -prune -o -path /kdir/scripts -prune -o -path /kdir/tools -prune -o \
	\( -name '*.o' -o -name '*.a' \) -type f -exec rm -f {} +
rm -f /kdir/vmlinux /kdir/vmlinux.unstripped
