/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for this crate. Constants that C writes with casts or
 * expressions are invisible to bindgen: those are named here once more with
 * the prefix BCH_CONST_HELPER_, which scripts/Kbuild.bindgen takes off.
 */
#include <linux/blkdev.h>
#include <linux/bio.h>
#include <linux/crc64.h>
#include <linux/ioprio.h>
#include <linux/reboot.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>
#include "bcache_ondisk.h"
#include "../helpers/helpers.h"
#include "../helpers/base.h"

const blk_mode_t BCH_CONST_HELPER_BLK_OPEN_READ = BLK_OPEN_READ;
const blk_mode_t BCH_CONST_HELPER_BLK_OPEN_WRITE = BLK_OPEN_WRITE;

const unsigned int BCH_CONST_HELPER_BLKDEV_ZERO_NOUNMAP = BLKDEV_ZERO_NOUNMAP;

const gfp_t BCH_CONST_HELPER_GFP_NOIO = GFP_NOIO;
const gfp_t BCH_CONST_HELPER_GFP_NOWAIT = GFP_NOWAIT;
const gfp_t BCH_CONST_HELPER___GFP_NORETRY = __GFP_NORETRY;
const gfp_t BCH_CONST_HELPER___GFP_NOWARN = __GFP_NOWARN;

const blk_opf_t BCH_CONST_HELPER_REQ_SYNC = REQ_SYNC;
const blk_opf_t BCH_CONST_HELPER_REQ_META = REQ_META;
const blk_opf_t BCH_CONST_HELPER_REQ_PRIO = REQ_PRIO;
const blk_opf_t BCH_CONST_HELPER_REQ_FUA = REQ_FUA;
const blk_opf_t BCH_CONST_HELPER_REQ_PREFLUSH = REQ_PREFLUSH;
const blk_opf_t BCH_CONST_HELPER_REQ_RAHEAD = REQ_RAHEAD;
const blk_opf_t BCH_CONST_HELPER_REQ_BACKGROUND = REQ_BACKGROUND;
const blk_opf_t BCH_CONST_HELPER_REQ_FAILFAST_MASK = REQ_FAILFAST_MASK;
const blk_opf_t BCH_CONST_HELPER_REQ_ALLOC_CACHE = REQ_ALLOC_CACHE;
const blk_opf_t BCH_CONST_HELPER_REQ_POLLED = REQ_POLLED;
const blk_opf_t BCH_CONST_HELPER_REQ_OP_MASK = REQ_OP_MASK;

const unsigned short BCH_CONST_HELPER_IOPRIO_IDLE = IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT;

const blk_features_t BCH_CONST_HELPER_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
const blk_features_t BCH_CONST_HELPER_BLK_FEAT_FUA = BLK_FEAT_FUA;

const blk_status_t BCH_CONST_HELPER_BLK_STS_OK = BLK_STS_OK;
const blk_status_t BCH_CONST_HELPER_BLK_STS_NOTSUPP = BLK_STS_NOTSUPP;
const blk_status_t BCH_CONST_HELPER_BLK_STS_IOERR = BLK_STS_IOERR;
