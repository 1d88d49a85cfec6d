#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 400
# A cache set goes from the C driver to this one and back, with a clean stop each time: what either has acknowledged, dirty
# in the cache or not, the other reads; then the other writes it all back, and the backing device alone holds it.
. "$(dirname "$0")/lib_host.sh"
use_disks cache=128M back=64M

step c format=65536 hold fill=1:A fill=2:B dirty verify=1:A differs=2:A stop
step rust open hold verify=1:A verify=2:B fill=3:B verify=3:B verify=1:A stop
step c open hold verify=1:A verify=3:B fill=4:B stop
step rust open verify=1:A verify=4:B drain verify=4:B stop raw verify=1:A verify=4:B

use_disks cache=128M back=64M
step rust format=65536 hold fill=5:A fill=6:B dirty stop
step c open hold verify=5:A verify=6:B fill=7:B stop
step rust open hold verify=5:A verify=7:B fill=8:A stop
step c open verify=8:A verify=7:B drain attach hold fill=9:B dirty stop
step rust open verify=8:A verify=9:B drain stop raw verify=8:A verify=9:B
finish
