# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Shared by the lab's scripts: where things are, messages, locks, and the way into the toolchain tree.

BCACHE_LAB=${BCACHE_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/bcache-lab}
LAB_KIT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_TOP=$(cd "$LAB_KIT/../.." && pwd)
export BCACHE_LAB

# shellcheck disable=SC2034
# What the host itself must have; everything else lives in the trees that mmdebstrap makes.
LAB_HOST_NEEDS=(mmdebstrap make util-linux ca-certificates git shellcheck)
# Without root the trees are made in a user namespace.
[ "$(id -u)" = 0 ] || LAB_HOST_NEEDS+=(uidmap)

# The Debian 13 tree that compiles. A change of this list makes a new tree.
LAB_TREE_PACKAGES=(
	apt bc bindgen bison bzip2 ca-certificates cargo clang-19 cpio dwarves e2fsprogs flex gcc-14 git jq kmod
	libc6-dev libclang-19-dev libelf-dev libssl-dev lld-19 llvm-19 make patch python3 rsync rust-clippy
	rust-src rustc rustfmt xz-utils zlib1g-dev zstd
)

# The guest's userland.
# shellcheck disable=SC2034
LAB_GUEST_PACKAGES=(
	bc bcache-tools blktrace bsdextrautils busybox-static cryptsetup-bin dmsetup e2fsprogs fdisk file fio gawk iproute2 jq kmod
	lvm2 mdadm parted procps psmisc python3-minimal strace udev util-linux xfsprogs
)

# The emulator. The host's own may be too old: before 8.1 a processor of QEMU can go on with instructions that another
# one has just patched, which a booting kernel does a lot ("Oops: int3", or a processor that hangs).
LAB_QEMU_PACKAGES=(qemu-system-x86)

# What draws the picture of the demo.
LAB_PLOT_PACKAGES=(fonts-dejavu-core gnuplot-nox)

say() {
	printf 'lab: %s\n' "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# lab_step TEXT COMMAND...: says what is done and how long it took; the output goes to a log that is shown on failure.
lab_step() {
	local text=$1 start=$SECONDS log
	shift
	mkdir -p "$BCACHE_LAB/log"
	log=$(mktemp "$BCACHE_LAB/log/$(date +%Y%m%d-%H%M%S)-XXXX.log")
	say "$text (log: $log)"
	"$@" >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "FAILED: $text (whole log: $log)"
	}
	say "$text: done in $((SECONDS - start)) s"
}

# lab_once TARGET COMMAND...: unless TARGET exists, runs COMMAND with a new folder as its last argument
# and renames that folder to TARGET. One process at a time; whatever an interrupted run left is thrown away.
lab_once() {
	local target=$1 tmp
	shift
	[ ! -e "$target" ] || return 0
	mkdir -p "$(dirname "$target")" "$BCACHE_LAB/lock"
	(
		exec 9>"$BCACHE_LAB/lock/$(printf '%s' "${target#"$BCACHE_LAB"/}" | tr '/' '_')"
		flock -n 9 || {
			say "another process makes $target; waiting for it"
			flock 9
		}
		[ ! -e "$target" ] || exit 0
		tmp=$target.part
		rm -rf --one-file-system "$tmp"
		mkdir "$tmp"
		"$@" "$tmp" || exit 1
		mv -T "$tmp" "$target"
	)
}

# lab_tree_of NAME PACKAGE...: where the tree with these packages is
lab_tree_of() {
	local name=$1
	shift
	echo "$BCACHE_LAB/tree-$name-$(printf '%s\n' "$@" | sha256sum | cut -c1-12)"
}
lab_tree() {
	lab_tree_of trixie "${LAB_TREE_PACKAGES[@]}"
}
lab_plot_tree() {
	lab_tree_of plot "${LAB_PLOT_PACKAGES[@]}"
}
lab_qemu_tree() {
	lab_tree_of qemu "${LAB_QEMU_PACKAGES[@]}"
}

# lab_in TREE COMMAND...: runs COMMAND as root inside TREE, in namespaces of its own. The lab is /lab there, the
# checkout is /bcache, $LAB_KDIR (if set) is /kdir: paths that do not depend on the host, as a kernel's build folder
# remembers its own. Network and environment variables of the host are not hidden, except for PATH and HOME.
lab_in() {
	local tree=$1 ns=(--mount --pid --fork --kill-child)
	shift
	[ "$(id -u)" = 0 ] || ns+=(--map-root-user --map-auto)
	mkdir -p "$BCACHE_LAB"
	LAB_CHECKOUT=${LAB_CHECKOUT:-$LAB_TOP} unshare "${ns[@]}" -- "$LAB_KIT/enter.sh" "$tree" "$@"
}

# lab_cargo ARG...: cargo on the workspace of the host-side tests: the host's if there is one, else the tree's. The target
# folder lies outside of the checkout: Kbuild's clean would delete object files in it. Each checkout has one of its own:
# the sources of core lie outside of its package, and cargo would take those of another checkout for unchanged.
lab_cargo() {
	local command=$1 target
	shift
	target=cargo-target/$(printf '%s' "$LAB_TOP" | sha256sum | cut -c1-8)
	if command -v cargo >/dev/null; then
		CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$BCACHE_LAB/$target} cargo "$command" \
			--manifest-path "$LAB_TOP/tests/Cargo.toml" "$@"
	else
		"$LAB_TOP/scripts/lab" in-tree env CARGO_HOME=/lab/cargo CARGO_TARGET_DIR="/lab/$target-tree" \
			cargo "$command" --manifest-path tests/Cargo.toml "$@"
	fi
}
