// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks through all memory of the process that can be written. What is searched for is nowhere in memory
//! but in the secret: it is kept masked.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// What masks.
pub(crate) const MASK: u8 = 0x5a;
const CHUNK: usize = 4096;

/// One search at a time: its buffer holds what it reads, until that is masked.
static SEARCH: Mutex<()> = Mutex::new(());

/// How often a half of what is masked lies in memory: the one that is there more often. What is given
/// back to the allocator loses its beginning to it, and its end to nobody.
pub(crate) fn found(masked: &[u8]) -> usize {
    found_each(&[masked])[0]
}

/// As [`found`], for several at once. The buffer is masked as it is read, and passed over itself.
pub(crate) fn found_each(masked: &[&[u8]]) -> Vec<usize> {
    let halves = masked.iter().map(|one| one.split_at(one.len() / 2));
    let needles: Vec<&[u8]> = halves.flat_map(|(first, last)| [first, last]).collect();
    let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or(0);
    // Which of them begin with each byte.
    let mut by_first: Vec<Vec<usize>> = vec![Vec::new(); 256];
    for (at, needle) in needles.iter().enumerate() {
        by_first[usize::from(needle[0])].push(at);
    }
    let mut counts = vec![0; needles.len()];
    let _search = SEARCH.lock();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0_u8; CHUNK + longest];
    let own = buffer.as_ptr() as u64;
    let own_end = own + buffer.len() as u64;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let to = u64::from_str_radix(to, 16).unwrap();
        let mut at = from;
        while at < to {
            if (own..own_end).contains(&at) {
                at = own_end;
                continue;
            }
            // Each chunk goes a needle beyond its end, so that none is missed between two.
            let mut end = to.min(at + buffer.len() as u64);
            if at < own && end > own {
                end = own;
            }
            let length = usize::try_from(end - at).unwrap();
            let read = memory.read_at(&mut buffer[..length], at).unwrap_or(0);
            for byte in &mut buffer[..read] {
                *byte ^= MASK;
            }
            for place in 0..read.min(CHUNK) {
                for needle in &by_first[usize::from(buffer[place])] {
                    if buffer[place..read].starts_with(needles[*needle]) {
                        counts[*needle] += 1;
                    }
                }
            }
            at = end.min(at + CHUNK as u64);
        }
    }
    buffer.fill(0);
    let halves = counts.chunks(2).map(|halves| halves.iter().copied().max());
    halves.map(Option::unwrap_or_default).collect()
}
