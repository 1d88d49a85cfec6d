// SPDX-License-Identifier: GPL-2.0
#include "helpers.h"

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

void bch_helper_bio_set_dev(struct bio *bio, struct block_device *b)
{
	bio_set_dev(bio, b);
}

void bch_helper_bio_inc_remaining(struct bio *bio)
{
	bio_inc_remaining(bio);
}

void bch_helper_bio_advance_iter_single(const struct bio *bio, struct bvec_iter *it,
					unsigned int bytes)
{
	bio_advance_iter_single(bio, it, bytes);
}

void bch_helper_bio_clone_blkg_association(struct bio *dst, struct bio *src)
{
	bio_clone_blkg_association(dst, src);
}

struct folio *bch_helper_read_super_folio(struct block_device *b)
{
	return mapping_read_folio_gfp(b->bd_mapping, 4096 >> PAGE_SHIFT, GFP_KERNEL);
}

void *bch_helper_folio_address(const struct folio *f)
{
	return folio_address(f);
}

struct page *bch_helper_folio_page0(struct folio *f)
{
	return folio_page(f, 0);
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

void *bch_helper_zalloc_pages_exact(size_t bytes, gfp_t gfp)
{
	return alloc_pages_exact(bytes, gfp | __GFP_ZERO);
}

void *bch_helper_vzalloc(size_t bytes)
{
	return vzalloc(bytes);
}

struct page *bch_helper_virt_to_page(const void *p)
{
	return virt_to_page(p);
}

struct page *bch_helper_vmalloc_to_page(const void *p)
{
	return vmalloc_to_page(p);
}

void *bch_helper_page_address(const struct page *p)
{
	return page_address(p);
}

struct page *bch_helper_alloc_page(gfp_t gfp)
{
	return alloc_page(gfp);
}

void bch_helper_free_page(struct page *p)
{
	__free_page(p);
}
