#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=6M --disk back=32M --disk cache2=6M --disk back2=32M --timeout 200
# Power cuts, as in crash.sh, with a journal of twelve blocks, of which users get seven: leaves are written all the time to
# make room, and what cannot wait for that uses the reserve. (That nothing is overwritten which is needed a model shows, in
# tests/model/tests/journal_room.rs; here the log would say so.)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_crash.sh"
quiet_udev
blocks=4096

cut_power() {
	at_least "leaves are written to make room in the journal" "$(cat "$set_dir/internal/flush_write")" 10
	freeze
	dd if="$(disk cache)" of="$(disk cache2)" bs=4M iflag=direct oflag=direct status=none
	dd if="$(disk back)" of="$(disk back2)" bs=4M iflag=direct oflag=direct status=none
	thaw
}

cache=$(linear cache "$(disk cache)") back=$(linear back "$(disk back)")
# Of 768 buckets one in 128 is the journal's, and has two blocks.
ok "a cache" format_cache "$cache" --bucket 8192 --block 4096
ok "a disk" format_backing "$back" --block 4096
ok "both register" register "$cache" "$back"
put "$(set_uuid "$cache")" "$(sysdir "$back")/attach"
dev=$(bcache_of "$back")
ok "a device with a set" within 10 test -b "$dev"
# In the superblock, at 4096.
is "buckets of the journal" "$(od -An -tu2 -j4302 -N2 "$cache" | tr -d ' ')" 6
crash_rounds 2
ok "no complaint" no_complaint
done_testing
