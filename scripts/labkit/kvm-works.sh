#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Succeeds if KVM really runs a guest here: boots the kernel given and waits for its first words. Asked once per host boot.
#   kvm-works.sh KERNEL
set -eu
. "$(dirname "$0")/common.sh"
[ -w /dev/kvm ] || exit 1
answer=$BCACHE_LAB/kvm/$(cat /proc/sys/kernel/random/boot_id)
if [ ! -e "$answer" ]; then
	mkdir -p "$BCACHE_LAB/kvm"
	say "probing KVM (at most 12 s, once per boot of this host)"
	word=no
	if timeout -s KILL 12 "$LAB_KIT/qemu.sh" -M q35,accel=kvm -cpu host -m 512M -nodefaults -no-user-config -display none -no-reboot \
		-serial stdio -kernel "$1" -append "console=ttyS0 panic=-1" </dev/null 2>/dev/null | grep -qa 'Kernel panic'; then
		word=yes
	fi
	echo $word >"$answer.$$"
	mv "$answer.$$" "$answer"
fi
grep -q yes "$answer"
