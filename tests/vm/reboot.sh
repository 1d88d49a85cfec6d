#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 150
# The machine reboots by itself while dirty data is written back: the driver stops everything before that, so that the
# next boot has nothing to replay; and with a disk still in use, which it waits for in vain, nothing that was synced is lost.
. "$(dirname "$0")/lib_host.sh"
use_disks cache=128M back=64M

# reboot_step LINE STEP...: a guest that reboots; its console must hold LINE
reboot_step() {
	local log=$TMPDIR/step.log rc=0 said=$1 start=$SECONDS console
	shift
	guest rust "$here/lib_interchange.sh" "$@" >"$log" 2>&1 || rc=$?
	console=$(sed -n 's/.*console log: //p' "$log")
	# 98: the guest ended before its job did.
	if [ "$rc" = 98 ] && ! grep -q '^not ok' "$log" && grep -qF "$said" "$console"; then
		rc=0
	else
		grep -a bcache "$console" | tail -n 20 >>"$log"
	fi
	report "$* ($((SECONDS - start)) s)" "$rc" "$log"
	[ "$rc" = 0 ] || finish
}

reboot_step "All devices stopped" format=65536 load=1 halt=writer reboot
step rust open replayed=0 check
reboot_step "Timeout waiting for devices to be closed" open load=2 reboot
step rust open check drain check stop raw check
finish
