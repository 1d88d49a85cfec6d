/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C inline functions and macros of the core kernel that Rust cannot call:
 * one out-of-line function for each, seen from Rust without the prefix.
 */
#ifndef _BCH_HELPERS_BASE_H
#define _BCH_HELPERS_BASE_H

#include <linux/jiffies.h>
#include <linux/llist.h>
#include <linux/mempool.h>
#include <linux/notifier.h>
#include <linux/rwsem.h>
#include <linux/shrinker.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#ifdef __BINDGEN__
/* Made here: `kernel::bindings::HZ` is the 100 of user space, the other lacks its type. */
const unsigned int BCH_CONST_HELPER_KERNEL_HZ = HZ;
const int BCH_CONST_HELPER_CPU_UNBOUND = WORK_CPU_UNBOUND;
const gfp_t BCH_CONST_HELPER_GFP_IO_BIT = __GFP_IO;
#endif

/* Sleeping. */
void bch_helper_wait_begin(struct wait_queue_head *head, struct wait_queue_entry *entry);
long bch_helper_wait_woken_idle(struct wait_queue_entry *entry, bool stoppable, long timeout);
void bch_helper_wake_all(struct wait_queue_head *head);
bool bch_helper_should_stop(void);
void bch_helper_park_until_stop(void);
void bch_helper_sleep_idle(long timeout);
void bch_helper_sleep_or_stop(long timeout);
bool bch_helper_may_try_locks(void);
void bch_helper_resched(void);

/* Locks. */
void bch_helper_rwsem_set_novalidate(struct rw_semaphore *sem);
void bch_helper_down_read_non_owner(struct rw_semaphore *sem);
bool bch_helper_down_read_trylock_non_owner(struct rw_semaphore *sem);
void bch_helper_up_read_non_owner(struct rw_semaphore *sem);
unsigned long bch_helper_spin_lock_irqsave(spinlock_t *lock);
void bch_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);

/* Work items. */
struct workqueue_struct *bch_helper_alloc_workqueue(const char *name, bool mem_reclaim,
						    bool unbound, int max_active);
void bch_helper_init_delayed_work(struct delayed_work *work, work_func_t func);
void bch_helper_init_rcu_work(struct rcu_work *work, work_func_t func);
void bch_helper_wait_for_tasks(void);
bool bch_helper_runs_in(struct work_struct *work);
bool bch_helper_llist_add(struct llist_node *node, struct llist_head *head);
struct llist_node *bch_helper_llist_take(struct llist_head *head);
bool bch_helper_llist_none(const struct llist_head *head);
unsigned int bch_helper_cpu_slot(void);
unsigned int bch_helper_cpu_slots(void);

/* Memory, time. */
unsigned int bch_helper_noio_save(void);
void bch_helper_noio_restore(unsigned int flags);
unsigned int bch_helper_reserves_save(void);
void bch_helper_reserves_restore(unsigned int flags);
int bch_helper_mempool_init_kmalloc(struct mempool *pool, int min, size_t size);
void *bch_helper_mempool_get(struct mempool *pool, gfp_t gfp);
u64 bch_helper_clock_local(void);
unsigned long bch_helper_jiffies_now(void);
struct shrinker *bch_helper_new_shrinker(const char *name);

void bch_helper_panic_machine(const char *msg);

/* The current task. */
bool bch_helper_seq_io_get(u32 *sequential, u32 *average);
void bch_helper_seq_io_set(u32 sequential, u32 average);

/* Module parameters, params.c. */
u32 bch_helper_param_cutoff_writeback(void);
u32 bch_helper_param_cutoff_writeback_sync(void);
u32 bch_helper_param_teardown_warn_seconds(void);
void bch_helper_param_set_cutoffs(u32 cutoff, u32 sync);

#endif
