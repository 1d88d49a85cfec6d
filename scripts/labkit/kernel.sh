#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes sure that the parts of a stock Debian kernel are in the lab, and prints the kernel's release.
#   kernel.sh SERIES [src|hdr|kdir|image]...
# $BCACHE_LAB/kernel/RELEASE/src is its source, hdr the headers packages unpacked, kdir what modules are built against
# (headers and Rust metadata), image its vmlinuz and modules. $BCACHE_LAB/kernel/SERIES points to RELEASE.
set -eu
. "$(dirname "$0")/common.sh"
series=$1
shift
tree=$(lab_tree)
link=$BCACHE_LAB/kernel/$series

if [ ! -e "$link/version" ]; then
	read -r kver version < <(lab_in "$tree" /bcache/scripts/labkit/tree-kernel.sh resolve "$series") || exit 1
	mkdir -p "$BCACHE_LAB/kernel/$kver"
	echo "$version" >"$BCACHE_LAB/kernel/$kver/version"
	ln -sfnT "$kver" "$link"
fi
kver=$(readlink "$link")
version=$(cat "$link/version")
dir=$BCACHE_LAB/kernel/$kver

# Each of these is run by lab_once, with the folder to fill as last argument.
in_lab() {
	echo "/lab/${1#"$BCACHE_LAB"/}"
}
make_src() {
	lab_step "kernel source $version (150 MB)" lab_in "$tree" /bcache/scripts/labkit/tree-kernel.sh source "$series" "$version" "$(in_lab "$1")"
}
make_hdr() {
	local base=${kver%-amd64}
	lab_step "kernel headers $kver" lab_in "$tree" /bcache/scripts/labkit/tree-kernel.sh fetch "$(in_lab "$1")" \
		"linux-headers-$kver=$version" "linux-headers-$base-common=$version" "linux-kbuild-$base=$version"
}
make_image() {
	lab_step "kernel image and modules $kver (110 MB)" lab_in "$tree" /bcache/scripts/labkit/tree-kernel.sh fetch "$(in_lab "$1")" \
		"linux-binary-$kver=$version" "linux-modules-$kver=$version" "linux-base-$kver=$version"
}
make_kdir() {
	export LAB_KDIR=$1
	lab_step "Rust metadata for $kver (2 to 4 minutes)" lab_in "$tree" env "HDR=/lab/kernel/$kver/hdr/usr/src/linux-headers-$kver" \
		/bcache/scripts/debian-kmeta "$kver" "/lab/kernel/$kver/src" /kdir
}

for part; do
	case $part in
	kdir) "$0" "$series" src hdr >/dev/null ;;
	src | hdr | image) ;;
	*) die "kernel.sh: unknown part $part" ;;
	esac
	lab_once "$dir/$part" "make_$part"
done
echo "$kver"
