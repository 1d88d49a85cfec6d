# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the tests that run on the host share: one guest after the other with the same disks. Needs $VM and $TMPDIR; $VM_PATIENCE is how much
# longer than on the stock kernel a guest may take.
set -u
here=$(dirname "${BASH_SOURCE[0]}")
disks=()
_passed=0
_failed=0
_steps=0
echo "KTAP version 1"

# use_disks NAME=SIZE...: empty disks that persist from here on
use_disks() {
	local d
	disks=()
	for d; do
		rm -f "$TMPDIR/${d%%=*}"
		truncate -s "${d#*=}" "$TMPDIR/${d%%=*}"
		disks+=(--disk "${d%%=*}=$TMPDIR/${d%%=*}")
	done
}

# report NAME RC LOG: one result per guest; what it said is shown as comments, in full after a failure
report() {
	_steps=$((_steps + 1))
	_last=$1
	sed -n 's/^lab: vm: .* console log: //p' "$3" >>"$TMPDIR/consoles"
	if [ "$2" = 0 ]; then
		sed -n 's/^\(ok\|not ok\|#\) /#   &/p' "$3"
		_passed=$((_passed + 1))
		echo "ok $_steps $1"
	else
		sed 's/^/#   /' "$3"
		_failed=$((_failed + 1))
		echo "not ok $_steps $1"
	fi
}

# guest DRIVER FILE ARGS...: runs a guest; its folder $OUT is $TMPDIR/out
guest() {
	local driver=$1
	shift
	# $VM_OPTIONS: of scripts/faults.
	# shellcheck disable=SC2086
	"$VM" run --driver "$driver" ${VM_OPTIONS:-} --timeout $((${limit:-240} * ${VM_PATIENCE:-1})) --out "$TMPDIR/out" --with "$here/lib.sh" \
		--with "$here/lib_crash_writer.py" "${disks[@]}" "$@"
}

# no_splat LOG: the kernel of a guest that died had nothing to complain of
no_splat() {
	[ -n "${VM_OPTIONS:-}" ] || ! grep -q 'the kernel complains' "$1"
}

# step DRIVER STEP...: a guest that ends by itself; nothing goes on after a failure
step() {
	local log=$TMPDIR/step.log rc=0 driver=$1 start=$SECONDS
	shift
	guest "$driver" "$here/lib_interchange.sh" "$@" >"$log" 2>&1 || rc=$?
	report "$driver: $* ($((SECONDS - start)) s)" "$rc" "$log"
	[ "$rc" = 0 ] || finish
}

# killed_step DRIVER STEP...: the last step is write=SEED; the guest is killed in the middle of it
killed_step() {
	local log=$TMPDIR/step.log vm qemu rc=0 driver=$1 start=$SECONDS before=0
	shift
	rm -f "$TMPDIR/out/writing"
	[ ! -e "$TMPDIR/out/log" ] || before=$(wc -l <"$TMPDIR/out/log")
	guest "$driver" "$here/lib_interchange.sh" "$@" >"$log" 2>&1 &
	vm=$!
	until [ -e "$TMPDIR/out/writing" ] && [ "$(wc -l <"$TMPDIR/out/log")" -gt $((before + 500)) ]; do
		kill -0 "$vm" 2>/dev/null || break
		sleep 0.1
	done
	sleep "$((RANDOM % 3)).$((RANDOM % 10))"
	for qemu in $(pgrep -f "file=$TMPDIR/cache,"); do
		[ "$(cat "/proc/$qemu/comm")" != qemu-system-x86 ] || kill -KILL "$qemu"
	done
	wait "$vm" || rc=$?
	# 98: the guest died; it must not have found a mistake before.
	if [ "$rc" = 98 ] && [ -e "$TMPDIR/out/writing" ] && ! grep -q '^not ok' "$log" && no_splat "$log"; then
		rc=0
	fi
	report "$driver: $*, killed ($((SECONDS - start)) s, $(wc -l <"$TMPDIR/out/log") lines)" "$rc" "$log"
	[ "$rc" = 0 ] || finish
}

# finish: prints the plan; exits
finish() {
	echo "1..$_steps"
	echo "# Totals: pass:$_passed fail:$_failed"
	[ "$_failed" = 0 ] && [ "$_passed" -gt 0 ]
	exit
}
