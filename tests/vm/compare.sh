#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# manual
# host: --timeout 300
# The same operations under the C driver and under this one: sysfs has the same files with the same modes and says the same,
# and both make the same of cache images that an older C driver left.
. "$(dirname "$0")/lib_host.sh"
out=$TMPDIR/out
mkdir -p "$out"
for driver in c rust; do
	use_disks cache=128M back=96M fixback_running=256M fixback_stopped=256M running=128M stopped=128M
	rc=0
	guest $driver --with "$here/../fixtures/cache_running_128M.img.gz" --with "$here/../fixtures/cache_stopped_128M.img.gz" \
		--with "$here/../fixtures/bdev_first8k.bin" --with "$here/lib_sysfs.py" "$here/lib_compare.sh" >"$TMPDIR/$driver.log" 2>&1 || rc=$?
	report "$driver: transcript and images" "$rc" "$TMPDIR/$driver.log"
	rm -f "$TMPDIR"/{cache,back,fixback_running,fixback_stopped,running,stopped}
done

rc=0
diff -U 3 "$out/c.transcript" "$out/rust.transcript" >"$out/diff" || rc=1
report "sysfs: $(wc -l <"$out/c.transcript") lines are the same" $rc "$out/diff"

# near NAME FILE: the numbers of one line of both drivers differ by no more than a fiftieth, or 1
near() {
	awk -v name="$1" '
		$1 == name { v[FNR == NR ? 0 : 1] = $2; n++ }
		END { d = v[0] - v[1]; d = d < 0 ? -d : d; exit !(n == 2 && (d <= 1 || d * 50 <= v[0])) }' "$out/c.$2" "$out/rust.$2"
}
for image in running stopped; do
	for name in dirty nodes available key Unused Clean Dirty Metadata; do
		rc=0
		near $name $image || rc=1
		grep -H "^$name " "$out/c.$image" "$out/rust.$image" >"$out/diff"
		report "$image image: $name" $rc "$out/diff"
	done
	rc=0
	diff <(grep -E '^(state|md5|depth|drained|raw) ' "$out/c.$image") <(grep -E '^(state|md5|depth|drained|raw) ' "$out/rust.$image") \
		>"$out/diff" || rc=1
	[ "$(wc -l <"$out/c.$image")" = 13 ] || rc=1
	report "$image image: state, index, content before and after writeback" $rc "$out/diff"
done
finish
