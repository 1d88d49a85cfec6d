#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Prints the kernel's complaints in a console log, with some lines around each; fails if there is one.
#   splats.sh CONSOLE-LOG [caches-fail]     caches-fail: allocations were made to fail; see below
set -eu
pattern='BUG: |BUG at |WARNING: |Oops: |Call Trace|Kernel panic|general protection fault|invalid opcode:|divide error:|KASAN|KCSAN|UBSAN|ODEBUG|'
pattern+='INFO: (task .* blocked|possible|trying to register|suspicious|rcu)|rcu: INFO: .*(stall|detected)|self-detected stall|possible (circular|recursive)|'
pattern+='inconsistent lock state|suspicious RCU usage|sleeping function called|scheduling while atomic|refcount_t: |list_(add|del) corruption|'
pattern+='rust_kernel: panicked|watchdog: .*(soft|hard) ?(lockup|LOCKUP)|kmemleak: [1-9][0-9]* new|Objects remaining|Bad page|Bad rss|double free|'
pattern+='stack (overflow|guard)|DEBUG_LOCKS_WARN|Unable to handle|unable to handle|held lock freed|lock held (when|at)|still has locks held'
pattern+='|lockdep is turned off'

# What the kernel prints when a cache of its own (of bios) cannot be made is its answer to an allocation that was made to fail: that
# line and the stack behind it, but no other complaint in between.
said() {
	tr -d '\r' <"$1" | awk -v asked="${2:-}" -v others="${pattern/Call Trace|/}" '
		asked != "" && /__kmem_cache_create_args\(.*\) failed with error -(12|22)/ { stack = 80; next }
		stack > 0 {
			stack--
			if (/<\/TASK>/) stack = 0
			if ($0 !~ others) next
		}
		{ print }'
}
said "$@" | grep -aE -m 1 -q "$pattern" || exit 0
said "$@" | grep -aE -B 3 -A 30 "$pattern" | head -n 160
exit 1
