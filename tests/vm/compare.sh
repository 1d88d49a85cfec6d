#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 300
# The same operations under the C driver and under this one: sysfs has the same files with the same modes, says the same and
# takes the same input, the log says the same, and both make the same of cache images that an older C driver left.
# What is compared, and of which files only the form: lib_compare.py, lib_sysfs.py.
. "$(dirname "$0")/lib_host.sh"
out=$TMPDIR/out
mkdir -p "$out/c.d" "$out/rust.d"
files=()
for f in lib_{bad,bad_superblock,sysfs,operations,compare}.py ../fixtures/{cache_{running,stopped}_128M.img.gz,bdev_first8k.bin}; do
	files+=(--with "$here/$f")
done
for driver in c rust; do
	use_disks cache=156M back=96M empty=16M running=128M stopped=128M fixback_running=128M fixback_stopped=128M
	# What C says is the same on each kernel, but on one with KASAN it does not get through: it reads behind a short label.
	kernel=${VM_KERNEL:-stock} rc=0 start=$SECONDS
	[ $driver = rust ] || kernel=stock
	VM_KERNEL=$kernel guest $driver "${files[@]}" "$here/lib_compare.sh" >"$TMPDIR/$driver.log" 2>&1 || rc=$?
	report "$driver: transcript ($((SECONDS - start)) s)" "$rc" "$TMPDIR/$driver.log"
	rm -f "$TMPDIR"/{cache,back,empty,running,stopped,fixback_running,fixback_stopped}
done

# What this driver says where it differs from C on purpose (README, "What differs from C"): what C said, rewritten.
expected() {
	awk '
		/^--- / { section = $0 }
		# Both are refused for what C would wait for without end; this cache is too small for C anyway.
		/^cache: first bucket is the last: / { sub(/EPERM/, "EINVAL"); words = "Not enough buckets" }
		/^cache: valid journal of one bucket: / { sub(/EPERM/, "EINVAL"); words = "Too few journal buckets" }
		words && /cache_alloc\(\)/ { next }
		words && sub(/failed to register device/, words) { words = "" }
		# The volume of the images stays where it is, unseen.
		section ~ /^--- image/ && $0 == "log: bcache2 stopped" { next }
		# Of a new set: whether the allocator of C has asked for a first gc by then, which counts the root.
		section == "--- attached" && /^set\/internal\/btree_nodes: .1.n.$/ { sub(/1/, "0") }
		# The last entry of C holds a key that is in the index as well; here another entry says so.
		section == "--- inconsistent" && /^log: journal replay done, 1 keys/ { sub(/1 keys/, "0 keys") }
		# C forgets with the statistics how full the cache is, and believes so itself.
		section == "--- statistics cleared" && $0 == "available: 100" { $0 = "available: 88..92" }
		{ print }'
}
# Splits a transcript from stdin into one file per section, numbered in order.
split_sections() {
	awk -v dir="$1" '/^--- / { close(f); f = sprintf("%s/%02d %s", dir, ++n, substr($0, 5)) } { print > f }'
}
expected <"$out/c" | split_sections "$out/c.d"
split_sections "$out/rust.d" <"$out/rust"
# A percentage that lies on the border of two numbers may be either: near_percentages C-FILE prints stdin with C's, where all else
# in the line is the same.
near_percentages() {
	awk '
		function near(a, b,    x, y, front) {
			while (match(a, /[0-9]+%/)) {
				front = substr(a, 1, RSTART - 1)
				x = substr(a, RSTART, RLENGTH - 1)
				a = substr(a, RSTART + RLENGTH)
				if (!match(b, /[0-9]+%/) || front != substr(b, 1, RSTART - 1)) return 0
				y = substr(b, RSTART, RLENGTH - 1)
				b = substr(b, RSTART + RLENGTH)
				if (x - y > 1 || y - x > 1) return 0
			}
			return a == b
		}
		NR == FNR { c[FNR] = $0; next }
		{ print near(c[FNR], $0) ? c[FNR] : $0 }' "$1" -
}
for f in "$out"/c.d/*; do
	name=${f##*/}
	rc=0
	near_percentages "$f" <"$out/rust.d/$name" >"$out/near" && mv "$out/near" "$out/rust.d/$name"
	diff -U 2 "$f" "$out/rust.d/$name" >"$out/diff" 2>&1 || rc=1
	report "${name#* }: $(wc -l <"$f") lines" $rc "$out/diff"
done
! grep -h UNEXPECTED "$out/c" "$out/rust" >"$out/diff"
report "what the comparison needs worked" $? "$out/diff"
diff <(ls "$out/c.d") <(ls "$out/rust.d") >"$out/diff"
report "sections: $(find "$out/c.d" -type f | wc -l), lines: $(wc -l <"$out/c")" $? "$out/diff"
finish
