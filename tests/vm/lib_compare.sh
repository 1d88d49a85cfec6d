#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's part of compare.sh: what sysfs and the log show during the same operations goes to $OUT/$DRIVER.
. "$(dirname "$0")/lib.sh"
quiet_udev
# Nobody else reads the disks.
hold_udev
images=()
for i in running stopped; do
	images+=("$i=$(disk $i)=$(disk fixback_$i)")
done
python3 "$JOB/lib_compare.py" "$(disk cache)" "$(disk back)" "$(disk empty)" "${images[@]}" >"$OUT/$DRIVER"
result $? "transcript"
done_testing
