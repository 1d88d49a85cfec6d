#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=16M --disk back=16M --timeout 300
# Superblocks that are wrong but have right checksums: register says no, with the documented error and a line in the
# log; nothing is left over, and the module works on and unloads. SEED and COUNT change the random ones.
. "$(dirname "$0")/lib.sh"
quiet_udev
hold_udev
cache=$(disk cache) back=$(disk back)
format_cache "$cache" --bucket 8192
format_backing "$back"
adopt python3 "$(dirname "$0")/lib_bad_superblock.py" "$cache" "$back" "${SEED:-2026}" "${COUNT:-100}"
ok "the module unloads" unload
done_testing
