#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 300
# case: reboot | B31 | the machine reboots while dirty data is written back, also with a disk in use
# The machine reboots by itself while dirty data is written back: the driver stops everything before that, so that the
# next boot has nothing to replay; and with a disk still in use, or one that does not answer, which it waits for in vain, nothing
# that was synced is lost.
. "$(dirname "$0")/lib_host.sh"
use_disks cache=128M back=64M held=16M
driver=${VM_DRIVER:-rust}

# For the table of scripts/faults.
saw() {
	local how="all is stopped before, nothing that was synced is lost"
	[ "$_failed" = 0 ] || how="**fails** at: $_last"
	echo "# saw: reboot: $how"
}
trap saw EXIT

# reboot_step LINE STEP...: a guest that reboots; its console must hold LINE
reboot_step() {
	local log=$TMPDIR/step.log rc=0 said=$1 start=$SECONDS console
	shift
	guest "$driver" "$here/lib_interchange.sh" "$@" >"$log" 2>&1 || rc=$?
	console=$(sed -n 's/.*console log: //p' "$log")
	# 98: the guest ended before its job did.
	if [ "$rc" = 98 ] && ! grep -q '^not ok' "$log" && no_splat "$log" && grep -qF "$said" "$console"; then
		rc=0
	else
		grep -a bcache "$console" | tail -n 20 >>"$log"
	fi
	report "$* ($((SECONDS - start)) s)" "$rc" "$log"
	[ "$rc" = 0 ] || finish
}

reboot_step "All devices stopped" format=65536 load=1 halt=writer reboot
# C replays keys after a clean stop, too.
replay=(replayed=0)
[ "$driver" != c ] || replay=()
step "$driver" open "${replay[@]}" check
reboot_step "Timeout waiting for devices to be closed" open load=2 reboot
# C waits for its register lock without a bound.
if [ "$driver" != c ]; then
	step "$driver" open check stop
	reboot_step "Timeout waiting for devices to be closed" open load=3 stuck reboot
fi
step "$driver" open check drain stop raw check
finish
