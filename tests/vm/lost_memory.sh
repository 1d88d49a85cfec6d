#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# host: --timeout 60
# debug
# What each test on the debug kernel does at its end, the search for memory that is lost, finds some: a module that loses it.
set -u
here=$(dirname "$0")
dir=$TMPDIR/lose
mkdir "$dir"
echo 'obj-m := lose.o' >"$dir/Kbuild"
cat >"$dir/lose.c" <<'END'
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static int __init lose_init(void)
{
	char *lost;
	int i;

	for (i = 0; i < 10; i++) {
		lost = kmalloc(777, GFP_KERNEL);
		if (lost)
			strscpy(lost, "lost by lose.ko", 777);
	}
	return 0;
}

static void __exit lose_exit(void)
{
}

module_init(lose_init);
module_exit(lose_exit);
MODULE_DESCRIPTION("Loses memory");
MODULE_LICENSE("GPL");
END
cat >"$dir/guest.sh" <<'END'
#!/bin/bash
. "$(dirname "$0")/lib.sh"
ok "nothing is lost" no_leak
ok "load" insmod "$(dirname "$0")/lose.ko"
ok "unload" rmmod lose
fails "something is lost" no_leak
found=$(cat /sys/kernel/debug/kmemleak)
at_least "finds" "$(grep -c 'lost by lose.ko' <<<"$found")" 9
ok "with who asked for it" grep -q 'comm "insmod"' <<<"$found"
_cleanup
[ "$_failed" = 0 ]
END
lab=${TMPDIR%/runs/*}
LAB_KDIR=$lab/kernel/debug/kdir "$(dirname "$VM")/lab" in-tree make -s -C /kdir LLVM=1 "M=/lab${dir#"$lab"}" modules 2>&1 | sed 's/^/# /'
[ -e "$dir/lose.ko" ] || {
	echo "not ok 1 the module that loses memory builds"
	exit 1
}
# The splat is what this is about.
"$VM" run --allow-splat --with "$here/lib.sh" --with "$dir/lose.ko" --timeout $((200 * ${VM_PATIENCE:-1})) "$dir/guest.sh"
