// SPDX-License-Identifier: GPL-2.0
/*
 * Module parameters. The Rust `module!` macro of this kernel makes none that
 * are visible in /sys/module, so that these are C.
 */
#include "base.h"

#include <linux/module.h>
#include <linux/moduleparam.h>

static unsigned int bch_cutoff_writeback;
static unsigned int bch_cutoff_writeback_sync;
static unsigned int teardown_warn_seconds = 60;

module_param(bch_cutoff_writeback, uint, 0444);
MODULE_PARM_DESC(bch_cutoff_writeback, "threshold to cutoff writeback");

module_param(bch_cutoff_writeback_sync, uint, 0444);
MODULE_PARM_DESC(bch_cutoff_writeback_sync, "hard threshold to cutoff writeback");

module_param(teardown_warn_seconds, uint, 0644);
MODULE_PARM_DESC(teardown_warn_seconds,
		 "seconds after which the log says what a teardown waits for");

u32 bch_helper_param_cutoff_writeback(void)
{
	return bch_cutoff_writeback;
}

u32 bch_helper_param_cutoff_writeback_sync(void)
{
	return bch_cutoff_writeback_sync;
}

void bch_helper_param_set_cutoffs(u32 cutoff, u32 sync)
{
	bch_cutoff_writeback = cutoff;
	bch_cutoff_writeback_sync = sync;
}

u32 bch_helper_param_teardown_warn_seconds(void)
{
	return READ_ONCE(teardown_warn_seconds);
}
