// SPDX-License-Identifier: GPL-2.0

//! How gc shares the machine with requests, and when a node is rewritten. C: `btree_gc_min_nodes`,
//! `btree_gc_sleep_ms`, `btree_gc_mark_node` and `update_gc_after_writeback`.

/// Nodes that gc looks at, at least, before it yields.
const MIN_NODES: u64 = 10;
/// Without requests gc takes the nodes in at most so many steps.
const MAX_STEPS: u64 = 128;
/// Pause between two steps, milliseconds.
const SLEEP_MS: u32 = 100;
/// The same while somebody waits for a bucket.
const SLEEP_MS_WAITED_FOR: u32 = 10;
/// Generations by which a pointer may be stale before its node is rewritten.
const MAX_STALE: u8 = 10;
/// Percent of buckets in use from which on the end of writeback asks for a gc.
const AUTO_GC_IN_USE: u32 = 50;
/// `gc_after_writeback`: switched on.
const AUTO_GC_ENABLED: u32 = 1;
/// `gc_after_writeback`: asked for.
const AUTO_GC_WANTED: u32 = 2;

/// Nodes to look at before the next pause. `requests` tells whether any request uses the index now.
pub fn min_nodes(nodes: u64, requests: bool) -> u64 {
    if requests {
        MIN_NODES
    } else {
        MIN_NODES.max(nodes / MAX_STEPS)
    }
}

/// Length of a pause in milliseconds, by how many wait for a bucket.
pub fn sleep_ms(waiters: u32) -> u32 {
    if waiters > 0 {
        SLEEP_MS_WAITED_FOR
    } else {
        SLEEP_MS
    }
}

/// Whether a node is rewritten: its most stale pointer, its keys, those of them that are good, and
/// `gc_always_rewrite`.
pub fn should_rewrite(stale: u8, keys: u64, good: u64, always: bool) -> bool {
    let bad = keys.saturating_sub(good);
    always || stale > MAX_STALE || bad.saturating_mul(2) > keys
}

/// The value that a step of the controller gives to `gc_after_writeback`: asks for a gc if that is switched on and the cache is
/// half full (`in_use`, percent). `None`: it stays.
pub fn after_writeback(flags: u32, in_use: u32) -> Option<u32> {
    (flags == AUTO_GC_ENABLED && in_use >= AUTO_GC_IN_USE).then_some(flags | AUTO_GC_WANTED)
}

/// The value that a complete clean scan of the writeback thread, which then has to force a gc, gives to `gc_after_writeback`.
/// `None`: it was not asked for.
pub fn take_after_writeback(flags: u32) -> Option<u32> {
    (flags == AUTO_GC_ENABLED | AUTO_GC_WANTED).then_some(AUTO_GC_ENABLED)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_pace))]
mod tests {
    use super::*;

    #[test]
    fn table() {
        assert_eq!((min_nodes(0, false), min_nodes(128_000, false)), (10, 1000));
        assert_eq!(min_nodes(128_000, true), 10);
        assert_eq!((sleep_ms(0), sleep_ms(3)), (100, 10));
        assert!(!should_rewrite(10, 10, 5, false) && should_rewrite(10, 10, 4, false));
        assert!(should_rewrite(11, 1, 1, false) && should_rewrite(0, 0, 0, true));
        assert_eq!(
            (after_writeback(0, 90), after_writeback(1, 49)),
            (None, None)
        );
        assert_eq!(
            (after_writeback(1, 50), after_writeback(3, 50)),
            (Some(3), None)
        );
        assert_eq!(
            (take_after_writeback(3), take_after_writeback(1)),
            (Some(1), None)
        );
        assert_eq!(take_after_writeback(2), None);
    }
}
