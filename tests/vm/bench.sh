#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 300
# No row of the benchmark has become more expensive than recorded (tests/bench/recorded), instructions beside those of the C
# driver, by more than 3 %. The same module gives the same figures on every machine, so one that is slow or busy does not fail.
# After a change that is worth it, or one that made a row cheaper: scripts/bench with the options below and --record FILE.
[ "$VM_KERNEL" = stock ] && [ "$VM_DRIVER" = rust ] || {
	echo "1..0 # SKIP it is about this driver on the stock kernel"
	exit 4
}
top=$(dirname "$0")/../..
exec "$top/scripts/bench" --rows hit-read-1,wb-write-32,wt-write-1,miss-read-1 --requests 2000 --turns c,rust \
	--against "$top/tests/bench/recorded" --out "$TMPDIR/out"
