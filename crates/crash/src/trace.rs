// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a process did to files, event by event.

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes};

/// How much a sync covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// `fdatasync`: a file's bytes, and its length as far as they need it.
    Data,
    /// `fsync`.
    Whole,
    /// `sync_file_range`, which promises nothing about the device.
    Range,
}

/// One event. Paths are absolute; `inode` names a file until it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A process begins. What the one before it had not finished never happens.
    Start,
    /// A file or folder was opened.
    Open {
        /// It was not there before.
        created: bool,
        /// It is a folder.
        is_folder: bool,
        /// It had bytes, and they are gone.
        truncated: bool,
        /// What it is.
        inode: u64,
        /// Where it is.
        path: String,
    },
    /// Bytes were written.
    Write {
        /// The file.
        inode: u64,
        /// Where in it.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// A file got a length.
    Length {
        /// The file.
        inode: u64,
        /// The length, in bytes.
        length: u64,
    },
    /// A sync began: it covers what happened before.
    SyncBegin {
        /// What is synced.
        inode: u64,
        /// How.
        kind: SyncKind,
        /// Names this sync within its process.
        number: u64,
    },
    /// A sync was answered with success.
    SyncEnd {
        /// Which.
        number: u64,
    },
    /// A name was moved.
    Rename {
        /// From here.
        from: String,
        /// To here, in place of what was there.
        to: String,
    },
    /// A file's name was removed.
    Unlink(String),
    /// A folder was removed.
    RemoveFolder(String),
    /// A folder was made.
    MakeFolder(String),
    /// The process says something about its work, one line.
    Mark(String),
    /// Something that the model does not know.
    Unsupported(String),
    /// An injected fault began, at this call; at a sync the file's inode follows.
    Fault(String),
}

/// The file whose sync failed, by the path under which it was opened.
#[must_use]
pub fn failed_sync_file(events: &[Event]) -> Option<&str> {
    let failed = events.iter().find_map(|event| match event {
        Event::Fault(what) => what.strip_prefix("sync ")?.parse::<u64>().ok(),
        _ => None,
    })?;
    events.iter().find_map(|event| match event {
        Event::Open { inode, path, .. } if *inode == failed => Some(path.as_str()),
        _ => None,
    })
}

/// Whether the file is one that a server's store writes behind its delivery log: tables and row journal.
/// Where it fails the answers come from the log and hold, until the store has heard of it.
#[must_use]
pub fn is_behind_the_log(path: &str) -> bool {
    ["/sled/", "/redb/", "/rows/"]
        .iter()
        .any(|folder| path.contains(folder))
}

/// Whether the file is a segment of the log that is being prepared: nobody waits for it, and the store
/// stops a moment later.
fn is_being_prepared(events: &[Event], path: &str) -> bool {
    let until = events.iter();
    let mut before = until.take_while(|event| !matches!(event, Event::Fault(_)));
    let is_named = before.any(|event| matches!(event, Event::Rename { from, .. } if from == path));
    path.ends_with(".spare") && !is_named
}

/// Whether anything was said about the work after the fault: if not, the store was being closed.
#[must_use]
pub fn works_after_fault(events: &[Event]) -> bool {
    let is_fault = |event: &&Event| !matches!(event, Event::Fault(_));
    let mut after = events.iter().skip_while(is_fault);
    after.any(|event| matches!(event, Event::Mark(_)))
}

/// What one worker was told, after a sync had failed, of steps that it began after that: nothing may
/// be, but where the file is behind the log or a segment that is not in use. The step before may have been answered already and not have
/// been said.
#[must_use]
pub fn acknowledged_after_failed_sync(events: &[Event]) -> Vec<&str> {
    let fault = events
        .iter()
        .position(|event| matches!(event, Event::Fault(_)));
    let (_, after) = events.split_at(fault.unwrap_or(events.len()));
    let is_apart = |path| is_behind_the_log(path) || is_being_prepared(events, path);
    if failed_sync_file(events).is_some_and(is_apart) {
        return Vec::new();
    }
    let lines = after.iter().filter_map(|event| match event {
        Event::Mark(line) => Some(line.as_str()),
        _ => None,
    });
    lines
        .skip_while(|line| !line.contains('?'))
        .filter(|line| !line.contains('?'))
        .collect()
}

/// Reads the record of one process, as `crates/preload/src/recorder.rs` writes it.
///
/// # Errors
/// The record is not laid out as one, or was cut.
pub fn read(mut record: Bytes) -> Result<Vec<Event>> {
    let mut events = vec![Event::Start];
    while !record.is_empty() {
        let length = usize::try_from(record.try_get_u32_le().context("a record is cut")?)?;
        if record.len() < length {
            bail!("a record is cut");
        }
        let mut fields = record.split_to(length);
        events.push(event(&mut fields).context("a record is cut")??);
    }
    Ok(events)
}

fn event(fields: &mut Bytes) -> Result<Result<Event>, bytes::TryGetError> {
    let tag = fields.try_get_u8()?;
    Ok(Ok(match tag {
        1 => {
            let kind = fields.try_get_u8()?;
            Event::Open {
                created: kind & 1 != 0,
                is_folder: kind & 2 != 0,
                truncated: kind & 4 != 0,
                inode: fields.try_get_u64_le()?,
                path: text(fields),
            }
        }
        2 => Event::Write {
            inode: fields.try_get_u64_le()?,
            offset: fields.try_get_u64_le()?,
            bytes: fields.clone(),
        },
        3 => Event::Length {
            inode: fields.try_get_u64_le()?,
            length: fields.try_get_u64_le()?,
        },
        4 => {
            let kind = match fields.try_get_u8()? {
                0 => SyncKind::Data,
                1 => SyncKind::Whole,
                _ => SyncKind::Range,
            };
            Event::SyncBegin {
                kind,
                number: fields.try_get_u64_le()?,
                inode: fields.try_get_u64_le()?,
            }
        }
        5 => Event::SyncEnd {
            number: fields.try_get_u64_le()?,
        },
        6 => {
            let both = text(fields);
            let Some((from, to)) = both.split_once('\0') else {
                return Ok(Err(anyhow::anyhow!("a rename has one name")));
            };
            Event::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
            }
        }
        7 => Event::Unlink(text(fields)),
        8 => Event::RemoveFolder(text(fields)),
        9 => Event::MakeFolder(text(fields)),
        10 => Event::Mark(text(fields).trim_end().to_owned()),
        11 => Event::Unsupported(text(fields)),
        12 => Event::Fault(text(fields)),
        other => return Ok(Err(anyhow::anyhow!("a record has the unknown tag {other}"))),
    }))
}

fn text(fields: &Bytes) -> String {
    String::from_utf8_lossy(fields).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tag: u8, fields: &[&[u8]]) -> Vec<u8> {
        let body = fields.concat();
        let length = u32::try_from(body.len() + 1).unwrap().to_le_bytes();
        [length.as_slice(), &[tag], &body].concat()
    }

    #[test]
    fn records_are_read_in_order() {
        let seven = 7_u64.to_le_bytes();
        let bytes = [
            record(1, &[&[1], &seven, b"/a/f"]),
            record(2, &[&seven, &seven, b"xyz"]),
            record(6, &[b"/a/f\0/a/g"]),
            record(10, &[b"put 1\n"]),
        ]
        .concat();
        let events = read(Bytes::from(bytes)).unwrap();
        assert_eq!(events.len(), 5);
        assert_eq!(
            events[2],
            Event::Write {
                inode: 7,
                offset: 7,
                bytes: Bytes::from_static(b"xyz")
            }
        );
        assert_eq!(events[4], Event::Mark("put 1".to_owned()));
    }

    #[test]
    fn a_cut_or_unknown_record_is_an_error() {
        let whole = record(7, &[b"/a"]);
        assert!(read(Bytes::copy_from_slice(&whole[..5])).is_err());
        assert!(read(Bytes::from(record(99, &[]))).is_err());
        assert!(read(Bytes::from(record(3, &[&[1]]))).is_err());
    }

    #[test]
    fn an_answer_to_what_began_after_a_failed_sync_is_found() {
        let open = |inode, path: &str| Event::Open {
            created: true,
            is_folder: false,
            truncated: false,
            inode,
            path: path.to_owned(),
        };
        let mark = |line: &str| Event::Mark(line.to_owned());
        let mut events = vec![
            open(7, "/s/log/1.segment"),
            open(8, "/s/sled/db"),
            open(9, "/s/rows/rows-1.new"),
            open(10, "/s/log/0.spare"),
            mark("put? 1"),
            Event::Fault("sync 7".to_owned()),
            mark("put 1"),
            mark("put? 2"),
        ];
        assert_eq!(acknowledged_after_failed_sync(&events), [""; 0]);
        events.push(mark("put 2"));
        assert_eq!(acknowledged_after_failed_sync(&events), ["put 2"]);
        for behind in ["sync 8", "sync 9", "sync 10"] {
            events[5] = Event::Fault(behind.to_owned());
            assert_eq!(acknowledged_after_failed_sync(&events), [""; 0]);
        }
        assert!(works_after_fault(&events));
        let named = Event::Rename {
            from: "/s/log/0.spare".to_owned(),
            to: "/s/log/2.segment".to_owned(),
        };
        events.insert(4, named);
        assert_eq!(acknowledged_after_failed_sync(&events), ["put 2"]);
        events.truncate(6);
        assert!(!works_after_fault(&events));
    }
}
