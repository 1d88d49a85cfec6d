#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# One boot of the benchmark's guest: QEMU counts what it does, or (without a plugin) only keeps its time.
#   bench-boot.sh GUEST-FOLDER INITRD OUT SEED [PLUGIN]      with $COUNTS set: the guest's own counts are said, too
# OUT gets said (what the guest has to tell), console.log, qemu.log and counts. Fails if the guest did not get to its end.
set -eu
. "$(dirname "$0")/common.sh"
guest=$1 initrd=$2 out=$3 seed=$4 plugin=${5:-}
mkdir -p "$out"
# Westmere has what the kernel's checksums use; it copies in loops, whose instructions every version of QEMU counts alike. Without
# rdrand the kernel has no entropy and looks for some at each random number.
cmdline="console=ttyS0 loglevel=5 panic=-1 oops=panic nokaslr mitigations=off no_timer_check tsc=reliable random.trust_cpu=on audit=0 psi=0 noautogroup"
cmdline+=" initcall_blacklist=load_system_certificate_list,init_encrypted,crypto_kdf108_init cryptomgr.notests"
# Statistics about memory that the kernel gathers now and then have no part in any row (see also vm.stat_interval in guest.sh).
cmdline+=" damon_stat.enabled=0"
# What the kernel does not know becomes a variable of process 1.
cmdline+=${COUNTS:+ COUNTS=1}
start=$SECONDS
timeout -s KILL "${BENCH_TIMEOUT:-900}" setpriv --pdeathsig KILL "$LAB_KIT/qemu.sh" \
	-M q35 -nodefaults -no-user-config -display none -no-reboot -smp 1 -m 2G -cpu Westmere,+rdrand \
	-accel tcg,thread=single -icount "shift=0,sleep=off" -rtc base=2026-01-01,clock=vm -seed "$seed" \
	${plugin:+-plugin "$plugin,out=$out/counts"} -kernel "$guest/vmlinux" -initrd "$initrd" -append "$cmdline" \
	-chardev "file,id=console,path=$out/console.log" -serial chardev:console \
	-device virtio-serial-pci -chardev "file,id=port,path=$out/said" -device virtserialport,chardev=port,name=lab.out \
	</dev/null 2>"$out/qemu.log" || true
if ! grep -qx 'done' "$out/said" 2>/dev/null; then
	say "bench: the guest did not get to its end. $(grep '^failed' "$out/said" || true) The console's last lines:"
	tail -n 30 "$out/console.log" >&2 || true
	cat "$out/qemu.log" >&2
	die "bench: all of it is in $out"
fi
say "bench: seed $seed: the guest took $((SECONDS - start)) s"
"$LAB_KIT/splats.sh" "$out/console.log" >&2 || die "bench: the kernel complains: $out/console.log"
