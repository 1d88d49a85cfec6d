# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the tests fault_*.sh share. Each is a row of cases, faults that the C driver has or had; scripts/faults runs them with
# either driver and makes the table in README.md of what they saw. The head of a test names its cases:
#   # case: NAME | numbers in docs/controller-hazards.md and elsewhere | what is done
# With no argument all cases are run, one after the other, in one guest; else those that are named.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
quiet_udev
# shellcheck disable=SC2034
debug=/sys/kernel/debug
_case=

# result RC NAME: as in lib.sh, with the case in front
eval "_$(declare -f result)"
result() {
	_result "$1" "${_case:+$_case: }$2"
}

# saw TEXT...: what the case saw, for the table; one line each time
saw() {
	echo "# saw: $_case: $*"
}

# is_gone PID: the job has ended
is_gone() {
	! kill -0 "$1"
}

# all_held: no check of this case has failed
all_held() {
	[ "$_failed" = "$_before" ]
}

# run_cases [NAME...]: calls case_NAME for each
run_cases() {
	[ $# -gt 0 ] || mapfile -t <<<"$(sed -n 's/^# case: \([a-z0-9_]*\) .*/\1/p' "$0")"
	[ $# -gt 0 ] || set -- "${MAPFILE[@]}"
	for _case; do
		_start=$EPOCHREALTIME _before=$_failed
		declare -F "case_$_case" >/dev/null || result 1 "there is a case of that name"
		"case_$_case"
		let_udev
		ok "all stop" stop_all
		note "$_case took $(awk -v a="$_start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s"
	done
	_case=
	ok "the module unloads" unload
	done_testing
}

# a_pair CACHE BACKING [CACHE OPTION...]: formats both, attaches; sets bdev, dir, uuid. No dirty data is kept from writeback
# by congestion, none goes past the cache, and idleness does not raise the rate.
# shellcheck disable=SC2034
a_pair() {
	bdev=$(start_pair "$@")
	result $? "a device with a set"
	dir=$(sysdir "$2")
	uuid=$(set_uuid "$1")
	put writeback "$dir/cache_mode"
	put 0 "$dir/sequential_cutoff"
	put 1 "$dir/writeback_rate_update_seconds"
	put 0 "$SYSFS/$uuid/internal/idle_max_writeback_rate"
	no_congestion "$dir"
}

# set_to NAME=VALUE...: files of the device
set_to() {
	local word
	for word; do
		put "${word#*=}" "$dir/${word%%=*}" || return
	done
}

# soil DEV KIB [OFFSET IN KIB]: writes so much, in blocks of 4 KiB
soil() {
	dd if=/dev/zero of="$1" bs=4k count=$(($2 / 4)) seek=$((${3:-0} / 4)) oflag=direct conv=notrunc,nocreat status=none
}

# shown NAME [DIR]: a line of writeback_rate_debug, as it stands there
shown() {
	local text
	text=$(<"${2:-$dir}/writeback_rate_debug")
	sed -n "s/^$1:[[:space:]]*//p" <<<"$text"
}

# number NAME [DIR]: the same in bytes (a second)
number() {
	local text
	text=$(shown "$@")
	bytes_of "${text%/sec}"
}

# dirty_below BYTES
dirty_below() {
	[ "$(bytes_of "$(cat "$dir/dirty_data")")" -lt "$1" ]
}

# at_full_speed
at_full_speed() {
	[ "$(number rate)" -gt 900000000000 ]
}

# is_clean DIR
is_clean() {
	[ "$(cat "$1/state")" = clean ]
}

# milliseconds since START (an EPOCHREALTIME)
since() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", (b - a) * 1000 }'
}
