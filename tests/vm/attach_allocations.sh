#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=128M --disk stays_cache=64M --disk stays_back=16M --with tests/vm/no_memory.sh --timeout 120
# debug
# manual
# A slice of no_memory.sh: each eighth allocation of an attach fails.
exec bash "$(dirname "$0")/no_memory.sh" attach_allocations 8
