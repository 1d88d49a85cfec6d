// SPDX-License-Identifier: GPL-2.0

//! Facts about the current task.

use crate::bindings;
use kernel::current;

/// The two fields of `task_struct` that bcache keeps for detecting sequential I/O, in bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct SeqIo {
    /// Length of the current stream (C: `sequential_io`).
    pub sequential: u32,
    /// Average length of streams (C: `sequential_io_avg`).
    pub average: u32,
}

/// Reads the fields of the current task; zeros if the kernel was built without bcache.
pub fn seq_io() -> SeqIo {
    let mut io = SeqIo::default();
    // SAFETY: Both pointers are valid for writes.
    unsafe { bindings::seq_io_get(&mut io.sequential, &mut io.average) };
    io
}

/// Writes the fields of the current task.
pub fn set_seq_io(io: SeqIo) {
    // SAFETY: Writes two integers that only the task itself uses.
    unsafe { bindings::seq_io_set(io.sequential, io.average) };
}

/// The process id of the current task.
pub fn pid() -> i32 {
    current!().pid()
}

/// True if locks may be tried for here, and what they guard changed: in a task, not in an interrupt, and with interrupts
/// on. Says nothing of sleeping.
pub fn may_try_locks() -> bool {
    // SAFETY: Plain call.
    unsafe { bindings::may_try_locks() }
}
