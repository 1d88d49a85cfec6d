# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Parts of the guest of scripts/bench: what it says to the host, how it waits, and how a piece of work is counted.

turn=0
# A pipe to which nobody writes: to wait for it costs no process.
mkfifo /tmp/never
exec 9<>/tmp/never

# clock TEXT: how far the guest is, in its own seconds
clock() {
	echo "bench: $(cut -d" " -f1 /proc/uptime) $*" >/dev/console
}

say() {
	echo "$*" >&3
}

die() {
	say "failed turn $turn: $*"
	echo "bench: failed: $*" >/dev/kmsg
	sleep 1
	echo o >/proc/sysrq-trigger
	sleep 60
}

# pause SECONDS
pause() {
	read -rt "$1" -u 9
	return 0
}

# until_ok SECONDS COMMAND...: looks a hundred times per second. COMMAND should be a part of the shell: the wait is counted.
until_ok() {
	local n=$(($1 * 100))
	shift
	until "$@" 2>/dev/null; do
		n=$((n - 1))
		[ $n -gt 0 ] || die "not in time: $*"
		pause 0.01
	done
}

# wanted NAME: the row is to be measured
wanted() {
	[ "$ROWS" = all ] || [[ ,$ROWS, == *,$1,* ]]
}

# any_wanted NAME...
any_wanted() {
	local n
	for n; do
		wanted "$n" && return
	done
	return 1
}

said_modules() {
	say "modules $turn"
	cat /proc/modules >&3
	say "end"
	if [ -n "$SYMBOLS" ]; then
		say "symbols $turn"
		if [ "$turn" = 0 ]; then cat /proc/kallsyms >&3; else grep -F '[' /proc/kallsyms >&3; fi
		say "end"
	fi
}

# Of a real-time priority: who runs next, fio or a worker of the driver, would else hang on what ran before. Now and then it
# rests, so that the driver's threads get the processor, too: without them there are no free buckets.
FIO=(
	chrt -f 10 fio --minimal --ioengine=libaio --direct=1 --randseed=42 --allrandrepeat=1 --invalidate=0 --eta=never --gtod_reduce=1 --allow_file_create=0
	--thinktime=1ms --thinktime_blocks=32
)
# What can be verified later says in each 4 KiB which 4 KiB it is, and its checksum.
VERIFIABLE=(--verify=crc32c --verify_interval=4k --do_verify=0)

# fill DEVICE OFFSET-MiB BLOCKS: writes each 4 KiB block once, in random order, without counting
fill() {
	local rw
	# Where no bucket was ready the write has passed the cache by; a read brings it in, unless there is none again.
	for rw in randwrite read read; do
		"${FIO[@]}" --name=fill --filename="$1" --offset="${2}M" --size=$(($3 * 4096)) --bs=4k --rw=$rw >/tmp/fio.log || die "fill"
		sleep 1
	done
}

# fill_big DEVICE OFFSET-MiB MiB [RW [BLOCK [FIO-OPTION...]]]: the same in big requests, from the area's start to its end, once
fill_big() {
	"${FIO[@]}" --name=fill --filename="$1" --offset="${2}M" --size="${3}M" --bs="${5:-1M}" --rw="${4:-write}" "${@:6}" >/tmp/fio.log || die "fill_big"
}

# verify DEVICE OFFSET-MiB BYTES: reads what was written VERIFIABLE
verify() {
	"${FIO[@]}" --name=verify --filename="$1" --offset="${2}M" --size="$3" --bs=64k --rw=read --verify=crc32c --verify_interval=4k \
		--verify_fatal=1 >/tmp/fio.log 2>&1 || die "the data of $1 is not what was written: $(tail -n 3 /tmp/fio.log)"
	clock "$3 bytes are what was written"
}

# settle: what an earlier row left to do in the background is not the next one's, nor is its share of the next gc.
settle() {
	[ ! -e $CSET/internal/trigger_gc ] || echo 1 >$CSET/internal/trigger_gc
	sleep 2
}

# counts: sets SEEN to the device's hits, misses, the same past the cache, and its dirty data. C adds up what it counts each 14 s:
# the wait for that, and what C does in it, has no place where instructions are compared.
counts() {
	local name n
	SEEN=()
	[ -n "$COUNTS" ] && [ -d $BDEV/stats_total ] || return 0
	pause 15
	for name in stats_total/cache_{hits,misses,bypass_hits,bypass_misses} dirty_data; do
		read -r n <"$BDEV/$name"
		SEEN+=("$n")
	done
}

# did NAME: says what the device has counted since BEFORE, so that a row is what its name says, and the same for both drivers
did() {
	local i words=
	counts
	[ ${#SEEN[@]} = 5 ] || return 0
	for i in 0 1 2 3; do
		words+=" $((SEEN[i] - BEFORE[i]))"
	done
	say "did $turn $1$words ${SEEN[4]}"
}

# row NAME DEVICE OFFSET-MiB REQUESTS BS DEPTH RW [FIO-OPTION...]
# A job of the same kind at the end of the device comes first, uncounted. Each block of the area is met once.
row() {
	local name=$1 device=$2 offset=$3 requests=$4 bs=$5 depth=$6 rw=$7
	shift 7
	wanted "$name" || return 0
	counts
	BEFORE=("${SEEN[@]}")
	settle
	"${FIO[@]}" --filename="$device" --bs="${bs}k" --iodepth="$depth" --rw="$rw" "$@" \
		--name=warm --offset=$((BACKING_MB - 32))M --size=$((bs > 64 ? 16 : 1))M --number_ios=$((bs > 4 ? 16 : 200)) \
		--name=run --stonewall --offset="${offset}M" --size=$((requests * bs))k \
		--exec_prerun="mark 1" --exec_postrun="mark 2" >/tmp/fio.log 2>&1 || die "fio $name: $(tail -n 3 /tmp/fio.log)"
	say "row $turn $name $requests"
	did "$name"
}

# row_of_two NAME DEVICE OFFSET-MiB REQUESTS RW: two jobs of half the requests each, in halves of the area, one at a time each.
# The bracket is from the first one's start to the last one's end.
row_of_two() {
	local name=$1 device=$2 offset=$3 half=$(($4 / 2)) rw=$5
	wanted "$name" || return 0
	counts
	BEFORE=("${SEEN[@]}")
	settle
	"${FIO[@]}" --filename="$device" --bs=4k --iodepth=1 --rw="$rw" --numjobs=2 --size=$((half * 4))k --offset="${offset}M" \
		--offset_increment=$((half * 4))k --exec_prerun="mark 1" --exec_postrun="mark 2" --name=run >/tmp/fio.log 2>&1 ||
		die "fio $name: $(tail -n 3 /tmp/fio.log)"
	say "row $turn $name $((half * 2))"
	did "$name"
}

# row_over NAME DEVICE MiB REQUESTS [FIO-OPTION...]: 4 KiB reads and writes, 70 to 30, a few blocks of the area much more often
# than the others; gc is asked for at their start
row_over() {
	local name=$1 device=$2 area=$3 requests=$4
	shift 4
	wanted "$name" || return 0
	counts
	BEFORE=("${SEEN[@]}")
	settle
	[ ! -e $CSET/internal/trigger_gc ] || echo 1 >$CSET/internal/trigger_gc
	"${FIO[@]}" --filename="$device" --bs=4k --iodepth=1 --rw=randrw --rwmixread=70 --random_distribution=zipf:1.1 --norandommap \
		--size="${area}M" --number_ios="$requests" "$@" --exec_prerun="mark 1" --exec_postrun="mark 2" --name=run >/tmp/fio.log 2>&1 ||
		die "fio $name: $(tail -n 3 /tmp/fio.log)"
	say "row $turn $name $requests"
	did "$name"
}

# work NAME UNITS COMMAND...: COMMAND is done in any case, and counted if the row is wanted, with what it leaves to do in the
# next REST seconds. How long it took, in the guest's time, is said as well.
work() {
	local name=$1 units=$2 start
	shift 2
	if ! wanted "$name"; then
		"$@"
		return
	fi
	mark 1
	start=${EPOCHREALTIME/./}
	"$@"
	start=$((${EPOCHREALTIME/./} - start))
	[ -z "${REST:-}" ] || pause "$REST"
	mark 2
	say "row $turn $name $units"
	# How long gc takes is not known here: it is waited for so and so long.
	[ "$name" = gc ] || say "data $turn us-$name $start"
}
