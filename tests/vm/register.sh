#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=128M --disk back=256M --disk small=16M --disk junk=64M --timeout 120
# What register accepts, what it refuses and with which error; what a registered disk looks like.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back) small=$(disk small) junk=$(disk junk)

is "a path that is not there" "$(errno_of /dev/nothing $SYSFS/register)" EINVAL
dd if=/dev/urandom of="$junk" bs=1M count=1 conv=fsync status=none
is "a disk without superblock" "$(errno_of "$junk" $SYSFS/register)" EINVAL
ok "the log says why" dmesg_says "Not a bcache superblock"

format_cache "$small" --bucket 65536
is "a cache with too few buckets" "$(errno_of "$small" $SYSFS/register)" EPERM

format_backing "$back"
ok "a backing device" register "$back"
ok "its disk appears" within 10 test -b /dev/bcache0
is "capacity" "$(blockdev --getsz /dev/bcache0)" "$(($(blockdev --getsz "$back") - 16))"
is "first minor" "$(stat -c %T /dev/bcache0)" 0
is "state" "$(state "$back")" "no cache"
is "running" "$(cat "$(sysdir "$back")/running")" 1
is "registered twice" "$(errno_of "$back" $SYSFS/register)" EBUSY
is "registered twice, quietly" "$(errno_of "$back" $SYSFS/register_quiet)" OK
fails "the backing device is claimed" can_claim "$back"
is "the disk sits on the backing device" "$(ls /sys/block/bcache0/slaves)" "$(basename "$back")"

format_cache "$cache" --bucket 65536
ok "a cache device" register "$cache"
fails "it is claimed" can_claim "$cache"
uuid=$(set_uuid "$cache")
ok "its set appears" test -d "$SYSFS/$uuid"
is "the cache registered twice" "$(errno_of "$cache" $SYSFS/register)" EBUSY
is "attach to a set that is not there" \
	"$(errno_of 11111111-2222-3333-4444-555555555555 "$(sysdir "$back")/attach")" ENOENT
is "attach with garbage" "$(errno_of garbage "$(sysdir "$back")/attach")" EINVAL
is "attach" "$(errno_of "$uuid" "$(sysdir "$back")/attach")" OK
is "attach twice" "$(errno_of "$uuid" "$(sysdir "$back")/attach")" EINVAL
is "state after attach" "$(state "$back")" clean
is "the set links its device" "$(readlink -f "$SYSFS/$uuid"/bdev*)" "$(readlink -f "$(sysdir "$back")")"
is "the set links its cache" "$(readlink -f "$SYSFS/$uuid/cache0")" "$(readlink -f "$(sysdir "$cache")")"

put 1 "$SYSFS/$uuid/unregister"
ok "unregister ends" within 20 test ! -e "$SYSFS/$uuid"
ok "the cache can be opened at once" can_claim "$cache"
is "and registered again" "$(errno_of "$cache" $SYSFS/register)" OK
is "the backing device runs on" "$(state "$back")" "no cache"
ok "everything stops" stop_all
# Bytes 200 to 203 of the superblock.
for dev in "$cache" "$back"; do
	at_most "seconds since $dev was registered" $(($(date +%s) - $(od -An -tu4 -j 4296 -N 4 "$dev"))) 60
done
dmsetup create none --table "0 16 linear $small 0"
ok "a superblock" format_backing /dev/mapper/none
is "a backing device with no room for data" "$(errno_of /dev/mapper/none $SYSFS/register)" EINVAL
dmsetup remove none

# A cache may be formatted again with the UUID that its devices know: of the journal of before nothing is found, not even behind the
# newest entry of the new one.
# life BLOCKS: so many blocks are written, and a journal entry with each
life() {
	local dev
	step format_cache "$cache" --bucket 65536 --cset-uuid "$uuid"
	step format_backing "$back"
	step register "$cache" "$back"
	step put "$uuid" "$(sysdir "$back")/attach"
	put writeback "$(sysdir "$back")/cache_mode"
	put 0 "$(sysdir "$back")/writeback_running"
	dev=$(bcache_of "$back")
	dd if=/dev/urandom of="$dev" bs=4k count="$1" oflag=direct,dsync status=none
	sum=$(dd if="$dev" bs=4k count="$1" iflag=direct status=none | md5sum)
	ok "it stops after $1 writes" stop_all
}
life 60
life 5
dmesg -C
ok "the cache is registered" register "$cache"
entry=$(dmesg | sed -n 's/.*journal replay done.* seq //p')
at_most "entries that were found" "${entry:-99}" 30
ok "so is its device" register "$back"
ok "it is attached" attached "$back"
is "state" "$(state "$back")" dirty
is "its data" "$(dd if="$(bcache_of "$back")" bs=4k count=5 iflag=direct status=none | md5sum)" "$sum"
ok "all stops" stop_all
ok "the module unloads" unload
done_testing
