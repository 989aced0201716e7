// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the bare relay finds in its folder when it starts.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::frames::take_u64;
use super::log::{Found, records};

/// Reads every record that counts, in order. Gives how many files there are, and the number of the
/// newest segment.
pub(super) fn read(folder: &Path, mut found: impl FnMut(Found<'_>)) -> Result<(u32, u64)> {
    let mut files = 0;
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("segment."));
        let file: u32 = number.context("another file")?.parse()?;
        files = files.max(file + 1);
        let bytes = std::fs::read(folder.join(&name))?;
        let mut header = bytes.as_slice();
        let numbers = take_u64(&mut header).zip(take_u64(&mut header));
        // Those that were made ready and not used begin with zeros.
        if let Some((number, oldest)) = numbers.filter(|numbers| numbers.0 > 0) {
            segments.push((number, oldest, bytes));
        }
    }
    segments.sort_by_key(|segment| segment.0);
    let newest = segments.last().map_or((0, 0), |it| (it.0, it.1));
    // What was given back and not used again yet is older than what the newest one needs.
    let needed = segments.iter().filter(|it| it.0 >= newest.1);
    for (number, _, bytes) in needed {
        records(bytes, *number, &mut found);
    }
    Ok((files, newest.0))
}

#[cfg(test)]
mod tests {
    use super::super::log::Log;
    use super::*;

    const MAILBOX: [u8; 16] = [9; 16];

    #[test]
    fn a_new_life_finds_what_was_durable_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, mut durable) = Log::open(folder.path(), |_| ()).unwrap();
        // More than a segment.
        let body = vec![0x5a; 1 << 20];
        let mut written: Vec<u64> = Vec::new();
        for _ in 0..20 {
            written.push(log.message(&MAILBOX, &body));
        }
        let last = log.acknowledgement(&MAILBOX, written[4]);
        log.commit();
        while durable.blocking_recv().unwrap() < last {}
        let (mut messages, mut acknowledged) = (Vec::new(), Vec::new());
        read(folder.path(), |found| match found {
            Found::Message(position, mailbox, envelope) => {
                assert_eq!((mailbox, envelope), (MAILBOX, body.as_slice()));
                messages.push(position);
            }
            Found::Acknowledgement(mailbox, up_to) => {
                assert_eq!(mailbox, MAILBOX);
                acknowledged.push(up_to);
            }
        })
        .unwrap();
        assert_eq!(messages, written);
        assert_eq!(acknowledged, [written[4]]);
    }
}
