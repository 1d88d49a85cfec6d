#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=128M --timeout 120
# After rmmod nothing of the module is left; it can be loaded again; while in use it cannot be unloaded.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)

# threads: of the module, and those by which the kernel keeps its workqueues going
threads() {
	ps -e -o comm= | grep -cE '^bc(ache|h_)|^kworker/R-bc'
}

for i in 1 2 3; do
	bdev=$(start_pair "$cache" "$back" --bucket 65536)
	dd if=/dev/urandom of="$bdev" bs=64k count=100 oflag=direct status=none
	fails "round $i: rmmod while in use" rmmod bcache
	at_least "round $i: threads and workqueues" "$(threads)" 5
	ok "round $i: stop" stop_all
	ok "round $i: rmmod" unload
	is "round $i: threads and workqueues left" "$(threads)" 0
	is "round $i: disks left" "$(find /sys/block -name 'bcache*' | wc -l)" 0
	is "round $i: sysfs left" "$(find /sys/fs -maxdepth 1 -name bcache | wc -l)" 0
	is "round $i: block major left" "$(grep -c bcache /proc/devices)" 0
	ok "round $i: insmod" modprobe bcache
done
ok "nothing is registered" none_left

# A file of an attachment that is over, in a directory that is gone: who has it open keeps the module.
bdev=$(start_pair "$cache" "$back" --bucket 65536)
file=/sys/kernel/debug/bcache/$(basename "$back")/rate_work
exec 7<"$file"
ok "the file can be read" grep -q . "$file"
ok "stop" stop_all
ok "the file is gone" test ! -e "$file"
fails "the module stays while it is open" unload
fails "nothing can be read from it" head -c 1 <&7
exec 7<&-
ok "rmmod" unload

# cutoffs PARAMETER...: what is in force of these
cutoffs() {
	modprobe bcache "$@" && cat /sys/module/bcache/parameters/bch_cutoff_writeback{,_sync} | paste -sd ' '
	unload
}
is "cutoffs by default" "$(cutoffs)" "40 70"
is "cutoffs of the user" "$(cutoffs bch_cutoff_writeback=50 bch_cutoff_writeback_sync=60)" "50 60"
is "cutoffs above their limits" "$(cutoffs bch_cutoff_writeback=80 bch_cutoff_writeback_sync=95)" "70 90"
ok "the log says so" dmesg_says "set bch_cutoff_writeback (80) to max value 70"
is "the one is never above the other" "$(cutoffs bch_cutoff_writeback_sync=30)" "30 30"
ok "insmod" modprobe bcache
done_testing
