#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Draws the ratios of a run of the benchmark: one line for each row, with its ratio above the raw disk and in the driver.
#   bench-plot.sh DATA SVG
set -eu
. "$(dirname "$0")/common.sh"
"$LAB_TOP/scripts/lab" plot
# No path means anything inside the tree: data and commands go in, a picture comes out.
{
	echo "\$ratios <<EOD"
	cat "$1"
	echo EOD
	cat "$LAB_TOP/tests/bench/plot.gp"
} | lab_in "$(lab_plot_tree)" gnuplot >"$2.new" 2>"$2.log" && [ -s "$2.new" ] || die "bench: no picture: $(tail -n 3 "$2.log" | tr -s '\n\t ' ' ')"
mv "$2.new" "$2"
