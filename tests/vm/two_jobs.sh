#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --mem 2G --timeout 200
# manual
# Hits of one job, and of two on two processors, in real time: what a lock or a cache line that all requests share would cost.
# Meant for a host with two idle processors. The raw disk does the same beside it.
. "$(dirname "$0")/lib.sh"
quiet_udev
modprobe brd rd_nr=2 rd_size=$((512 * 1024))
cache=/dev/ram0 back=/dev/ram1

# speed DEV JOBS: requests per second in all
speed() {
	fio --name=hits --filename="$1" --direct=1 --ioengine=psync --rw=randread --bs=4k --size=32M --numjobs="$2" --cpus_allowed=0,1 \
		--cpus_allowed_policy=split --time_based --runtime=6 --ramp_time=1 --group_reporting --minimal | cut -d';' -f8
}

# scale NAME DEV: two jobs, in percent of one; the median of three
scale() {
	local one two
	for _ in 1 2 3; do
		one=$(speed "$2" 1) two=$(speed "$2" 2)
		note "$1: $one requests per second, $two with two jobs"
		echo $((two * 100 / one)) >>"/tmp/$1"
	done
	note "$1: two jobs do $(sort -n "/tmp/$1" | sed -n 2p) % of what one does"
}

dd if=/dev/zero of=$back bs=1M count=512 oflag=direct status=none
scale raw $back
bdev=$(start_pair $cache $back --bucket 512k)
result $? "a device with a set"
put 0 "$(sysdir $back)/sequential_cutoff"
no_congestion "$(sysdir $back)"
fio --name=fill --filename="$bdev" --direct=1 --ioengine=libaio --iodepth=16 --rw=write --bs=64k --size=32M --minimal >/dev/null
scale hits "$bdev"
[ "$DRIVER" = c ] || at_least "two jobs, in percent of one" "$(sort -n /tmp/hits | sed -n 2p)" 170
ok "all stop" stop_all
rmmod brd
done_testing
