// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One file: the bytes on the device, and the changes that no sync has covered.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::choice::Choice;
use crate::image::Kept;

/// The device or the file system writes so many bytes wholly or not at all.
const PAGE: usize = 4096;

/// A change of a file.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Bytes },
    Length(usize),
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(file, *offset, bytes),
            Self::Length(length) => file.resize(*length, 0),
        }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// A file's bytes, durable and not.
#[derive(Debug, Default)]
pub(super) struct Contents {
    durable: Vec<u8>,
    pending: VecDeque<(u64, Change)>,
}

impl Contents {
    pub(super) fn add(&mut self, number: u64, change: Change) {
        self.pending.push_back((number, change));
    }

    /// Everything up to this event is on the device.
    pub(super) fn sync(&mut self, until: u64) {
        while let Some((number, change)) = self.pending.pop_front() {
            if number > until {
                self.pending.push_front((number, change));
                return;
            }
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn live(&self) -> Vec<u8> {
        let mut file = self.durable.clone();
        for (_, change) in &self.pending {
            change.apply(&mut file);
        }
        file
    }

    /// What is left of the file after a power cut.
    pub(super) fn survivor(&self, kept: Kept, choice: &mut Choice) -> Vec<u8> {
        let mut file = self.durable.clone();
        match kept {
            Kept::Nothing => {}
            Kept::Everything => return self.live(),
            Kept::Prefix => {
                let whole = choice.place(self.pending.len() + 1);
                for (_, change) in self.pending.iter().take(whole) {
                    change.apply(&mut file);
                }
                if let Some((_, Change::Write { offset, bytes })) = self.pending.get(whole) {
                    put(&mut file, *offset, &bytes[..choice.place(bytes.len())]);
                }
            }
            Kept::Pages => {
                // Sometimes nearly all, sometimes nearly nothing: both find other mistakes.
                let odds = [1, 5, 9][choice.place(3)];
                for (_, change) in &self.pending {
                    pages(&mut file, change, odds, choice);
                }
            }
        }
        file
    }
}

/// Applies those pages of a change that chance keeps.
fn pages(file: &mut Vec<u8>, change: &Change, odds: u64, choice: &mut Choice) {
    match change {
        Change::Length(_) => {
            if choice.chance(odds, 10) {
                change.apply(file);
            }
        }
        Change::Write { offset, bytes } => {
            let mut start = 0;
            while start < bytes.len() {
                let place = offset + start;
                let end = bytes.len().min(start + PAGE - place % PAGE);
                if choice.chance(odds, 10) {
                    put(file, place, &bytes[start..end]);
                }
                start = end;
            }
        }
    }
}
