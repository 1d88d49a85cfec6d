# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the guest tests share: KTAP output, disks, bcache devices, cleaning up. Sourced by every test:
#   . "$(dirname "$0")/lib.sh"
# A test calls ok/is/run_ok for each thing it checks and ends with `done_testing`.

set -u
SYSFS=/sys/fs/bcache
_tests=0
_failed=0
_ended=

# note TEXT...: a KTAP comment
note() {
	echo "# $*"
}

# result RC NAME: prints one KTAP result
result() {
	_tests=$((_tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $_tests $2"
	else
		echo "not ok $_tests $2"
		_failed=$((_failed + 1))
	fi
}

# ok NAME COMMAND...: the command succeeds
ok() {
	# The command sees these names, too.
	local _name=$1 _said _rc
	shift
	_said=$("$@" 2>&1)
	_rc=$?
	result "$_rc" "$_name"
	[ "$_rc" -eq 0 ] || printf '%s\n' "$_said" | sed 's/^/#   /'
}

# fails NAME COMMAND...: the command fails
fails() {
	local name=$1
	shift
	if "$@" >/dev/null 2>&1; then
		result 1 "$name"
	else
		result 0 "$name"
	fi
}

# is NAME GOT WANTED: two strings are equal
is() {
	if [ "$2" = "$3" ]; then
		result 0 "$1"
	else
		result 1 "$1"
		note "  got '$2', wanted '$3'"
	fi
}

# part CASE NAME: what the table of scripts/faults shows of the part of a test that ends here
part() {
	local failed=$((_failed - ${_before:-0}))
	_before=$_failed
	[ $failed = 0 ] || failed="**$failed checks fail**"
	echo "# saw: $1: $2 ${failed/#0/ends well}"
}

# at_most NAME GOT LIMIT: a number is not above a limit
at_most() {
	[ "$2" -le "$3" ]
	result $? "$1 ($2 <= $3)"
}

# at_least NAME GOT LIMIT
at_least() {
	[ "$2" -ge "$3" ]
	result $? "$1 ($2 >= $3)"
}

# within SECONDS COMMAND...: waits until the command succeeds
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.2
	done
}

# bounded SECONDS COMMAND...: it fails if it takes longer; the debug kernel gets four times that
bounded() {
	local seconds=$1
	shift
	[ "${KERNEL:-}" != debug ] || seconds=$((seconds * 4))
	timeout "$seconds" "$@"
}

# disk NAME: the device node of a disk given to the guest
disk() {
	local node
	node=$(readlink -f "/dev/disk/by-id/virtio-$1")
	echo "$node"
	[ -b "$node" ] || echo "# there is no disk $1" >&2
}

# sysdir DEV: the bcache directory of a registered device
sysdir() {
	echo "/sys/class/block/$(basename "$1")/bcache"
}

# long_is SECONDS: a wait of a teardown that takes longer is said in the log; C has no such thing
long_is() {
	[ "$DRIVER" = c ] || put "$1" /sys/module/bcache/parameters/teardown_warn_seconds
}

# dmesg_says TEXT: the kernel log holds the text
dmesg_says() {
	dmesg | grep -qF -- "$1"
}

# no_complaint: the driver has none in the kernel log. A UUID may well spell "bad".
no_complaint() {
	! dmesg | sed -E 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}//g' | grep -iE "bcache.*(error|inconsisten|corrupt|bad|can'?t|could ?n[o']t)"
}

# put VALUE FILE: writes to a sysfs file; errno shows in the exit status only
put() {
	echo "$1" >"$2"
}

# errno_of VALUE FILE: the name of the error that writing gives, or OK
errno_of() {
	local text
	if text=$( (LC_ALL=C; export LC_ALL; echo "$1" >"$2") 2>&1); then
		echo OK
		return
	fi
	case $text in
	*"Invalid argument"*) echo EINVAL ;;
	*"Device or resource busy"*) echo EBUSY ;;
	*"No such file or directory"*) echo ENOENT ;;
	*"No such device"*) echo ENODEV ;;
	*"Operation not permitted"*) echo EPERM ;;
	*"Permission denied"*) echo EACCES ;;
	*"Numerical result out of range"*) echo ERANGE ;;
	*"Input/output error"*) echo EIO ;;
	*) echo "$text" ;;
	esac
}

# quiet_udev: no udev rule registers a disk behind the test's back
quiet_udev() {
	mkdir -p /etc/udev/rules.d
	ln -sf /dev/null /etc/udev/rules.d/69-bcache.rules
	# A reload is not enough: now and then a worker of udev still registers the first disk by the old rules.
	udevadm settle
	udevadm control --exit
	/usr/lib/systemd/systemd-udevd --daemon --resolve-names=never >/dev/null
	udevadm settle
}

# hold_udev: it looks at no disk until let_udev. What it has begun it ends first: it would hang in a disk that hangs, and with
# the device open nothing would end.
hold_udev() {
	udevadm settle --timeout=60 || echo "# udev has not done with the disks"
	udevadm control --stop-exec-queue
}

let_udev() {
	udevadm control --start-exec-queue
}

# format_cache DEV [OPTION...]
format_cache() {
	local dev=$1
	shift
	wipefs -qa "$dev" && make-bcache -C "$@" "$dev" >/dev/null
}

# format_backing DEV [OPTION...]
format_backing() {
	local dev=$1
	shift
	wipefs -qa "$dev" && make-bcache -B "$@" "$dev" >/dev/null
}

# register DEV...
register() {
	local dev
	for dev in "$@"; do
		echo "$dev" >$SYSFS/register || return 1
	done
}

# set_uuid DEV: UUID of the set that a cache or backing device belongs to
set_uuid() {
	bcache-super-show "$1" | sed -n 's/^cset.uuid[[:space:]]*//p'
}

# bcache_of DEV: the disk in front of a backing device
bcache_of() {
	local d
	d=$(readlink -f "$(sysdir "$1")/dev") && echo "/dev/$(basename "$d")"
}

# attached DEV: succeeds once a backing device is attached
attached() {
	[ -e "$(sysdir "$1")/cache" ]
}

# step COMMAND...: says which command has failed, and how
step() {
	"$@" || {
		echo "# $* (status $?)"
		return 1
	} >&2
}

# start_pair CACHE BACKING [CACHE OPTIONS...]: formats, registers and attaches; prints the disk
start_pair() {
	local cache=$1 back=$2
	shift 2
	step format_cache "$cache" "$@" &&
		step format_backing "$back" &&
		step register "$cache" "$back" &&
		step put "$(set_uuid "$cache")" "$(sysdir "$back")/attach" &&
		step within 10 test -b "$(bcache_of "$back")" &&
		bcache_of "$back"
}

# stop_all: stops every set and device; succeeds when all are gone
stop_all() {
	local f
	for f in /sys/class/block/*/bcache/stop "$SYSFS"/*/stop; do
		[ -e "$f" ] && put 1 "$f" 2>/dev/null
	done
	within "${1:-30}" none_left
}

# none_left: no set and no device is registered
none_left() {
	local f
	for f in /sys/class/block/*/bcache/stop "$SYSFS"/*-*/stop; do
		[ ! -e "$f" ] || return 1
	done
}

# teardown_waits: what each device and set that is being taken apart waits for
teardown_waits() {
	local f
	for f in /sys/kernel/debug/bcache/*/{rate_work,teardown}; do
		[ ! -e "$f" ] || note "${f#/sys/kernel/debug/}: $(tr '\n' ' ' <"$f")"
	done
	for f in /sys/class/block/*/bcache "$SYSFS"/*-*; do
		[ ! -e "$f" ] || note "there is ${f#/sys/}"
	done
	dmesg | grep 'waiting for .* for more than' | tail -n 5 | sed 's/^/# /'
}

# dm_table NAME TABLE: a device of the device mapper becomes another one. dmsetup waits for udev: not for ever.
dm_table() {
	dmsetup suspend --noflush "$1" && dmsetup load "$1" --table "$2" && timeout 20 dmsetup resume "$1" && return
	echo "dmsetup resume $1 fails or waits"
	dmsetup info "$1"
	dmsetup udevcookies
	ps -eo pid,stat,wchan:24,args | grep -E 'dmsetup|udev'
	return 1
}

# trace_writes DEV: notes from now on what is written to the device
trace_writes() {
	local tracing=/sys/kernel/tracing
	[ -e $tracing/trace ] || mount -t tracefs tracefs $tracing
	put 32768 $tracing/buffer_size_kb
	echo >$tracing/trace
	_traced=$(($(stat -Lc '0x%t' "$1"))),$(($(stat -Lc '0x%T' "$1")))
	put 1 $tracing/events/block/block_bio_queue/enable
}
# a_write_is_traced: there has been one since then
a_write_is_traced() {
	grep -q " block_bio_queue: $_traced [A-Z]*W" /sys/kernel/tracing/trace
}
# traced_writes: a line for each write since then: flags as blktrace prints them, first sector, sectors
traced_writes() {
	put 0 /sys/kernel/tracing/events/block/block_bio_queue/enable
	sed -n "s/.* block_bio_queue: $_traced \\([A-Z]*W[A-Z]*\\) \\([0-9]*\\) + \\([0-9]*\\) .*/\\1 \\2 \\3/p" /sys/kernel/tracing/trace
}

# end_job PID: terminates a job of the shell; fails, and says what it waits for, if it does not go
end_job() {
	local t
	kill "$1" 2>/dev/null
	within 20 test ! -e "/proc/$1/exe" || {
		echo "does not end: $(tr '\0' ' ' <"/proc/$1/cmdline")"
		for t in "/proc/$1"/task/* /proc/[0-9]*; do
			grep -qs fio "$t/comm" && echo "$t $(sed -n 's/^State:.//p' "$t/status") $(cat "$t/wchan")" && cat "$t/stack"
		done
		kill -KILL "$1"
		return 1
	}
	wait "$1" 2>/dev/null
	return 0
}

# unload: the module goes (C: a set may linger for a moment)
unload() {
	within 10 rmmod bcache
}

# no_congestion DIR: an emulated disk is slow enough to look congested; take that out of a device's decisions
no_congestion() {
	put 0 "$1/cache/congested_read_threshold_us"
	put 0 "$1/cache/congested_write_threshold_us"
}

# can_claim DEV: nobody else holds the device exclusively
can_claim() {
	perl -MFcntl -e 'sysopen(F, $ARGV[0], O_RDWR | O_EXCL) or exit 1' "$1"
}

# state DEV
state() {
	cat "$(sysdir "$1")/state"
}

# bytes_of HUMAN: 1.5M -> bytes, for comparing
bytes_of() {
	awk -v v="$1" 'BEGIN { n = v + 0; u = substr(v, length(v)); m["k"]=1024; m["M"]=1024^2; m["G"]=1024^3; m["T"]=1024^4; printf "%d\n", n * (u in m ? m[u] : 1) }'
}

# dirty_bytes DEV
dirty_bytes() {
	bytes_of "$(cat "$(sysdir "$1")/dirty_data")"
}

# fio_verify NAME DEV OPTION...: writes with verification and reads back; not what was there before, at the same places
_seed=0
fio_verify() {
	local name=$1 dev=$2
	shift 2
	_seed=$((_seed + 1))
	ok "$name" fio --name=verify --filename="$dev" --allow_file_create=0 --direct=1 --ioengine=libaio --verify=crc32c \
		--verify_fatal=1 --randseed=$_seed --output-format=terse "$@"
}

# adopt COMMAND...: the command prints KTAP results; they count as ours
adopt() {
	local line
	while IFS= read -r line; do
		case $line in
		"ok "*) result 0 "${line#ok * - }" ;;
		"not ok "*) result 1 "${line#not ok * - }" ;;
		"# Totals"* | 1..*) ;;
		*) echo "$line" ;;
		esac
	done < <("$@" 2>&1 || echo "not ok 0 - ${1##*/} ends well")
}

# leaks: on the debug kernel, what kmemleak finds once the module is gone: memory that nothing refers to any more. It
# does not report what is younger than 5 seconds, nor what it has seen once only.
leaks() {
	local file=/sys/kernel/debug/kmemleak
	sleep 5
	{ echo scan >$file && echo scan >$file; } 2>&1 && cat $file
}

# no_leak: unloads the module if it is there; nothing it has allocated is left
no_leak() {
	local found
	! grep -q '^bcache ' /proc/modules || unload || return 1
	found=$(leaks) && [ -z "$found" ] && return
	head -n 60 <<<"$found"
	return 1
}

_cleanup() {
	[ -n "$_ended" ] && return
	_ended=1
	awk '$1 ~ "^/dev/bcache" { print $2 }' /proc/mounts | while read -r m; do umount "$m"; done
	stop_all 20 && return
	[ "$DRIVER" = c ] || result 1 "no device is left over"
	note "devices are left over"
}
trap _cleanup EXIT

# done_testing: cleans up, prints the plan and the counts, exits
done_testing() {
	_cleanup
	# C loses some: what its caches that were refused had, among others.
	[ "${KERNEL:-}" != debug ] || [ "$DRIVER" = c ] || ok "no memory is lost" no_leak
	echo "1..$_tests"
	note "Totals: pass:$((_tests - _failed)) fail:$_failed"
	[ "$_failed" -eq 0 ] || dmesg | grep -E 'bcache:|lab:|segfault|traps:|allocation failure' | tail -n 40 | sed 's/^/# log: /'
	[ "$_failed" -eq 0 ] && [ "$_tests" -gt 0 ]
	exit
}

echo "KTAP version 1"
