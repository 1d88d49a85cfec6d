#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Puts a file between the two markers of docs/bench.md that name a script.
#   bench-docs.sh FILE SCRIPT
set -eu
. "$(dirname "$0")/common.sh"
page=$LAB_TOP/docs/bench.md begin="<!-- $2: begin -->" end="<!-- $2: end -->"
grep -qxF "$begin" "$page" && grep -qxF "$end" "$page" || die "bench: docs/bench.md has no place for the table of $2"
awk -v begin="$begin" -v end="$end" -v file="$1" '
	$0 == end { skip = 0 }
	!skip { print }
	$0 == begin { skip = 1; while ((getline line <file) > 0) print line }' "$page" >"$page.new"
cat "$page.new" >"$page"
rm "$page.new"
