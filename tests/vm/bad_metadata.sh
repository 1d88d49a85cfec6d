#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=16M --disk back=64M --disk part=24M --timeout 600
# A cache with dirty data whose journal, priorities, uuids or btree are damaged, with right checksums: register ends with
# an error, or the set works; nothing hangs, nothing is left over, the module unloads. SEED and COUNT change the
# random ones.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back) part=$(disk part)

# A tree of two levels with dirty keys, and a journal that has something to say.
bcache=$(start_pair "$cache" "$back" --bucket 4096 --block 512) || result 1 "start"
put 0 "$(sysdir "$back")/writeback_running"
put writeback "$(sysdir "$back")/cache_mode"
put 0 "$(sysdir "$back")/sequential_cutoff"
no_congestion "$(sysdir "$back")"
ok "dirty data" fio --name=dirty --filename="$bcache" --rw=randwrite --bs=512 --size=48M --io_size=2M --randseed=1 \
	--direct=1 --ioengine=libaio --iodepth=16 --output-format=terse
is "state" "$(state "$back")" dirty
ok "stop" stop_all
# It ends within the journal: where the rest of the metadata is differs from image to image.
ok "a partition smaller than a cache" parted -s "$part" mklabel msdos mkpart primary 2048s 2303s
hold_udev

adopt python3 "$(dirname "$0")/lib_bad_metadata.py" "$cache" "$back" "${part}1" "${SEED:-2026}" "${COUNT:-60}"
ok "the module unloads" unload
done_testing
