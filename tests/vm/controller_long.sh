#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 2400
# manual
# The whole step response of the controller (the simulator's case "step"), with the defaults, half an hour: of the C driver,
# of this one under C's law, and under the adaptive one. The figures agree with those of the simulator, and are what the
# adaptive law promises. The pictures and the numbers stay in $CONTROLLER_OUT, if that is set.
set -u
here=$(dirname "$0")
top=$(cd "$here/../.." && pwd)
out=${CONTROLLER_OUT:-$TMPDIR/controller}
mkdir -p "$out"
# guest DRIVER LAW...
guest() {
	local driver=$1
	shift
	"$VM" run --driver "$driver" --mem 2G --timeout 1800 --out "$out" --with "$here/lib.sh" "$here/lib_controller.sh" step "$@" \
		>"$out/guest-$driver.log" 2>&1
	local status=$?
	sed -n 's/^\(not ok\|ok\|#\) /# guest: &/p' "$out/guest-$driver.log"
	[ $status = 0 ] && return
	tail -n 30 "$out/guest-$driver.log" | sed 's/^/#   /'
	echo "not ok 1 the guest with the $driver driver (status $status)"
	exit 1
}
guest c C
guest rust pi adaptive
exec "$top/scripts/sim" --out "$out" --guest "$out" step
