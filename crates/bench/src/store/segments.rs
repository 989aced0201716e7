// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files for logs, written with zeros before they are used, so that a sync never has to make a file
//! longer. A helper thread keeps two ready, and takes those back that are not needed any more.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Result;

/// The size of each.
pub(crate) const SEGMENT: usize = 16 * 1024 * 1024;
const ZEROS: usize = 1024 * 1024;
/// Segments that are ready before anybody asks.
const READY: usize = 2;
/// Segments that wait to be used again; more are dropped.
const AGAIN: usize = 8;

/// Where segments come from.
pub(crate) struct Segments {
    folder: PathBuf,
    ready: Receiver<File>,
    again: SyncSender<File>,
    late: AtomicU32,
}

impl Segments {
    /// Starts the helper for a folder. Its files are numbered from `first`.
    pub(crate) fn start(folder: &Path, first: u32) -> Self {
        let (to_ready, ready) = sync_channel(READY);
        let (again, used) = sync_channel(AGAIN);
        let folder = folder.to_owned();
        let helped = folder.clone();
        std::thread::spawn(move || prepare(&helped, first, &to_ready, &used));
        Self {
            folder,
            ready,
            again,
            late: AtomicU32::default(),
        }
    }

    /// The next one that is ready. Where the helper is late, an empty file: nobody waits for zeros, and its
    /// syncs make it longer.
    pub(crate) fn next_at_once(&self) -> Result<File> {
        if let Ok(ready) = self.ready.try_recv() {
            return Ok(ready);
        }
        let number = self.late.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("late.{number}"));
        let mut new = OpenOptions::new();
        Ok(new.create_new(true).write(true).open(path)?)
    }

    /// The next one, full of zeros or of what an older one held, at its beginning.
    pub(crate) fn next(&self) -> Result<File> {
        Ok(self.ready.recv()?)
    }

    /// Gives one back.
    pub(crate) fn use_again(&self, segment: File) {
        // Where the helper has enough, it is dropped.
        let _full = self.again.try_send(segment);
    }
}

/// The file of a number.
pub(crate) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("segment.{number}"))
}

/// The helper: new segments full of zeros, or old ones, which are as good.
fn prepare(
    folder: &Path,
    first: u32,
    ready: &SyncSender<File>,
    again: &Receiver<File>,
) -> Result<()> {
    for number in first.. {
        let segment = match again.try_recv() {
            Ok(mut segment) => {
                segment.seek(SeekFrom::Start(0))?;
                segment
            }
            Err(_) => new_segment(&path(folder, number))?,
        };
        if ready.send(segment).is_err() {
            break;
        }
    }
    Ok(())
}

fn new_segment(path: &Path) -> Result<File> {
    let mut file = OpenOptions::new().create_new(true).write(true).open(path)?;
    let zeros = vec![0; ZEROS];
    for _ in 0..SEGMENT / ZEROS {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
