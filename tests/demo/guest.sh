#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest's half of the demo; scripts/demo starts it. Disks: cache, back. Leaves in $OUT:
#   samples.csv   a line each second: s, phase, dirty, target, rate, proportional, integral (KiB, KiB/s), state,
#                 written to the backing device and to bcache0 (KiB/s, measured)
#   phases.csv    when each phase began: s, name; time starts with the load
#   steps.tsv     what was done: ok or FAILED, seconds, text
# The file system's load and the tunables are chosen so that the whole story of the controller shows in a minute.
# shellcheck source=../vm/lib.sh
. "$(dirname "$0")/lib.sh" >/dev/null
LOAD_MIB=${1:-160} LOAD_RATE=${2:-8M}
T0=${EPOCHREALTIME/[.,]/}
work=$(mktemp -d)
: >"$OUT/steps.tsv"

# --- steps and phases ---
# step TEXT COMMAND...: does something, says how it went, and goes on in any case
step() {
	local text=$1 start=${EPOCHREALTIME/[.,]/} rc=0 word=ok took
	shift
	"$@" >"$work/step.log" 2>&1 || rc=$?
	[ $rc = 0 ] || word=FAILED
	took=$(((${EPOCHREALTIME/[.,]/} - start) / 100000))
	printf '%-6s %4d.%d s  %s\n' $word $((took / 10)) $((took % 10)) "$text"
	[ $rc = 0 ] || sed 's/^/         /' "$work/step.log" | tail -n 20
	printf '%s\t%d.%d\t%s\n' $word $((took / 10)) $((took % 10)) "$text" >>"$OUT/steps.tsv"
	[ $rc = 0 ] || _failed=$((_failed + 1))
	return $rc
}

# now: microseconds since the start
now() {
	NOW=$((${EPOCHREALTIME/[.,]/} - T0))
}

# phase NAME
phase() {
	now
	printf '%d.%03d,%s\n' $((NOW / 1000000)) $((NOW / 1000 % 1000)) "$1" >>"$OUT/phases.csv"
	echo "$1" >"$work/phase.new" && mv "$work/phase.new" "$work/phase"
}

# --- the live table: no process is started for a line, emulated processors are slow ---
# kib TEXT: sets KIB from what sysfs prints for people: -73.2k, 4.0M, 1023.9G/sec
kib() {
	local v=${1%/sec} sign='' whole tenth unit
	[[ $v != -* ]] || sign=- v=${v#-}
	unit=${v: -1} v=${v%?}
	whole=${v%.*} tenth=${v#*.}
	case $unit in
	k) KIB=$whole ;;
	M) KIB=$(((whole * 10 + tenth) * 1024 / 10)) ;;
	G) KIB=$(((whole * 10 + tenth) * 1048576 / 10)) ;;
	*) KIB=$(((whole * 10 + tenth) * 1073741824 / 10)) ;;
	esac
	KIB=$sign$KIB
}

# written BLOCK-DEVICE: sets WRITTEN to the KiB written to it so far
written() {
	local f
	read -ra f <"/sys/class/block/$1/stat" && WRITTEN=$((f[6] / 2))
}

# sample: one line of the table and of samples.csv
sample() {
	local -A v=()
	local key value state=- phase back front rate dt text
	local -a k=()
	[ -r "$dir/writeback_rate_debug" ] || return 0
	# In one piece: read after each line the file would be made anew, and its lines lie elsewhere then.
	text=$(cat "$dir/writeback_rate_debug" 2>/dev/null) || return 0
	while IFS=$':\t' read -r key value; do
		v[$key]=${value//[$'\t' ]/}
	done <<<"$text"
	[ -n "${v[dirty]:-}" ] || return 0
	read -r state <"$dir/state"
	read -r phase <"$work/phase"
	for key in dirty target rate proportional integral; do
		kib "${v[$key]}"
		k+=("$KIB")
	done
	now
	dt=$((NOW - last_time)) last_time=$NOW
	written "$back_name" && back=$(((WRITTEN - last_back) * 1000000 / dt)) last_back=$WRITTEN
	written "$front_name" && front=$(((WRITTEN - last_front) * 1000000 / dt)) last_front=$WRITTEN
	rate=${v[rate]}
	[ "${k[2]}" -lt 900000000 ] || rate=no-limit
	[ $((lines++ % 20)) != 0 ] ||
		printf '\n%6s  %-7s %-8s %9s %9s %12s %10s %10s  %12s\n' s phase state dirty target rate P I written/s
	printf '%4d.%d  %-7s %-8s %9s %9s %12s %10s %10s  %10d.%dM\n' $((NOW / 1000000)) $((NOW / 100000 % 10)) "$phase" "$state" \
		"${v[dirty]}" "${v[target]}" "$rate" "${v[proportional]}" "${v[integral]}" \
		$((back / 1024)) $((back % 1024 * 10 / 1024))
	printf '%d.%03d,%s,%d,%d,%d,%d,%d,%s,%d,%d\n' $((NOW / 1000000)) $((NOW / 1000 % 1000)) "$phase" "${k[@]}" \
		"$state" "$back" "$front" >>"$OUT/samples.csv"
}

sampler() {
	local lines=0 next wait never last_time last_back=0 last_front=0 back_name front_name
	back_name=$(basename "$back") front_name=$(basename "$bdev")
	written "$back_name" && last_back=$WRITTEN
	written "$front_name" && last_front=$WRITTEN
	# A pipe that nobody writes to: a sleep that is no process.
	exec {never}<> <(:)
	now
	last_time=$NOW next=$((NOW + 1000000))
	sleep 0.2
	while [ ! -e "$work/stop" ]; do
		sample
		now
		wait=$((next - NOW))
		# A line that comes late does not make the next one come early.
		while [ $wait -lt 300000 ]; do
			next=$((next + 1000000)) wait=$((wait + 1000000))
		done
		next=$((next + 1000000))
		read -rt "$((wait / 1000000)).$(printf '%06d' $((wait % 1000000)))" -u "$never" || true
	done
	echo
}

# --- what the steps do ---
module_is_loaded() {
	cat /sys/module/bcache/taint
	[ "$DRIVER" = c ] || grep -q O /sys/module/bcache/taint
}

prepare_attach() {
	put "$(set_uuid "$cache")" "$dir/attach" && within 10 attached "$back" && within 10 test -b "$(bcache_of "$back")"
}

tune() {
	put writeback "$dir/cache_mode" &&
		put 0 "$dir/sequential_cutoff" &&
		no_congestion "$dir" &&
		put 0 "$dir/writeback_delay" &&
		put 1 "$dir/writeback_rate_update_seconds" &&
		put 5 "$dir/writeback_percent" &&
		put 5 "$dir/writeback_rate_p_term_inverse" &&
		put 500 "$dir/writeback_rate_i_term_inverse" &&
		put 512 "$dir/writeback_rate_minimum" &&
		put 0 "$dir/cache/internal/idle_max_writeback_rate" &&
		grep -q '\[writeback\]' "$dir/cache_mode"
}

# What the files must hold is made and summed up outside of bcache.
populate() {
	mkdir -p "$work/truth" "$mnt/files" &&
		(cd "$work/truth" && for i in {1..12}; do head -c $((i * 50000)) /dev/urandom >"file$i"; done && sha256sum file* >"$work/sums") &&
		cp "$work/truth"/* "$mnt/files/" && sync -f "$mnt" && rm -r "$work/truth"
}

# fio_file FILE MIB RATE MODE...
fio_file() {
	local file=$1 mib=$2 rate=$3
	shift 3
	fio --name="$file" --filename="$mnt/$file" --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=64k --size=256M \
		--io_size="${mib}M" --rate="$rate" --randrepeat=1 --randseed=42 --verify=xxhash --verify_fatal=1 "$@"
}

# below_target: dirty data is not above the target
below_target() {
	local d t
	d=$(bytes_of "$(awk '/^dirty:/ { print $2 }' "$dir/writeback_rate_debug")")
	t=$(bytes_of "$(awk '/^target:/ { print $2 }' "$dir/writeback_rate_debug")")
	[ "$d" -le "$t" ]
}

much_dirty() {
	[ "$(dirty_bytes "$back")" -gt 10000000 ]
}

all_clean() {
	[ "$(dirty_bytes "$back")" = 0 ] && [ "$(state "$back")" = clean ]
}

checksums() {
	echo 3 >/proc/sys/vm/drop_caches
	(cd "$mnt/files" && sha256sum --quiet -c "$work/sums")
}

detach_under_load() {
	fio_file late 64 6M --do_verify=0 --output="$work/late.log" &
	local fio=$!
	within 20 much_dirty || echo "there is little dirty data"
	kill -0 $fio || return 1
	put 1 "$dir/detach" || return 1
	within 40 sh -c "[ ! -e '$dir/cache' ] && [ \"\$(cat '$dir/state')\" = 'no cache' ]" || {
		echo "state is $(state "$back")"
		kill $fio
		return 1
	}
	kill -0 $fio && echo "the load went on" || echo "the load was over before the detach"
	wait $fio || {
		cat "$work/late.log"
		return 1
	}
}

nothing_left() {
	[ ! -e /sys/module/bcache ] && [ ! -e "$SYSFS" ] && ! compgen -G '/dev/bcache[0-9]*' && ! pgrep -l '^bcache'
}

mount_raw() {
	dmsetup create raw --table "0 $(($(blockdev --getsz "$back") - 16)) linear $back 16" && mount /dev/mapper/raw "$mnt"
}

# --- the demo ---
mnt=$work/mnt
mkdir "$mnt"
quiet_udev
cache=$(disk cache) back=$(disk back)
dir=$(sysdir "$back")
bdev=/dev/bcache0
: >"$OUT/samples.csv"
: >"$OUT/phases.csv"
printf '\nguest: %s, module bcache (driver: %s), cache %s, backing device %s\n\n' "$(uname -sr)" "$DRIVER" "$cache" "$back"

step "module loaded" module_is_loaded || exit 1
step "make-bcache -C (cache)" format_cache "$cache"
step "make-bcache -B (backing device)" format_backing "$back"
step "register both" register "$cache" "$back"
step "attach" prepare_attach
step "writeback mode and a controller for a short demo" tune
bdev=$(bcache_of "$back") || exit 1
step "mkfs.ext4 $bdev" mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0,nodiscard "$bdev"
step "mount" mount "$bdev" "$mnt" || exit 1
step "12 files with known checksums" populate

T0=${EPOCHREALTIME/[.,]/}
phase load
sampler &
sampler=$!
step "fio: $LOAD_MIB MiB of random 64 KiB writes at ${LOAD_RATE}iB/s" fio_file load "$LOAD_MIB" "$LOAD_RATE" --do_verify=0
sync -f "$mnt"
phase drain
step "load stopped: dirty data falls to the target" within 60 below_target
sleep 2
phase idle
# From here on the set may see that it is idle, and then writes back without limit.
step "the set may go idle" put 1 "$dir/cache/internal/idle_max_writeback_rate"
step "idle: dirty data falls to zero, state is clean" within 60 all_clean
sleep 1
phase verify
step "checksums of the files, through bcache" checksums
step "every block of fio's load, through bcache" fio_file load "$LOAD_MIB" 0 --verify_only
phase detach
step "detach while fio writes" detach_under_load
sleep 1
touch "$work/stop"
wait $sampler

step "umount" umount "$mnt"
step "unregister the cache set" put 1 "$(echo "$SYSFS"/*-*)/unregister"
step "stop the backing device" put 1 "$dir/stop"
step "nothing is registered any more" within 20 none_left
step "rmmod bcache" unload
step "no module, device, directory or thread is left" nothing_left
step "mount the backing device alone" mount_raw
step "checksums of the files, without bcache" checksums
step "every block of fio's load, without bcache" fio_file load "$LOAD_MIB" 0 --verify_only
step "every block written during the detach" fio_file late 64 0 --verify_only
umount "$mnt"
dmsetup remove raw
_ended=1
[ "$_failed" = 0 ]
