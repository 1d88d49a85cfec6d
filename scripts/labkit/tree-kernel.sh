#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs inside the toolchain tree: what the archive has of a kernel, and its parts.
#   tree-kernel.sh resolve 7.2        prints "KVER VERSION", the stock amd64 kernel of that series
#   tree-kernel.sh fetch DIR PKG=VERSION...   downloads the packages and unpacks them into DIR
#   tree-kernel.sh source 7.2 VERSION DIR     the kernel's source, as Debian patched it, into DIR
set -eu

resolve() {
	local series=$1 version kver
	apt-cache show "linux-source-$series" >/dev/null 2>&1 || apt-get update >/dev/null 2>&1 || true
	version=$(apt-cache policy "linux-source-$series" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
	kver=$(apt-cache pkgnames "linux-headers-$series." | sed -n 's/^linux-headers-\(.*+deb13-amd64\)$/\1/p' | sort -V |
		while read -r k; do
			apt-cache show --no-all-versions "linux-headers-$k" | awk -v k="$k" -v v="$version" '$1 == "Version:" && $2 == v { print k }'
		done | tail -n 1)
	if [ -z "$version" ] || [ -z "$kver" ]; then
		printf 'The archive has no kernel %s any more. Series with source there: %s\n' "$series" \
			"$(apt-cache pkgnames linux-source- | sed -n 's/^linux-source-\([0-9.]*\)$/\1/p' | sort -V | tr '\n' ' ')" >&2
		return 1
	fi
	echo "$kver $version"
}

fetch() {
	local dir=$1 debs p
	shift
	debs=$(mktemp -d /var/tmp/debs.XXXXXX)
	cd "$debs"
	apt-get -o APT::Sandbox::User=root download "$@" || {
		apt-get update
		apt-get -o APT::Sandbox::User=root download "$@"
	}
	for p in *.deb; do
		dpkg -x "$p" "$dir"
	done
	cd /
	rm -rf "$debs"
}

source_tree() {
	local series=$1 version=$2 dir=$3
	fetch "$dir/pkg" "linux-source-$series=$version"
	tar -C "$dir" --strip-components=1 -xf "$dir/pkg/usr/src/linux-source-$series.tar.xz"
	rm -rf "$dir/pkg"
}

cmd=$1
shift
case $cmd in
resolve) resolve "$@" ;;
fetch) fetch "$@" ;;
source) source_tree "$@" ;;
*) exit 2 ;;
esac
