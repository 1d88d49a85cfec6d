# SPDX-License-Identifier: GPL-2.0
# The picture of the benchmark. scripts/bench puts before this: $ratios (row, ratio above the raw disk, ratio in the driver).
rows = |$ratios|
set terminal svg size 1100,(120 + 22 * rows) font 'DejaVu Sans,sans-serif,13' background 'white'
set title "Instructions above the raw disk, this driver's over those of the C driver\n{/*0.8 less is better; the line is C}" offset 0, 0.3
set yrange [rows - 0.4 : -0.6]
set xrange [0 : 2]
set xtics 0.2 nomirror
set ytics scale 0 nomirror
set grid xtics linecolor rgb '#d0d4d8' linewidth 0.6
set border 3 linecolor rgb '#606870'
set lmargin 20
set key outside bottom center horizontal samplen 1
set arrow from 1, graph 0 to 1, graph 1 nohead linecolor rgb '#303840' linewidth 1.5 front
clip(x) = x > 2 ? 2 : x
colour(x) = x <= 1 ? 0x1b7837 : 0xd95f02
set style fill solid 0.85 noborder
plot $ratios using (clip($2) / 2):0:(clip($2) / 2):(0.32):(colour($2)):ytic(1) with boxxyerror linecolor rgb variable notitle, \
	'' using (clip($3)):0 with points pointtype 7 pointsize 0.5 linecolor rgb '#303840' title 'in the driver alone', \
	'' using (clip($2)):0:(sprintf('  %.2f', $2)) with labels left font ',11' notitle
