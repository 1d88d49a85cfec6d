#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --append kunit.enable=1 --append kunit.autorun=1 --append kunit.filter_glob=bcache_* --timeout 40
# debug
# The unit tests of src/core run in the kernel when the module is loaded: what they said then.
. "$(dirname "$0")/lib.sh"
ran=0
while read -r line; do
	case $line in
	"ok "*)
		ran=$((ran + 1))
		result 0 "${line#ok * }"
		;;
	"not ok "*) result 1 "${line#not ok * }" ;;
	esac
done < <(dmesg | sed -n 's/^\[ *[0-9.]*\] \(\(not \)\?ok [0-9]* bcache_\)/\1/p')
planned=$(dmesg | sed -n 's/^\[ *[0-9.]*\] 1\.\.\([0-9]*\)$/\1/p' | tail -n 1)
is "suites that ran" "$ran" "$planned"
at_least "suites" "$ran" 22
is "tests that failed or were left out" "$(dmesg | grep -cE '\] # bcache_.*(fail:[1-9]|skip:[1-9])')" 0
note "$(dmesg | sed -n 's/.*# bcache_.*total:\([0-9]*\)$/\1/p' | awk '{ n += $1 } END { print n " tests" }')"
dmesg | grep -A 3 'ASSERTION FAILED' | sed 's/^/# /'
done_testing
