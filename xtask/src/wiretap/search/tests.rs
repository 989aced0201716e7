// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the search finds, and what it does not.

use std::io::Cursor;

use data_encoding::BASE64;

use super::*;

const SECRET: &str = "the blue folder 5f3a";

fn canaries() -> Canaries {
    let mut canaries = Canaries::default();
    canaries.text("message 1", SECRET);
    canaries.bytes("a key", &[7; 32]);
    canaries.planted("log", "planted 99aa");
    canaries
}

fn titles(searched: &Searched) -> Vec<(&str, &str)> {
    searched
        .findings
        .keys()
        .map(|finding| (finding.title.as_str(), finding.form))
        .collect()
}

#[test]
fn every_occurrence_is_counted_once_wherever_it_lies() {
    let canaries = canaries();
    let needles = Needles::new(&canaries).unwrap();
    for at in [
        0,
        1,
        CHUNK_SIZE - SECRET.len(),
        CHUNK_SIZE - 3,
        CHUNK_SIZE,
        2 * CHUNK_SIZE - 1,
    ] {
        let mut haystack = vec![b'.'; 2 * CHUNK_SIZE + 100];
        haystack[at..at + SECRET.len()].copy_from_slice(SECRET.as_bytes());
        let searched = needles.stream("x", Cursor::new(&haystack)).unwrap();
        assert_eq!(searched.bytes, u64::try_from(haystack.len()).unwrap());
        let found: Vec<_> = searched.leaks().collect();
        assert_eq!(found.len(), 1, "at {at}");
        assert_eq!(*found[0].1, (u64::try_from(at).unwrap(), 1));
    }
}

/// A source that gives a few bytes at a time, as a pipe does.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.len().min(buffer.len()).min(5);
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn short_reads_hide_nothing() {
    let canaries = canaries();
    let needles = Needles::new(&canaries).unwrap();
    let haystack = format!("{}{SECRET}{}", "x".repeat(33), "y".repeat(7));
    let searched = needles.stream("x", Drip(haystack.as_bytes())).unwrap();
    assert_eq!(titles(&searched), [("message 1", "raw")]);
}

#[test]
fn keys_and_encoded_texts_are_found_and_other_bytes_are_not() {
    let canaries = canaries();
    let needles = Needles::new(&canaries).unwrap();
    let coded = BASE64.encode(format!("#{SECRET}").as_bytes());
    let haystack = [coded.as_bytes(), &[1, 2], &[7; 32], b" planted 99aa"].concat();
    let searched = needles.stream("x", Cursor::new(haystack)).unwrap();
    assert_eq!(
        titles(&searched),
        [
            ("a key", "raw"),
            ("message 1", "base64"),
            ("planted leak 1: log", "raw")
        ]
    );
    assert_eq!(searched.leaks().count(), 2);
    assert_eq!(searched.found_planted("log"), ["planted leak 1: log"]);
    assert!(searched.found_planted("traffic").is_empty());
    let nothing = needles.stream("x", Cursor::new([7; 31])).unwrap();
    assert!(nothing.findings.is_empty());
}

#[test]
fn folders_are_searched_with_their_names_and_without_what_is_left_out() {
    let canaries = canaries();
    let needles = Needles::new(&canaries).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("inner")).unwrap();
    std::fs::write(root.join("inner/file"), format!("a {SECRET}")).unwrap();
    std::fs::write(root.join("key"), [7; 32]).unwrap();
    std::fs::write(root.join(SECRET), "").unwrap();
    let all = needles.folder(root, &|_| false).unwrap();
    assert_eq!((all.bytes, all.parts), (54, 3));
    assert_eq!(all.leaks().count(), 3);
    let some = needles.folder(root, &|path| path.ends_with("key")).unwrap();
    assert_eq!((some.bytes, some.leaks().count()), (22, 2));
}

#[test]
fn a_canary_too_short_to_be_searched_for_is_refused() {
    let mut canaries = Canaries::default();
    canaries.bytes("a stub", &[1]);
    assert!(Needles::new(&canaries).is_err());
}
