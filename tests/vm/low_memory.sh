#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --mem 384M --disk cache=256M --disk back=600M --timeout 400
# long
# A file system on a writeback device, in a machine whose memory is locked up but for 32 MB: what frees memory has to
# go through this very driver. Everything is written in bounded time, and read back.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
ok "a device with a set" start_pair "$cache" "$back" --bucket 65536
bdev=$(bcache_of "$back")
[ -b "$bdev" ] || done_testing
dir=$(sysdir "$back") set_dir=$SYSFS/$(set_uuid "$cache")
put writeback "$dir/cache_mode"
put 0 "$dir/sequential_cutoff"
put 0 "$dir/writeback_percent"
put 0 "$set_dir/congested_read_threshold_us"
put 0 "$set_dir/congested_write_threshold_us"
ok "mkfs" mkfs.ext4 -qF "$bdev"
mkdir -p /mnt/x
ok "mount" mount "$bdev" /mnt/x

# Locks memory until the kernel says that 32 MB are left, then prints a line and keeps it.
cat >/tmp/hog.py <<'END'
import mmap, sys, time

def available():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("MemAvailable"))

with open("/proc/self/oom_score_adj", "w") as f:
    f.write("-1000")
LOCKED, POPULATE = 0x2000, 0x8000
keep = []
while available() > 32 << 10:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | LOCKED | POPULATE
    keep.append(mmap.mmap(-1, 2 << 20, flags))
print(f"{len(keep) * 2} MB locked, {available() >> 10} MB left", flush=True)
time.sleep(100000)
END
# stat NAME: a counter of the kernel, over all zones
stat() {
	awk -v name="$1" 'index($1, name) == 1 { n += $2 } END { print n }' /proc/vmstat
}
# numbers FIRST: 64 MB that are not the same at any two places
numbers() {
	seq "$1" $(($1 + 10000000)) | head -c 64M
}
# stream FIRST FILE: writes them durably
stream() {
	numbers "$1" | bounded 60 dd of="$2" bs=256k iflag=fullblock conv=fsync status=none
}
# same FIRST FILE: they are in the file
same() {
	numbers "$1" | cmp - "$2"
}
# What checks memory makes each object larger, and the disks below, which cannot wait for memory, find none.
[ "${KERNEL:-}" != debug ] || put 8192 /proc/sys/vm/min_free_kbytes
echo 3 >/proc/sys/vm/drop_caches
stalls=$(stat allocstall_) kills=$(stat oom_kill)
python3 /tmp/hog.py >/tmp/hog.log 2>&1 &
hog=$!
ok "memory is locked up" within 60 grep -q locked /tmp/hog.log
note "$(cat /tmp/hog.log)"

for i in 1 2 3; do
	ok "streams 64 MB to file $i" stream "${i}0000000" /mnt/x/stream$i
done
ok "random writes through the page cache" bounded 90 fio --name=rand --filename=/mnt/x/rand --rw=randwrite --bs=4k \
	--size=64M --io_size=32M --verify=crc32c --randseed=3 --ioengine=psync --output=/tmp/fio.log
note "waited for memory $(($(stat allocstall_) - stalls)) times, dirty data $(cat "$dir/dirty_data")"
at_least "tasks had to free memory themselves" $(($(stat allocstall_) - stalls)) 1
is "tasks killed for memory" $(($(stat oom_kill) - kills)) 0
kill "$hog"
for i in 1 2 3; do
	ok "content of file $i" same "${i}0000000" /mnt/x/stream$i
done
ok "unmount" bounded 60 umount /mnt/x
ok "fsck finds nothing" e2fsck -fn "$bdev"
ok "stop" stop_all
done_testing
