// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is watched, and the record of it.
//!
//! A record is `length of the rest (4) || tag (1) || fields`, little-endian. One lock is held over
//! a call and its record, so that the order of records is the order in which calls took effect. A
//! sync has two records: it covers the writes before its first, and is done at its second.

use core::ffi::{CStr, c_int};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::fault::{Change, Fault, Outcome};
use crate::system::{self, Status};

/// The kinds of records; `crates/crash/src/trace.rs` reads them.
#[derive(Clone, Copy)]
pub(crate) enum Tag {
    Open = 1,
    Write = 2,
    Length = 3,
    SyncBegin = 4,
    SyncEnd = 5,
    Rename = 6,
    Unlink = 7,
    RemoveFolder = 8,
    MakeFolder = 9,
    Mark = 10,
    Unsupported = 11,
    Fault = 12,
}

/// Flags of [`Tag::Open`].
pub(crate) const CREATED: u8 = 1;
pub(crate) const FOLDER: u8 = 2;
pub(crate) const TRUNCATED: u8 = 4;

/// The record of one process.
pub(crate) struct Recorder {
    output: c_int,
    folder: Vec<u8>,
    marks: Vec<u8>,
    marks_file: Option<(u64, u64)>,
    watched: BTreeSet<(u64, u64)>,
    events_left: Option<u64>,
    fault: Option<Fault>,
    /// Files with bytes that no sync has covered: only these can a device lose.
    dirty: BTreeSet<u64>,
    syncs: u64,
}

/// What an open file is to the recorder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A file or folder that is watched.
    Watched(u64),
    /// The file of marks.
    Marks,
}

static RECORDER: OnceLock<Option<Mutex<Recorder>>> = OnceLock::new();

/// The recorder, locked; `None` where nothing is recorded.
pub(crate) fn lock() -> Option<MutexGuard<'static, Recorder>> {
    let recorder = RECORDER.get_or_init(|| Recorder::from_environment().map(Mutex::new));
    let recorder = recorder.as_ref()?;
    Some(recorder.lock().unwrap_or_else(PoisonError::into_inner))
}

fn variable(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: the name ends in 0; the value is copied at once, and the process that is watched
    // does not change its environment.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes().to_vec())
    }
}

fn number(name: &CStr) -> Option<u64> {
    String::from_utf8(variable(name)?).ok()?.parse().ok()
}

impl Recorder {
    fn from_environment() -> Option<Self> {
        let path = CString::new(variable(c"WAXWING_TRACE")?).ok()?;
        let folder = variable(c"WAXWING_TRACE_FOLDER")?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        let output = system::open_at(libc::AT_FDCWD, path.as_ptr(), flags, 0o600);
        let fault = variable(c"WAXWING_FAULT").and_then(|name| {
            let after = number(c"WAXWING_FAULT_AFTER").unwrap_or(0);
            Fault::new(&String::from_utf8_lossy(&name), after)
        });
        (output >= 0).then(|| Self {
            output,
            folder,
            marks: variable(c"WAXWING_TRACE_MARKS").unwrap_or_default(),
            marks_file: None,
            watched: BTreeSet::new(),
            events_left: number(c"WAXWING_TRACE_DIE_AFTER"),
            fault,
            dirty: BTreeSet::new(),
            syncs: 0,
        })
    }

    /// Whether a path is in the folder that is watched, or the folder itself.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        path.strip_prefix(self.folder.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    pub(crate) fn is_marks(&self, path: &[u8]) -> bool {
        !self.marks.is_empty() && path == self.marks
    }

    pub(crate) fn set_marks(&mut self, status: &Status) {
        self.marks_file = Some((status.device, status.inode));
    }

    /// What an open file is; `None` for one that is not watched.
    pub(crate) fn seen(&self, file: c_int) -> Option<(Seen, Status)> {
        let status = system::file_status(file)?;
        let place = (status.device, status.inode);
        if self.marks_file == Some(place) {
            return Some((Seen::Marks, status));
        }
        let is_watched = self.watched.contains(&place);
        is_watched.then_some((Seen::Watched(status.inode), status))
    }

    pub(crate) fn watch(&mut self, status: &Status) {
        self.watched.insert((status.device, status.inode));
    }

    pub(crate) fn forget(&mut self, status: &Status) {
        if status.links <= 1 {
            self.watched.remove(&(status.device, status.inode));
        }
    }

    /// What becomes of a change.
    pub(crate) fn judge(&mut self, change: Change, what: &str) -> Outcome {
        let Some(fault) = &mut self.fault else {
            return Outcome::Done;
        };
        let (outcome, is_first) = fault.judge(change);
        if is_first {
            self.record(Tag::Fault, &[what.as_bytes()]);
        }
        outcome
    }

    /// A handle was opened.
    pub(crate) fn opened(&mut self, handle: c_int) {
        if let Some(fault) = &mut self.fault {
            fault.opened(handle);
        }
    }

    /// Bytes of a file were written.
    pub(crate) fn soil(&mut self, inode: u64) {
        self.dirty.insert(inode);
    }

    /// What becomes of a sync. Where nothing is to be written, nothing can be lost.
    pub(crate) fn judge_sync(&mut self, inode: u64, handle: c_int) -> Outcome {
        if self.dirty.contains(&inode) || self.fault.as_ref().is_some_and(Fault::has_begun) {
            self.judge(Change::Sync { inode, handle }, &format!("sync {inode}"))
        } else {
            Outcome::Done
        }
    }

    /// A sync covered a file.
    pub(crate) fn clean(&mut self, inode: u64) {
        self.dirty.remove(&inode);
    }

    /// A number for the two records of a sync.
    pub(crate) fn next_sync(&mut self) -> u64 {
        self.syncs = self.syncs.saturating_add(1);
        self.syncs
    }

    /// Writes a record, and ends the process where this was the last one wanted.
    pub(crate) fn record(&mut self, tag: Tag, fields: &[&[u8]]) {
        let size: usize = fields
            .iter()
            .map(|field| field.len())
            .fold(1, usize::saturating_add);
        let mut record = Vec::with_capacity(size.saturating_add(4));
        record.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        record.push(tag as u8);
        for field in fields {
            record.extend_from_slice(field);
        }
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            let written = system::write(self.output, rest.as_ptr().cast(), rest.len());
            let Ok(written) = usize::try_from(written) else {
                // A hole in the record would make every check after it worthless.
                system::die();
                return;
            };
            rest = rest.get(written..).unwrap_or_default();
        }
        if let Some(left) = &mut self.events_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                system::die();
            }
        }
    }
}
