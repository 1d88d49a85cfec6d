#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=256M --disk back=128M --disk cache2=256M --disk back2=128M --timeout 600
# Power cuts: while a writer runs, both disks are frozen and copied; each copy has to recover to what had been synced.
# Small buckets make small nodes: leaves split and merge all the time.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_crash.sh"
quiet_udev

# Disks without a volatile cache: all that was answered is there.
cut_power() {
	freeze
	dd if="$(disk cache)" of="$(disk cache2)" bs=4M iflag=direct oflag=direct status=none
	dd if="$(disk back)" of="$(disk back2)" bs=4M iflag=direct oflag=direct status=none
	thaw
}

cache=$(linear cache "$(disk cache)") back=$(linear back "$(disk back)")
dev=$(start_pair "$cache" "$back" --bucket 16384)
result $? "a device with a set"
crash_rounds 4
ok "no complaint" no_complaint
done_testing
