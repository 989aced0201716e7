// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faults of a disk, by the name in `WAXWING_FAULT`.

use core::ffi::c_int;
use std::collections::BTreeSet;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `full`: what would take room fails, the first write half done.
    Full,
    /// `write-error`: every write fails.
    WriteError,
    /// `sync-error`: the device loses writes of one file. As on Linux, one sync of each handle
    /// that was open then fails, and later ones succeed although the bytes are gone.
    SyncError,
    /// `read-only`: every change fails.
    ReadOnly,
}

/// A change that a process wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Bytes, or a longer file.
    Grow,
    /// Names or lengths, taking no room.
    Other,
    /// A sync of a file by a handle.
    Sync { inode: u64, handle: c_int },
}

/// What is to happen instead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What was asked for.
    Done,
    /// Half of the bytes are written; the rest is for the next call.
    Half,
    /// Nothing, and this `errno`.
    Failed(c_int),
}

/// One fault, which begins at one changing call.
pub(crate) struct Fault {
    kind: Kind,
    changes_left: u64,
    has_begun: bool,
    /// The file of [`Kind::SyncError`], and the handles that need not hear of it any more.
    lost: Option<u64>,
    told: BTreeSet<c_int>,
}

impl Fault {
    /// The fault of a name; `None` for another name.
    pub(crate) fn new(name: &str, after: u64) -> Option<Self> {
        let kind = match name {
            "full" => Kind::Full,
            "write-error" => Kind::WriteError,
            "sync-error" => Kind::SyncError,
            "read-only" => Kind::ReadOnly,
            _ => return None,
        };
        Some(Self {
            kind,
            changes_left: after,
            has_begun: false,
            lost: None,
            told: BTreeSet::new(),
        })
    }

    /// Whether something has gone wrong.
    pub(crate) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// A handle was opened: it does not hear of what was lost before.
    pub(crate) fn opened(&mut self, handle: c_int) {
        if self.has_begun {
            self.told.insert(handle);
        }
    }

    /// What becomes of a change, and whether that is the first time that something goes wrong.
    pub(crate) fn judge(&mut self, change: Change) -> (Outcome, bool) {
        if let Some(left) = self.changes_left.checked_sub(1) {
            self.changes_left = left;
            return (Outcome::Done, false);
        }
        let is_first = !self.has_begun;
        let outcome = match (self.kind, change) {
            (Kind::Full, Change::Grow) if is_first => Outcome::Half,
            (Kind::Full, Change::Grow) => Outcome::Failed(libc::ENOSPC),
            (Kind::WriteError, Change::Grow) => Outcome::Failed(libc::EIO),
            (Kind::SyncError, Change::Sync { inode, handle }) => {
                let is_lost = *self.lost.get_or_insert(inode) == inode;
                if is_lost && self.told.insert(handle) {
                    Outcome::Failed(libc::EIO)
                } else {
                    Outcome::Done
                }
            }
            (Kind::ReadOnly, Change::Grow | Change::Other) => Outcome::Failed(libc::EROFS),
            _ => Outcome::Done,
        };
        self.has_begun |= outcome != Outcome::Done;
        (outcome, is_first && outcome != Outcome::Done)
    }
}
