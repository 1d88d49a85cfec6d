#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --mem 2G --timeout 400
# manual
# Hits of one job, and of two on two processors, in real time: what a lock or a cache line that all requests share would cost.
# Meant for a host with two idle processors. The raw disk does the same in between: two jobs on it are not twice as fast
# either where processors are emulated.
. "$(dirname "$0")/lib.sh"
quiet_udev
modprobe brd rd_nr=3 rd_size=$((512 * 1024))
cache=/dev/ram0 back=/dev/ram1 raw=/dev/ram2

# speed DEV JOBS: requests per second in all
speed() {
	fio --name=hits --filename="$1" --direct=1 --ioengine=psync --rw=randread --bs=4k --size=32M --numjobs="$2" --cpus_allowed=0,1 \
		--cpus_allowed_policy=split --time_based --runtime=4 --ramp_time=1 --group_reporting --minimal | cut -d';' -f8
}

# scale NAME DEV: two jobs, in percent of one
scale() {
	local one two
	one=$(speed "$2" 1) two=$(speed "$2" 2)
	note "$1: $one requests per second, $two with two jobs"
	echo $((two * 100 / one)) >>"/tmp/$1"
}

# median NAME
median() {
	sort -n "/tmp/$1" | sed -n 4p
}

dd if=/dev/zero of=$raw bs=1M count=32 oflag=direct status=none
bdev=$(start_pair $cache $back --bucket 512k)
result $? "a device with a set"
put 0 "$(sysdir $back)/sequential_cutoff"
no_congestion "$(sysdir $back)"
fio --name=fill --filename="$bdev" --direct=1 --ioengine=libaio --iodepth=16 --rw=write --bs=64k --size=32M --minimal >/dev/null
for _ in 1 2 3 4 5 6 7; do
	scale raw $raw
	scale hits "$bdev"
done
note "two jobs do $(median raw) % of what one does on the raw disk, $(median hits) % with hits"
[ "$DRIVER" = c ] || at_least "hits, in percent of how the raw disk does" $(($(median hits) * 100 / $(median raw))) 93
ok "all stop" stop_all
rmmod brd
done_testing
