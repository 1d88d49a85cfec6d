#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 400
# A cache set goes from the C driver to this one and back, with a clean stop each time: what either has acknowledged, dirty
# in the cache or not, the other reads; then the other writes it all back, and the backing device alone holds it.
. "$(dirname "$0")/lib_host.sh"
# Three pairs go their ways at the same time: a guest with each driver in turn.
use_disks cache=128M back=64M cache2=128M back2=64M cache3=128M back3=64M

# 1 begins with the C driver, 2 with this one. 3: the C driver reads a node into a buffer of its size, so that what this one
# appends must be as long as what C makes of it, where the middle of an extent is overwritten and where one is put into the
# middle of an erased range.
step c pair= format=65536 hold fill=1:A fill=2:B dirty verify=1:A differs=2:A stop
step rust pair= open hold verify=1:A verify=2:B fill=3:B verify=3:B verify=1:A stop \
	pair=2 format=65536 hold fill=5:A fill=6:B dirty stop \
	pair=3 format=65536 hold extents=0 extents=1 around=1 middles=0:28 middles=1:28 sum=1 dirty stop
step c pair= open hold verify=1:A verify=3:B fill=4:B stop \
	pair=2 open hold verify=5:A verify=6:B fill=7:B stop \
	pair=3 open hold same=1 middles=0:44 middles=1:12 sum=2 stop
step rust pair= open verify=1:A verify=4:B drain verify=4:B stop raw verify=1:A verify=4:B \
	pair=2 open hold verify=5:A verify=7:B fill=8:A stop \
	pair=3 open hold same=2 middles=0:12 middles=1:44 sum=3 stop
step c pair=2 open verify=8:A verify=7:B drain attach hold fill=9:B dirty stop \
	pair=3 open hold same=3 stop
step rust pair=2 open verify=8:A verify=9:B drain stop raw verify=8:A verify=9:B unraw \
	pair=3 open same=3 drain same=3 stop raw same=3
finish
