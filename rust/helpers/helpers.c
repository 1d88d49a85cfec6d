// SPDX-License-Identifier: GPL-2.0
#include "helpers.h"
#include <linux/version.h>

/* 7.3 renamed the field; it is still the position inside the current segment. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
#define bi_bvec_done bi_offset
#endif

sector_t bch_helper_bdev_nr_sectors(struct block_device *b)
{
	return bdev_nr_sectors(b);
}

unsigned int bch_helper_bdev_logical_block_size(struct block_device *b)
{
	return bdev_logical_block_size(b);
}

unsigned int bch_helper_bdev_io_opt(struct block_device *b)
{
	return bdev_io_opt(b);
}

unsigned int bch_helper_bdev_max_discard_sectors(struct block_device *b)
{
	return bdev_max_discard_sectors(b);
}

bool bch_helper_bdev_partial_stripes_expensive(struct block_device *b)
{
	return bdev_get_queue(b)->limits.features & BLK_FEAT_RAID_PARTIAL_STRIPES_EXPENSIVE;
}

bool bch_helper_bdev_queue_dying(struct block_device *b)
{
	return blk_queue_dying(bdev_get_queue(b));
}

sector_t bch_helper_bdev_disk_sectors(struct block_device *b)
{
	return get_capacity(b->bd_disk);
}

void bch_helper_get_file(struct file *f)
{
	get_file(f);
}

struct kobject *bch_helper_bdev_kobj(struct block_device *b)
{
	return bdev_kobj(b);
}

int bch_helper_bdev_print_name(struct block_device *b, char *buf, size_t size)
{
	return scnprintf(buf, size, "%pg", b);
}

int bch_helper_bdev_forward_ioctl(struct block_device *b, blk_mode_t mode, unsigned int cmd,
				  unsigned long arg)
{
	const struct block_device_operations *fops = b->bd_disk->fops;

	return fops->ioctl ? fops->ioctl(b, mode, cmd, arg) : -ENOTTY;
}

struct kobject *bch_helper_disk_kobj(struct gendisk *d)
{
	return &disk_to_dev(d)->kobj;
}

/*
 * bio_alloc_clone(), which would first look for the control group of the
 * current task, and then replace what it has found by that of @src.
 */
struct bio *bch_helper_bio_clone_to(struct block_device *b, struct bio *src, gfp_t gfp,
				    struct bio_set *set)
{
	struct bio *bio = bio_alloc_clone(NULL, src, gfp, set);

	if (!bio)
		return NULL;
	bio->bi_bdev = b;
	bio_clone_blkg_association(bio, src);
#ifdef CONFIG_BLK_CGROUP
	if (unlikely(!bio->bi_blkg))
		bio_associate_blkg(bio);
#endif
	return bio;
}

/*
 * bio_inc_remaining() in two steps: setting the flag is no atomic operation and
 * must be done by the owner alone; after that anybody may count.
 */
void bch_helper_bio_start_chain(struct bio *bio)
{
	bio_set_flag(bio, BIO_CHAIN);
}

void bch_helper_bio_inc_chained(struct bio *bio)
{
	smp_mb__before_atomic();
	atomic_inc(&bio->__bi_remaining);
}

void bch_helper_bio_advance_iter(const struct bio *bio, struct bvec_iter *it, unsigned int bytes)
{
	bio_advance_iter(bio, it, bytes);
}

void bch_helper_bio_advance_iter_single(const struct bio *bio, struct bvec_iter *it,
					unsigned int bytes)
{
	bio_advance_iter_single(bio, it, bytes);
}

unsigned int bch_helper_bvec_iter_done(const struct bvec_iter *it)
{
	return it->bi_bvec_done;
}

/* Back to the start of the segments, of which the iterator covers @bytes. */
void bch_helper_bvec_iter_rewind(struct bvec_iter *it, unsigned int bytes)
{
	it->bi_idx = 0;
	it->bi_bvec_done = 0;
	it->bi_size = bytes;
}

void bch_helper_bio_clone_blkg_association(struct bio *dst, struct bio *src)
{
	bio_clone_blkg_association(dst, src);
}

struct folio *bch_helper_read_super_folio(struct block_device *b)
{
	return mapping_read_folio_gfp(b->bd_mapping, 4096 >> PAGE_SHIFT, GFP_KERNEL);
}

/* 4096 is where bcache has its superblock. */
void *bch_helper_super_in_folio(const struct folio *f)
{
	return folio_address(f) + offset_in_folio(f, 4096);
}

void bch_helper_folio_lock(struct folio *f)
{
	folio_lock(f);
}

void bch_helper_folio_unlock(struct folio *f)
{
	folio_unlock(f);
}

void bch_helper_folio_put(struct folio *f)
{
	folio_put(f);
}

void *bch_helper_zalloc_pages_exact(size_t bytes)
{
	return alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN);
}

void *bch_helper_vzalloc(size_t bytes)
{
	return vzalloc(bytes);
}

struct page *bch_helper_virt_to_page(const void *p)
{
	return virt_to_page(p);
}

struct page *bch_helper_alloc_page(gfp_t gfp)
{
	return alloc_page(gfp);
}

void bch_helper_free_page(struct page *p)
{
	__free_page(p);
}

void bch_helper_copy_page_part(struct page *dst, size_t dst_offset, struct page *src,
			       size_t src_offset, size_t bytes)
{
	memcpy_page(dst, dst_offset, src, src_offset, bytes);
}
