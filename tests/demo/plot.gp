# SPDX-License-Identifier: GPL-2.0
# The picture of the demo. scripts/demo puts before this: terminal, subject, $samples and $phases.
if (terminal eq 'png') { set terminal pngcairo size 1400,900 font 'DejaVu Sans,13' linewidth 1.6 } \
else { set terminal svg size 1400,900 font 'DejaVu Sans,sans-serif,15' linewidth 1.6 background 'white' }
set datafile separator ','
MiB(k) = k / 1024.0

stats $samples using 1 nooutput
end = STATS_max + 0.5
stats $samples using (MiB($3 > $4 ? $3 : $4)) nooutput
most = STATS_max * 1.2

# The rates that are drawn; full speed is a rate beyond every disk and lies on the upper edge.
low = 0.1
high = 100.0
rate(k) = MiB(k) < low ? low : MiB(k) > high ? high : MiB(k)
flow(k) = MiB(k) < low ? low : MiB(k)

# What a phase is called, where it starts and ends, and its colour.
start(i) = real($phases[i][1 : strstrt($phases[i], ',') - 1])
name(i) = $phases[i][strstrt($phases[i], ',') + 1 : *]
stop(i) = i < |$phases| ? start(i + 1) : end
titles(n) = n eq 'load' ? 'fio writes' : n eq 'drain' ? 'no load' : n eq 'idle' ? 'idle set' : n eq 'verify' ? 'reading back' : \
	n eq 'detach' ? 'detach under load' : n
do for [i = 1 : |$phases|] {
	set object i rectangle from start(i), graph 0 to stop(i), graph 1 behind fillstyle solid noborder \
		fillcolor rgb (i % 2 ? '#eef3f8' : '#ffffff')
	set arrow i from start(i), graph 0 to start(i), graph 1 nohead linecolor rgb '#b0b8c0' linewidth 0.7 back
}

set multiplot
set xrange [0 : end]
set lmargin at screen 0.075
set rmargin at screen 0.975
set grid ytics linecolor rgb '#c4cad0' linewidth 0.6
set border 3 linecolor rgb '#606870'
set tics nomirror textcolor rgb '#303840'
set key at graph 0.995, graph 0.98 right top vertical reverse Left samplen 2.5 spacing 1.15 opaque box linecolor rgb '#d0d4d8' height 0.3 width 0.5

# --- dirty data and its target ---
set title "Background writeback under its controller\n{/*0.75 ".subject.'}' font ',17' offset 0, 0.6
set tmargin at screen 0.89
set bmargin at screen 0.515
set yrange [0 : most]
set ylabel 'MiB'
set xtics format ''
do for [i = 1 : |$phases|] {
	set label i titles(name(i)) at (start(i) + stop(i)) / 2, graph 1.04 center textcolor rgb '#506070' font ',12' front
}
plot $samples using 1:(MiB($3)) with filledcurves y1=0 fillcolor rgb '#d95f02' fillstyle transparent solid 0.15 notitle, \
	'' using 1:(MiB($3)) with lines linecolor rgb '#d95f02' linewidth 2 title 'dirty data', \
	'' using 1:($4 > 0 ? MiB($4) : NaN) with lines linecolor rgb '#303840' linewidth 1.3 dashtype 2 title 'target'

# --- rates ---
unset title
do for [i = 1 : |$phases|] { unset label i }
set tmargin at screen 0.49
set bmargin at screen 0.105
set yrange [low : high]
set logscale y
set ytics (0.1, 0.3, 1, 3, 10, 30, 'no limit' 100)
set ylabel 'MiB/s (logarithmic)'
set xlabel 'seconds since the load began' offset graph -0.36, -0.1
set xtics format '%g'
set key at screen 0.975, screen 0.015 right bottom horizontal maxrows 1 reverse Left samplen 2.5 noopaque nobox
plot $samples using 1:(flow($10)) with filledcurves y1=low fillcolor rgb '#7570b3' fillstyle transparent solid 0.18 title 'written by fio and ext4 to bcache', \
	'' using 1:(flow($9)) with lines linecolor rgb '#1b9e77' linewidth 1.3 title 'written to the backing device', \
	'' using 1:(stringcolumn(8) eq "no cache" ? NaN : rate($5)) with steps linecolor rgb '#d7191c' linewidth 2 title 'rate of the controller'
unset multiplot
