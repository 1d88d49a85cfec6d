/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C inline functions and macros of the block layer that Rust cannot call:
 * one out-of-line function for each, seen from Rust without the prefix.
 */
#ifndef _BCH_HELPERS_H
#define _BCH_HELPERS_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/vmalloc.h>

sector_t bch_helper_bdev_nr_sectors(struct block_device *b);
unsigned int bch_helper_bdev_logical_block_size(struct block_device *b);
unsigned int bch_helper_bdev_io_opt(struct block_device *b);
unsigned int bch_helper_bdev_max_discard_sectors(struct block_device *b);
bool bch_helper_bdev_partial_stripes_expensive(struct block_device *b);
bool bch_helper_bdev_queue_dying(struct block_device *b);
sector_t bch_helper_bdev_disk_sectors(struct block_device *b);
void bch_helper_get_file(struct file *f);
struct kobject *bch_helper_bdev_kobj(struct block_device *b);
int bch_helper_bdev_print_name(struct block_device *b, char *buf, size_t size);
int bch_helper_bdev_forward_ioctl(struct block_device *b, blk_mode_t mode, unsigned int cmd,
				  unsigned long arg);

struct kobject *bch_helper_disk_kobj(struct gendisk *d);

struct bio *bch_helper_bio_clone_to(struct block_device *b, struct bio *src, gfp_t gfp,
				   struct bio_set *set);
void bch_helper_bio_start_chain(struct bio *bio);
void bch_helper_bio_inc_chained(struct bio *bio);
void bch_helper_bio_advance_iter(const struct bio *bio, struct bvec_iter *it, unsigned int bytes);
unsigned int bch_helper_bvec_iter_done(const struct bvec_iter *it);
void bch_helper_bvec_iter_rewind(struct bvec_iter *it, unsigned int bytes);
void bch_helper_bio_advance_iter_single(const struct bio *bio, struct bvec_iter *it,
					unsigned int bytes);
void bch_helper_bio_clone_blkg_association(struct bio *dst, struct bio *src);

struct folio *bch_helper_read_super_folio(struct block_device *b);
void *bch_helper_super_in_folio(const struct folio *f);
void bch_helper_folio_lock(struct folio *f);
void bch_helper_folio_unlock(struct folio *f);
void bch_helper_folio_put(struct folio *f);

void *bch_helper_zalloc_pages_exact(size_t bytes);
void *bch_helper_vzalloc(size_t bytes);
struct page *bch_helper_virt_to_page(const void *p);
struct page *bch_helper_alloc_page(gfp_t gfp);
void bch_helper_free_page(struct page *p);
void bch_helper_copy_page_part(struct page *dst, size_t dst_offset, struct page *src,
			       size_t src_offset, size_t bytes);

#endif
