// SPDX-License-Identifier: GPL-2.0

//! Whether the journal entries found on disk can be replayed. C: `journal_read_bucket`,
//! `bch_journal_read` and `bch_journal_replay` in `journal.c`.

use core::fmt;

/// What the check of the entries looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeqSpan {
    /// Number of the entry.
    pub seq: u64,
    /// The oldest entry that was needed when it was written.
    pub last_seq: u64,
}

/// Why entries cannot be replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// The journal is not contiguous. Prints as in C.
    Missing {
        /// First missing entry.
        from: u64,
        /// Last missing entry.
        to: u64,
        /// First entry that would be replayed.
        start: u64,
        /// Last one.
        end: u64,
    },
    /// Two entries have this number. Nobody writes that: which of the buckets is the newest, and with it which of them may be
    /// overwritten while others are replayed, cannot be told. (C takes one of the two, as a set could once have several
    /// caches, each with a journal.)
    Twice(u64),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                from,
                to,
                start,
                end,
            } => write!(
                f,
                "journal entries {from}-{to} missing! (replaying {start}-{end})"
            ),
            Self::Twice(seq) => write!(f, "journal entry {seq} is there twice"),
        }
    }
}

/// Checks that the entries of a list, ascending, are those that its last one needs; gives their
/// number.
///
/// # Errors
///
/// The first gap, or the first number that is there twice. The list is not to be replayed then (C: EIO).
pub fn check(list: &[SeqSpan]) -> Result<usize, Unfit> {
    let Some(last) = list.last() else {
        return Ok(0);
    };
    let (start, end) = (last.last_seq, last.seq);
    let mut expected = start;
    for e in list {
        if e.seq.wrapping_add(1) == expected && expected != start {
            return Err(Unfit::Twice(e.seq));
        }
        if e.seq != expected {
            return Err(Unfit::Missing {
                from: expected,
                to: e.seq.wrapping_sub(1),
                start,
                end,
            });
        }
        expected = expected.wrapping_add(1);
    }
    Ok(list.len())
}

/// Checks that the first entries of the journal's buckets, ascending, have a number each, from `last_seq` on.
///
/// # Errors
///
/// See [`Unfit::Twice`].
pub fn check_buckets(firsts: impl IntoIterator<Item = u64>, last_seq: u64) -> Result<(), Unfit> {
    let mut before = None;
    for seq in firsts {
        if before.replace(seq) == Some(seq) && seq >= last_seq {
            return Err(Unfit::Twice(seq));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn span(seq: u64, last_seq: u64) -> SeqSpan {
        SeqSpan { seq, last_seq }
    }

    #[test]
    fn gaps() {
        assert_eq!(check(&[]), Ok(0));
        let err = check(&[span(7, 7), span(9, 6)]).unwrap_err();
        assert_eq!(
            err.to_string(),
            "journal entries 6-6 missing! (replaying 6-9)"
        );
        let err = check(&[span(6, 1), span(9, 6)]).unwrap_err();
        assert_eq!(
            err.to_string(),
            "journal entries 7-8 missing! (replaying 6-9)"
        );
        let err = check(&[span(7, 6), span(7, 6), span(8, 7)]).unwrap_err();
        assert_eq!(err.to_string(), "journal entry 7 is there twice");
        assert_eq!(check(&[span(8, 8), span(8, 8)]), Err(Unfit::Twice(8)));
        assert_eq!(check_buckets([3, 3, 5, 8], 5), Ok(()));
        assert_eq!(check_buckets([3, 3, 5, 8], 3), Err(Unfit::Twice(3)));
        assert_eq!(check_buckets([], 0), Ok(()));
        // A last entry that needs later ones than itself.
        assert!(check(&[span(9, 12)]).is_err());
    }
}
