#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 600
# The controller of the writeback rate in a guest: C's law and the adaptive one under a step of the load, C's law and the one of
# latency under reads from a disk that has much to write back. The figures agree with those of the simulator, and are what the
# laws promise. The guest runs with --icount: its clock stands still
# while nobody works, so that a busy host changes nothing. The pictures and the numbers stay in $CONTROLLER_OUT, if that is set.
set -u
here=$(dirname "$0")
top=$(cd "$here/../.." && pwd)
out=${CONTROLLER_OUT:-$TMPDIR/controller}
mkdir -p "$out"
start=$SECONDS
"$VM" run --driver "${VM_DRIVER:-rust}" --icount --cpus 1 --mem 2G --timeout $((580 * ${VM_PATIENCE:-1})) --out "$out" --with "$here/lib.sh" \
	"$here/lib_controller.sh" guest pi adaptive -- guest_latency pi latency >"$out/guest.log" 2>&1
status=$?
sed -n 's/^\(not ok\|ok\|#\) /# guest: &/p' "$out/guest.log"
if [ $status != 0 ]; then
	tail -n 30 "$out/guest.log" | sed 's/^/#   /'
	echo "not ok 1 the guest (status $status)"
	exit 1
fi
echo "# the guest took $((SECONDS - start)) s"
exec "$top/scripts/sim" --out "$out" --guest "$out" guest guest_latency
