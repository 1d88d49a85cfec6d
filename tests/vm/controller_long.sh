#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 2400
# manual
# The controller of the writeback rate with default settings, for ten minutes of a guest's time and each law: 1 MiB/s, 2.44
# MiB/s, then nothing, on a backing device of 4 MiB/s; C's driver under the same load. The guests run with --icount: their
# clock stands still while nobody works, so that it takes four minutes of the host each, and gives the same each time.
# The figures agree with those of the simulator, those of `pi` with those of C's driver, and those of `adaptive` are what it
# promises. `make controller-guest` runs this; pictures and numbers stay in $CONTROLLER_OUT, and the
# documents get the picture, if that is set.
set -u
here=$(dirname "$0")
top=$(cd "$here/../.." && pwd)
out=${CONTROLLER_OUT:-$TMPDIR/controller}
mkdir -p "$out"

# guest DRIVER LAW...
guest() {
	local driver=$1 log=$out/guest-$1.log status=0 start=$SECONDS
	shift
	"$VM" run --driver "$driver" --icount --cpus 1 --mem 2G --timeout 1500 --out "$out" --with "$here/lib.sh" \
		"$here/lib_controller.sh" step "$@" >"$log" 2>&1 || status=$?
	sed -n 's/^\(not ok\|ok\|#\) /# guest: &/p' "$log"
	if [ $status != 0 ]; then
		tail -n 30 "$log" | sed 's/^/#   /'
		echo "not ok 1 the guest with the driver $driver (status $status)"
		exit 1
	fi
	echo "# the guest took $((SECONDS - start)) s"
}
guest c C
guest rust pi adaptive
exec "$top/scripts/sim" ${CONTROLLER_OUT:+--docs} --out "$out" --guest "$out" step
