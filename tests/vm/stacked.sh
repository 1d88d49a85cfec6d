#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=64M --disk back=256M --disk other=64M --timeout 240
# bcache on top of bcache: the upper device is taken in, works and comes apart, in either order; nothing waits for itself.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back) other=$(disk other)

format_backing "$back"
register "$back"
lower=$(bcache_of "$back")
ok "lower disk" test -b "$lower"

format_backing "$lower"
ok "a backing device on bcache" register "$lower"
upper=$(bcache_of "$lower")
ok "upper disk" within 10 test -b "$upper"
format_cache "$cache" --bucket 16384
ok "cache" register "$cache"
ok "attach the upper one" put "$(set_uuid "$cache")" "$(sysdir "$lower")/attach"
ok "attach the lower one to the same set" put "$(set_uuid "$cache")" "$(sysdir "$back")/attach"
put writeback "$(sysdir "$lower")/cache_mode"
put writeback "$(sysdir "$back")/cache_mode"
fio_verify "verify on the upper disk" "$upper" --rw=randwrite --bs=16k --size=16M --iodepth=8
ok "the upper one stops" put 1 "$(sysdir "$lower")/stop"
ok "and gives the lower one free" within 30 can_claim "$lower"
ok "all stop" stop_all

ok "again" register "$cache" "$back"
lower=$(bcache_of "$back")
ok "the lower disk is back" within 10 test -b "$lower"
ok "the upper one too" register "$lower"
ok "its disk is back" within 10 test -b "$(bcache_of "$lower")"
put 1 "$(sysdir "$back")/stop"
sleep 1
ok "stop below first: all stop all the same" stop_all

wipefs -qa "$back"
format_backing "$back"
register "$back"
lower=$(bcache_of "$back")
within 10 test -b "$lower"
format_cache "$lower" --bucket 16384
ok "a cache on bcache" register "$lower"
format_backing "$other"
ok "a backing device for it" register "$other"
ok "attach" put "$(set_uuid "$lower")" "$(sysdir "$other")/attach"
upper=$(bcache_of "$other")
put writeback "$(sysdir "$other")/cache_mode"
fio_verify "verify" "$upper" --rw=randwrite --bs=16k --size=16M --iodepth=8
ok "all stop in the end" stop_all
ok "the module unloads" unload
done_testing
