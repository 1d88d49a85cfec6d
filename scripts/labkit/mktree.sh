#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes a Debian 13 tree with mmdebstrap, using the host's apt settings (archive, proxy, credentials).
#   mktree.sh FOLDER PACKAGE...
set -eu
. "$(dirname "$0")/common.sh"
out=$1
shift

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$LAB_KIT/sources.sh" >"$tmp/sources.list"
apt-config dump | grep -E '^Acquire::((http|https|ftp)(::|:: )|Check-|Retries|ForceIPv|Proxy)' | grep -v ' "";$' >"$tmp/apt.conf" || true

mode=root
hooks=()
if [ "$(id -u)" != 0 ]; then
	mode=unshare
elif [ -n "$(ls /etc/apt/auth.conf.d 2>/dev/null)" ]; then
	hooks+=(--setup-hook="mkdir -p \"\$1/etc/apt/auth.conf.d\"" --setup-hook='copy-in /etc/apt/auth.conf.d /etc/apt')
fi
include=$(printf '%s,' "$@")
mmdebstrap --mode=$mode --variant=minbase --format=directory --aptopt="$tmp/apt.conf" \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--skip=cleanup/apt/lists ${hooks[@]+"${hooks[@]}"} --include="${include%,}" trixie "$out" - <"$tmp/sources.list"
