#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 400
# long
# The guest is killed in the middle of writes, then the other driver opens what is left: everything that had been synced is
# there, dirty in the cache and after it is written back.
. "$(dirname "$0")/lib_host.sh"
use_disks cache=128M back=64M

killed_step c format=16384 write=1
killed_step rust open check drain check attach check write=2
killed_step c open check write=3
killed_step rust open check write=4
step c open check drain check stop raw check
finish
