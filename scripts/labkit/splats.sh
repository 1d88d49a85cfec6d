#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Prints the kernel's complaints in a console log, with some lines around each; fails if there is one.
#   splats.sh CONSOLE-LOG
set -eu
pattern='BUG: |BUG at |WARNING: |Oops: |Call Trace|Kernel panic|general protection fault|invalid opcode:|divide error:|KASAN|KCSAN|UBSAN|ODEBUG|'
pattern+='INFO: (task .* blocked|possible|trying to register|suspicious|rcu)|rcu: INFO: .*(stall|detected)|self-detected stall|possible (circular|recursive)|'
pattern+='inconsistent lock state|suspicious RCU usage|sleeping function called|scheduling while atomic|refcount_t: |list_(add|del) corruption|'
pattern+='rust_kernel: panicked|watchdog: .*(soft|hard) ?(lockup|LOCKUP)|kmemleak: [1-9][0-9]* new|Objects remaining|Bad page|Bad rss|double free|'
pattern+='stack (overflow|guard)|DEBUG_LOCKS_WARN|Unable to handle|unable to handle|held lock freed|lock held (when|at)|still has locks held'
pattern+='|lockdep is turned off'

console=$(tr -d '\0\r' <"$1")
grep -aE -m 1 -q "$pattern" <<<"$console" || exit 0
grep -aE -B 3 -A 30 "$pattern" <<<"$console" | head -n 160
exit 1
