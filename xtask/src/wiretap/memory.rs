// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory of a running process, by `/proc/PID/maps` and `/proc/PID/mem` (proc(5)).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context as _, Result, ensure};

use super::search::{Needles, Searched};

/// Bytes that are read at once; a page that cannot be read costs at most this much.
const READ_SIZE: usize = 64 * 1024;

/// One readable mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    name: String,
}

/// Searches everything that is mapped and readable.
pub(crate) fn search(process: u32, needles: &Needles<'_>) -> Result<Searched> {
    let path = format!("/proc/{process}/maps");
    let maps = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let path = format!("/proc/{process}/mem");
    let memory = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    let mut searched = Searched::default();
    for mapping in maps.lines().filter_map(parse) {
        let part = format!("{} at {:#x}", mapping.name, mapping.start);
        let span = Span {
            memory: &memory,
            at: mapping.start,
            end: mapping.end,
        };
        searched.absorb(needles.stream(&part, span)?);
    }
    ensure!(
        searched.bytes > 0,
        "no byte of the memory of process {process} could be read"
    );
    Ok(searched)
}

/// `start-end perms offset device inode name`; nothing for what no program may read.
fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let readable = fields.next()?.starts_with('r');
    let name = fields.nth(3).unwrap_or("anonymous");
    // The kernel's own pages hold nothing of the process.
    if !readable || name.starts_with("[v") {
        return None;
    }
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        name: name.to_owned(),
    })
}

/// A mapping as a stream. What cannot be read (a device, a page that went away) is left out.
struct Span<'a> {
    memory: &'a File,
    at: u64,
    end: u64,
}

impl Read for Span<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at < self.end {
            let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let size = left.min(READ_SIZE).min(buffer.len());
            let Some(space) = buffer.get_mut(..size).filter(|space| !space.is_empty()) else {
                return Ok(0);
            };
            match self.memory.read_at(space, self.at) {
                Ok(count) if count > 0 => {
                    self.at = self
                        .at
                        .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                    return Ok(count);
                }
                _ => {
                    self.at = self
                        .at
                        .saturating_add(u64::try_from(size).unwrap_or(u64::MAX))
                }
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiretap::canary::Canaries;

    #[test]
    fn lines_of_maps_are_understood() {
        let line = "7f10-7f20 rw-p 00000000 00:00 0                          [heap]";
        let heap = Mapping {
            start: 0x7f10,
            end: 0x7f20,
            name: "[heap]".to_owned(),
        };
        assert_eq!(parse(line), Some(heap));
        assert_eq!(parse("10-20 r--p 0 08:01 5 /bin/x").unwrap().name, "/bin/x");
        assert_eq!(
            parse("10-20 rw-p 00000000 00:00 0").unwrap().name,
            "anonymous"
        );
        assert_eq!(parse("10-20 ---p 00000000 00:00 0"), None);
        assert_eq!(parse("10-20 r-xp 00000000 00:00 0 [vdso]"), None);
        assert_eq!(parse("nonsense"), None);
    }

    /// A process may always read its own memory.
    #[test]
    fn what_this_process_holds_is_found() {
        let held = format!("held in memory {}", std::process::id());
        let mut canaries = Canaries::default();
        canaries.text("held", &held);
        let needles = Needles::new(&canaries).unwrap();
        let searched = search(std::process::id(), &needles).unwrap();
        assert!(searched.bytes > 100_000);
        assert!(searched.leaks().any(|(finding, _)| finding.form == "raw"));
    }
}
