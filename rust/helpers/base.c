// SPDX-License-Identifier: GPL-2.0
#include "base.h"

#include <linux/kthread.h>
#include <linux/panic.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>

/*
 * Waiting follows wait_woken(): the condition is tested in TASK_RUNNING and
 * may therefore sleep, and a wake-up in between is kept in the entry's flags.
 * Two things differ: the sleep is TASK_IDLE, so that it counts neither as
 * load nor as a hung task, and only a `stoppable` wait minds kthread_stop().
 */
void bch_helper_wait_begin(struct wait_queue_head *head, struct wait_queue_entry *entry)
{
	init_waitqueue_func_entry(entry, woken_wake_function);
	entry->private = current;
	INIT_LIST_HEAD(&entry->entry);
	add_wait_queue(head, entry);
	/* Pairs with wq_has_sleeper() in bch_helper_wake_all(). */
	smp_mb();
}

long bch_helper_wait_woken_idle(struct wait_queue_entry *entry, bool stoppable, long timeout)
{
	/* The barrier pairs with the one of try_to_wake_up(), as in wait_woken(). */
	set_current_state(TASK_IDLE);
	if (!(READ_ONCE(entry->flags) & WQ_FLAG_WOKEN) &&
	    !(stoppable && bch_helper_should_stop()))
		timeout = schedule_timeout(timeout);
	__set_current_state(TASK_RUNNING);

	/* The barrier pairs with the one of woken_wake_function(). */
	smp_store_mb(entry->flags, entry->flags & ~WQ_FLAG_WOKEN);
	return timeout;
}

void bch_helper_wake_all(struct wait_queue_head *head)
{
	if (wq_has_sleeper(head))
		wake_up_all(head);
}

bool bch_helper_should_stop(void)
{
	return (current->flags & PF_KTHREAD) && kthread_should_stop();
}

void bch_helper_park_until_stop(void)
{
	while (!kthread_should_stop()) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
}

void bch_helper_sleep_idle(long timeout)
{
	schedule_timeout_idle(timeout);
}

void bch_helper_sleep_or_stop(long timeout)
{
	set_current_state(TASK_IDLE);
	if (!bch_helper_should_stop())
		schedule_timeout(timeout);
	__set_current_state(TASK_RUNNING);
}

/* A mutex has an owner, and its own lock does not keep interrupts out. */
bool bch_helper_may_try_locks(void)
{
	return in_task() && !irqs_disabled();
}

void bch_helper_resched(void)
{
	cond_resched();
}

void bch_helper_rwsem_set_novalidate(struct rw_semaphore *sem)
{
	lockdep_set_novalidate_class(sem);
}

void bch_helper_down_read_non_owner(struct rw_semaphore *sem)
{
	down_read_non_owner(sem);
}

bool bch_helper_down_read_trylock_non_owner(struct rw_semaphore *sem)
{
	if (!down_read_trylock(sem))
		return false;
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	/* Lockdep must forget that this task is the owner: another one unlocks. */
	rwsem_release(&sem->dep_map, _RET_IP_);
#endif
	return true;
}

void bch_helper_up_read_non_owner(struct rw_semaphore *sem)
{
	up_read_non_owner(sem);
}

unsigned long bch_helper_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

void bch_helper_spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock_irqrestore(lock, flags);
}

struct workqueue_struct *bch_helper_alloc_workqueue(const char *name, bool mem_reclaim,
						    bool unbound, int max_active)
{
	unsigned int flags = unbound ? WQ_UNBOUND : WQ_PERCPU;

	if (mem_reclaim)
		flags |= WQ_MEM_RECLAIM;
	return alloc_workqueue("%s", flags, max_active, name);
}

void bch_helper_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

void bch_helper_init_rcu_work(struct rcu_work *work, work_func_t func)
{
	INIT_RCU_WORK(work, func);
}

/* As synchronize_rcu() in kernels without CONFIG_TASKS_RCU. */
void bch_helper_wait_for_tasks(void)
{
	synchronize_rcu_tasks();
}

bool bch_helper_llist_add(struct llist_node *node, struct llist_head *head)
{
	return llist_add(node, head);
}

/* All of the list, the oldest first. */
struct llist_node *bch_helper_llist_take(struct llist_head *head)
{
	return llist_reverse_order(llist_del_all(head));
}

bool bch_helper_llist_none(const struct llist_head *head)
{
	return llist_empty(head);
}

/* A number below cpu_slots(), mostly another one on another CPU. */
unsigned int bch_helper_cpu_slot(void)
{
	return raw_smp_processor_id();
}

unsigned int bch_helper_cpu_slots(void)
{
	return nr_cpu_ids;
}

bool bch_helper_runs_in(struct work_struct *work)
{
	return current_work() == work;
}

unsigned int bch_helper_noio_save(void)
{
	return memalloc_noio_save();
}

void bch_helper_noio_restore(unsigned int flags)
{
	memalloc_noio_restore(flags);
}

unsigned int bch_helper_reserves_save(void)
{
	return memalloc_noreclaim_save();
}

void bch_helper_reserves_restore(unsigned int flags)
{
	memalloc_noreclaim_restore(flags);
}

int bch_helper_mempool_init_kmalloc(struct mempool *pool, int min, size_t size)
{
	return mempool_init_kmalloc_pool(pool, min, size);
}

void *bch_helper_mempool_get(struct mempool *pool, gfp_t gfp)
{
	return mempool_alloc(pool, gfp);
}

u64 bch_helper_clock_local(void)
{
	return local_clock();
}

unsigned long bch_helper_jiffies_now(void)
{
	return READ_ONCE(jiffies);
}

struct shrinker *bch_helper_new_shrinker(const char *name)
{
	return shrinker_alloc(0, "%s", name);
}

void bch_helper_panic_machine(const char *msg)
{
	panic("%s", msg);
}

/* The two fields exist only where the kernel was configured with bcache. */
bool bch_helper_seq_io_get(u32 *sequential, u32 *average)
{
#if defined(CONFIG_BCACHE) || defined(CONFIG_BCACHE_MODULE)
	*sequential = current->sequential_io;
	*average = current->sequential_io_avg;
	return true;
#else
	*sequential = 0;
	*average = 0;
	return false;
#endif
}

void bch_helper_seq_io_set(u32 sequential, u32 average)
{
#if defined(CONFIG_BCACHE) || defined(CONFIG_BCACHE_MODULE)
	current->sequential_io = sequential;
	current->sequential_io_avg = average;
#endif
}
