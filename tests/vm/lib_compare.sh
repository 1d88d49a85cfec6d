#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's part of compare.sh: the same operations under either driver; what sysfs shows goes to $OUT/$DRIVER.*.
# Disks, all empty: cache, back; running, stopped and fixback_* for the images.
. "$(dirname "$0")/lib.sh"
quiet_udev
# Nobody else reads the disks.
udevadm control --stop-exec-queue
cache=$(disk cache) back=$(disk back)
out=$OUT/$DRIVER

sysfs=$(dirname "$0")/lib_sysfs.py
dir=$(sysdir "$back")

# picture NAME: everything that can be seen
picture() {
	python3 "$sysfs" picture "$1" "$dir"
}
# store FILE... -- VALUE...: odd input, and what the files then say
store() {
	python3 "$sysfs" store "$@"
}

{
	picture "empty"
	format_backing "$back" --cset-uuid aaaaaaaa-2222-3333-4444-555555555555
	is "a backing device whose set is missing" "$(errno_of "$back" $SYSFS/register)" OK
	picture "waiting for its set"
	echo "attach nothing: $(errno_of 99999999-2222-3333-4444-555555555555 "$dir/attach")"
	echo "attach nonsense: $(errno_of nonsense "$dir/attach")"
	format_cache "$cache" --bucket 65536 --cset-uuid aaaaaaaa-2222-3333-4444-555555555555
	ok "register the cache" register "$cache"
	set_dir=$SYSFS/aaaaaaaa-2222-3333-4444-555555555555
	echo "register twice: $(errno_of "$cache" $SYSFS/register) $(errno_of "$cache" $SYSFS/register_quiet)"
	echo "attach: $(errno_of "${set_dir##*/}" "$dir/attach")"
	within 10 test -b /dev/bcache0
	attached "$back" || echo "not attached"
	picture "attached"
	echo "attach twice: $(errno_of "${set_dir##*/}" "$dir/attach")"
	echo "run twice: $(errno_of 1 "$dir/running")"
	# Nothing happens by itself from here on.
	put 0 "$dir/writeback_running"
	no_congestion "$dir"
	put 0 "$set_dir/internal/idle_max_writeback_rate"
	store "$dir"/writeback_{delay,percent,rate,rate_update_seconds,rate_i_term_inverse,rate_p_term_inverse,metadata} \
		"$dir"/{writeback_{rate_fp_term_{low,mid,high},rate_minimum,consider_fragment},sequential_cutoff,io_error_limit} \
		"$set_dir"/{journal_delay_ms,io_error_limit,io_error_halflife,congested_{read,write}_threshold_us} \
		"$set_dir"/internal/{gc_always_rewrite,copy_gc_enabled,idle_max_writeback_rate,gc_after_writeback,btree_shrinker_disabled} \
		-- 7 0 1 40 41 12345678 4294967295 4294967296 18446744073709551616 -1 +3 0x10 1k "" " 5" x
	store "$dir"/{cache_mode,readahead_cache_policy,stop_when_cache_set_failed,cache/{errors,cache0/cache_replacement_policy}} \
		-- writethrough writearound none writeback 'writeback ' WRITEBACK meta-only all always auto panic unregister fifo \
		random lru '' 0 '[lru]'
	store "$dir/label" -- label "two words" 12345678901234567890123456789012 1234567890123456789012345678901 ""
	put name "$dir/label"
	put 4194304 "$dir/sequential_cutoff"
	put 0 "$set_dir/internal/idle_max_writeback_rate"
	put 0 "$dir/writeback_running"
	no_congestion "$dir"
	# 8 MiB dirty, 16 misses, 16 hits, a sequential write that is bypassed from the fifth MiB on.
	for i in {0..31}; do
		dd if=/dev/urandom of=/dev/bcache0 bs=256k seek=$((2 * i)) count=1 oflag=direct status=none
	done
	echo "dirty: $(cat "$dir/dirty_data") $(cat "$dir/state")"
	ok "misses" dd if=/dev/bcache0 of=/dev/null bs=64k skip=512 count=16 iflag=direct status=none
	sleep 0.5
	ok "hits" dd if=/dev/bcache0 of=/dev/null bs=64k skip=512 count=16 iflag=direct status=none
	ok "bypassed" dd if=/dev/zero of=/dev/bcache0 bs=1M seek=48 count=12 oflag=direct status=none
	picture "dirty"
	end_of_io=$SECONDS
} >"$out.transcript" 2>&1

# --- images of another driver's cache, while the statistics of the first set ripen ---
percents() {
	sed -n 's/%//; s/^\(Unused\|Clean\|Dirty\|Metadata\):[[:space:]]*/\1 /p' "$1"
}
for image in running stopped; do
	# Empty disks until now: udev must not be faster.
	c=$(disk $image) b=$(disk fixback_$image)
	gzip -dc "$JOB/cache_${image}_128M.img.gz" | dd of="$c" bs=1M iflag=fullblock oflag=direct status=none
	dd if="$JOB/bdev_first8k.bin" of="$b" oflag=direct bs=8k status=none
	ok "$image: bcache-super-show" bcache-super-show "$c"
	ok "$image: register" register "$b" "$c"
	ok "$image: attached" within 10 attached "$b"
	d=$(sysdir "$b")
	put 0 "$d/writeback_running"
	ok "$image: gc" put 1 "$d/cache/internal/trigger_gc"
	{
		echo "state $(cat "$d/state") label $(cat "$d/label") mode $(cat "$d/cache_mode") running $(cat "$d/running")"
		echo "dirty $(bytes_of "$(cat "$d/dirty_data")")"
		echo "depth $(cat "$d/cache/tree_depth") bucket $(cat "$d/cache/bucket_size") block $(cat "$d/cache/block_size")"
		sleep 1
		echo "nodes $(cat "$d/cache/internal/btree_nodes")"
		echo "available $(cat "$d/cache/cache_available_percent")"
		echo "key $(bytes_of "$(cat "$d/cache/average_key_size")")"
		percents "$d/cache/cache0/priority_stats"
		echo "md5 $(md5sum <"$(bcache_of "$b")")"
		put 0 "$d/writeback_delay"
		put 0 "$d/writeback_percent"
		put 1 "$d/writeback_running"
		within 60 grep -qx clean "$d/state"
		echo "drained $(cat "$d/state") $(cat "$d/dirty_data")"
		put 1 "$d/stop"
		put 1 "$d/cache/stop"
	} >"$out.$image" 2>&1
	ok "$image: stopped" within 30 can_claim "$c"
	ok "$image: stopped" within 30 can_claim "$b"
	echo "raw $(dd if="$b" bs=8k skip=1 iflag=direct status=none | md5sum)" >>"$out.$image"
	ok "$image: the log has no complaint" sh -c '! dmesg | grep -iE "bcache.*(error|inconsisten|corrupt|bad|cannot)"'
done

{
	# They are collected every 14 s.
	[ $((SECONDS - end_of_io)) -gt 15 ] || sleep $((15 - SECONDS + end_of_io))
	grep -H . "$dir"/stats_total/* "$set_dir"/stats_total/* | sed 's/.*bcache//'
	put 1 "$set_dir/clear_stats"
	put 1 "$dir/clear_stats"
	echo "cleared: $(cat "$dir/stats_total/cache_hits" "$set_dir/stats_total/bypassed")"
	ok "gc" put 1 "$set_dir/internal/trigger_gc"
	put 0 "$dir/writeback_delay"
	put 0 "$dir/writeback_percent"
	put 1 "$dir/writeback_running"
	within 60 grep -qx clean "$dir/state"
	picture "clean"
	put 1 "$dir/detach"
	within 30 sh -c "[ ! -e $dir/cache ]"
	echo "detach twice: $(errno_of 1 "$dir/detach")"
	picture "detached"
	ok "attach" put "${set_dir##*/}" "$dir/attach"
	picture "attached again"
	ok "unregister" put 1 "$set_dir/unregister"
	within 30 sh -c "[ ! -e $set_dir ]"
	picture "without the set"
	ok "stop" put 1 "$dir/stop"
	within 30 none_left
	picture "empty"
	bcache-super-show "$back"
	bcache-super-show "$cache" | grep -v last
} >>"$out.transcript" 2>&1
done_testing
