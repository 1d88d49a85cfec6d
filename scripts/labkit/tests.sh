# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What scripts that run files of tests/vm share; sourced, from the top of the checkout.

# test_head FILE KEY: the words after "# KEY:" in the comment at the head of a test
test_head() {
	sed -n -e '/^[^#]/q' -e "s/^# $2: *//p" "$1" | tr '\n' ' '
}

# test_options FILE: sets options, of scripts/vm: the libraries of the tests, and what this one asks for
test_options() {
	local l words
	options=()
	for l in tests/vm/lib*; do
		options+=(--with "$l")
	done
	read -ra words <<<"$(test_head "$1" vm)"
	options+=(${words[@]+"${words[@]}"})
}

# in_slot JOBS COMMAND ARG...: runs it in the background, as soon as fewer than JOBS of these run
declare -A _slots=()
in_slot() {
	local jobs=$1 pid
	shift
	while [ ${#_slots[@]} -ge "$jobs" ]; do
		wait -n "${!_slots[@]}" || true
		for pid in "${!_slots[@]}"; do
			kill -0 "$pid" 2>/dev/null || unset "_slots[$pid]"
		done
	done
	"$@" </dev/null &
	_slots[$!]=$1
}
