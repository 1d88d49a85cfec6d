#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's part of compare.sh: the same operations under either driver; what sysfs shows goes to $OUT/$DRIVER.*.
# Disks, all empty: cache, back; running, stopped and fixback_* for the images.
. "$(dirname "$0")/lib.sh"
quiet_udev
cache=$(disk cache) back=$(disk back)
out=$OUT/$DRIVER

# What the two drivers may show differently: times, I/O of the metadata, memory in use, chance. Only its form counts.
volatile=' average_key_size btree_cache_size btree_used_percent btree_written cache_available_percent congested
 metadata_written priority_stats root_usage_percent written writeback_rate '
shape() {
	sed -E 's/-?[0-9]+(\.[0-9])?[kMGTPEZY]?/N/g; s/\[N( N)*\]$/[N...]/'
}
# list DIR NAME: its files with their modes, and where the links go
list() {
	find "$1/" -mindepth 1 -maxdepth 1 -printf "$2/%f %y %m\n" | sort
	find "$1/" -mindepth 1 -maxdepth 1 -type l | sort | while read -r f; do
		echo "$2/${f##*/} -> $(readlink "$f" | sed -E 's/[0-9a-f]{8}-[0-9a-f-]{27}/UUID/; s/.*\///')"
	done
}
# show DIR NAME: the content of its files
show() {
	local f n
	for f in "$1"/*; do
		n=${f##*/}
		[[ $(stat -c %A "$f") == -r* ]] || continue
		if [[ $volatile == *" $n "* || $2 == internal && $n != [gic]*[de] ]]; then
			shape <"$f"
		else
			sed -E 's/[0-9a-f]{8}-[0-9a-f-]{27}/UUID/g' "$f"
		fi | sed "s|^|$2/$n: |"
	done
}
# picture: everything
picture() {
	local s
	echo "--- $1"
	list $SYSFS fs
	for s in "$SYSFS"/*-*-*; do
		[ -d "$s" ] || continue
		list "$s" set
		show "$s" set
		list "$s/internal" internal
		show "$s/internal" internal
		list "$s/stats_total" set_stats
		show "$s/stats_total" set_stats
		list "$s/cache0/" cache
		show "$s/cache0" cache
	done
	s=$(sysdir "$back")
	[ -d "$s" ] || return
	list "$s" dev
	show "$s" dev
	for w in total five_minute hour day; do
		list "$s/stats_$w" "dev_stats_$w"
		show "$s/stats_$w" "dev_stats_$w"
	done
	list "$(dirname "$s")/holders" holders
	[ ! -d "$s/dev/" ] || list "$s/dev/slaves" slaves
}
# tries FILE: what happens to odd input, and what the file then says
tries() {
	local f=$1 n v old
	n=${f##*/}
	old=$(cat "$f")
	for v in 7 0 1 40 41 12345678 4294967295 4294967296 18446744073709551616 -1 +3 0x10 1k "" " 5" x; do
		# These end the device, cost much time, or depend on chance.
		echo "$n <- '$v': $(errno_of "$v" "$f") $([[ $volatile == *" $n "* ]] || cat "$f")"
	done
	put "${old//[^0-9]/}" "$f" 2>/dev/null
}

{
	picture "empty"
	format_backing "$back" --cset-uuid 11111111-2222-3333-4444-555555555555
	is "a backing device whose set is missing" "$(errno_of "$back" $SYSFS/register)" OK
	picture "waiting for its set"
	dir=$(sysdir "$back")
	echo "attach nothing: $(errno_of 99999999-2222-3333-4444-555555555555 "$dir/attach")"
	echo "attach nonsense: $(errno_of nonsense "$dir/attach")"
	format_cache "$cache" --bucket 65536 --cset-uuid 11111111-2222-3333-4444-555555555555
	ok "register the cache" register "$cache"
	set_dir=$SYSFS/11111111-2222-3333-4444-555555555555
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
	for n in writeback_delay writeback_percent writeback_rate writeback_rate_update_seconds writeback_rate_i_term_inverse \
		writeback_rate_p_term_inverse writeback_rate_fp_term_low writeback_rate_fp_term_mid writeback_rate_fp_term_high \
		writeback_rate_minimum writeback_consider_fragment writeback_metadata sequential_cutoff io_error_limit; do
		tries "$dir/$n"
	done
	for n in journal_delay_ms io_error_limit io_error_halflife congested_read_threshold_us congested_write_threshold_us; do
		tries "$set_dir/$n"
	done
	for n in gc_always_rewrite copy_gc_enabled idle_max_writeback_rate gc_after_writeback btree_shrinker_disabled; do
		tries "$set_dir/internal/$n"
	done
	for n in cache_mode readahead_cache_policy stop_when_cache_set_failed cache/errors cache/cache0/cache_replacement_policy; do
		for v in writethrough writearound none writeback 'writeback ' WRITEBACK meta-only all always auto panic unregister \
			fifo random lru '' 0 '[lru]'; do
			echo "$n <- '$v': $(errno_of "$v" "$dir/$n") $(cat "$dir/$n")"
		done
	done
	for v in label "two words" 12345678901234567890123456789012 1234567890123456789012345678901 ""; do
		echo "label <- '$v': $(errno_of "$v" "$dir/label") $(cat "$dir/label")"
	done
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
	within 30 sh -c "! grep -qx 0.0k $dir/stats_total/bypassed"
	picture "statistics"
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
