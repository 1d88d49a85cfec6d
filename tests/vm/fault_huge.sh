#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk cache=16000G --disk back=2200G,opt_io_size=1073741824 --disk plain=2200G --timeout 300
# case: sums | H3, B11 | 1 TiB and more above the target, `p_term_inverse` of 1
# case: fragmented | H4, B11 | 1 TiB dirty in buckets of 4 TiB, which are 51 % of the cache
# case: divisor | H4, B11 | the same with 2 TiB, to the sector, in buckets of 8 TiB
# case: stripe | H14 | 1 TiB dirty that is all of a stripe (no `io_opt`), in buckets of 4 TiB
# Numbers of sectors that 32 bits do not hold. The disks are sparse, and the dirty data is made by lib_huge.py. The right
# rate is known in each case; what sysfs shows of it has few digits.
. "$(dirname "$0")/lib_fault.sh"
cache=$(disk cache)
huge_py=$(dirname "$0")/lib_huge.py

# A divisor that makes a term 0, and is a valid one for C.
NONE=2147483647
TIB=$((1 << 31))
# Where a backing device's data begins, as keys count.
DATA=16

# huge BACK FIRST SECTORS BUCKETS BITS NAME=VALUE...: a set of so many buckets of 2^BITS sectors, in which so many sectors
# of the device are dirty, from FIRST on, with these settings; the controller has looked at them. Sets dir, dirty (what
# dirty_data shows) and debug_text.
huge() {
	local back=$1 first=$2 sectors=$3 buckets=$4 bits=$5 uuid
	shift 5
	dir=$(sysdir "$back")
	format_cache "$cache" --bucket 16M
	# The tools need not know what comes now.
	uuid=$(set_uuid "$cache")
	ok "the cache's shape" python3 "$huge_py" shape "$cache" "$buckets" "$bits"
	format_backing "$back"
	register "$cache" "$back"
	ok "attach" put "$uuid" "$dir/attach"
	set_to cache_mode=writeback writeback_running=0
	within 10 test -b "$(bcache_of "$back")"
	soil "$(bcache_of "$back")" 4
	is "state" "$(cat "$dir/state")" dirty
	ok "stop" stop_all
	ok "dirty data is made" python3 "$huge_py" soil "$cache" "$first" "$sectors"
	# The settings come first: writeback starts with the attach.
	register "$back"
	set_to sequential_cutoff=0 writeback_rate_update_seconds=1 writeback_rate_i_term_inverse=$NONE "$@"
	ok "register" register "$cache"
	set_to writeback_running=0
	put 0 "$SYSFS/$uuid/internal/idle_max_writeback_rate"
	no_congestion "$dir"
	within 10 test -b "$(bcache_of "$back")"
	# What writeback has cleaned already becomes dirty again, so that not a sector is missing. This also makes the
	# driver count the buckets in use.
	ok "the first sectors" dd if=/dev/zero of="$(bcache_of "$back")" bs=4M count=24 \
		seek=$(((first - DATA) * 512)) oflag=direct,seek_bytes status=none
	dirty=$(cat "$dir/dirty_data")
	ok "a step" within 10 stepped
	sleep 2.2
	# While writeback does not run, no rate is shown.
	put 1 "$dir/writeback_running"
	debug_text=$(<"$dir/writeback_rate_debug")
	put 0 "$dir/writeback_running"
}

# stepped: the controller has made a step
stepped() {
	[ "$(number target)" -gt 0 ]
}

# part NAME: a line of what writeback_rate_debug showed
part() {
	sed -n "s/^$1:[[:space:]]*//p" <<<"$debug_text"
}

# its_rate: the rate, for the table
its_rate() {
	if stepped; then echo "rate $(part rate)"; else echo "no step of the controller"; fi
}

# shows NAME SECTORS: it showed so much, but for two of the last digit
shows() {
	local text
	text=$(part "$1")
	text=${text%/sec}
	awk -v text="$text" -v bytes="$(bytes_of "$text")" -v wanted="$2" 'BEGIN {
		if (text + 0 <= 0) exit 1
		off = (bytes - wanted * 512) / (bytes / text / 10)
		exit off <= -2 || off >= 2
	}'
	result $? "$1 $text is $2 sectors"
}

# in_use: percent of the buckets
in_use() {
	echo $((100 - $(cat "$dir/cache/cache_available_percent")))
}

case_sums() {
	local sectors=$((36000 * 65528)) target=$(((80000 << 17) / 100))
	huge "$(disk back)" $DATA $sectors 80000 17 writeback_percent=1 writeback_rate_p_term_inverse=1
	shows dirty $sectors
	shows target $target
	shows proportional $((sectors - target))
	# The most there is.
	shows rate 1000000000
	saw "$dirty dirty, target $(part target): $(its_rate)"
}

# fragmented DISK FIRST SECTORS: in buckets four times as large as the keys; 51 % are in use, and the target is far away,
# so that all of the rate comes from the fragmentation
fragmented() {
	# The journal has 256 buckets; priorities, UUIDs and index a few.
	local keys=$((($3 + 65527) / 65528)) metadata=264
	huge "$1" "$2" "$3" $(((keys + metadata) * 1000 / 515)) 18 writeback_percent=40 writeback_rate_p_term_inverse=$NONE
	is "percent in use" "$(in_use)" 51
	shows dirty "$3"
	shows rate $(($3 / (keys + metadata)))
	saw "$dirty dirty, $(in_use) % in use: $(its_rate)"
}

case_fragmented() {
	fragmented "$(disk back)" $DATA $((TIB + (TIB >> 6)))
}

case_divisor() {
	fragmented "$(disk back)" $DATA $((2 * TIB))
}

case_stripe() {
	fragmented "$(disk plain)" $TIB $TIB
}

run_cases "$@"
