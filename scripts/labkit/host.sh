#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes sure that the host has what the lab needs: installs it as root, names it in one line otherwise.
set -eu
. "$(dirname "$0")/common.sh"

missing=()
for p in "${LAB_HOST_NEEDS[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || die "packages are missing; as root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"

install() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y --no-install-recommends "${missing[@]}" </dev/null && return
	apt-get update && apt-get install -y --no-install-recommends "${missing[@]}" </dev/null
}
lab_step "installing ${missing[*]}" install
