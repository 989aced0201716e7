// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the golden files fill every field of every message: the `.proto` files are read as text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Every message of these files, with the numbers of its fields.
fn messages(protos: &[&str]) -> BTreeMap<String, BTreeSet<u64>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto/waxwing/v1");
    let mut messages: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for proto in protos {
        let text = std::fs::read_to_string(folder.join(proto).with_extension("proto")).unwrap();
        let mut open: Vec<Option<String>> = Vec::new();
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default();
            // Nor what is said about a field.
            let line = line.split(" [").next().unwrap_or_default().trim();
            if let Some(head) = line.strip_suffix('{') {
                let name = head.trim().strip_prefix("message ").map(str::to_owned);
                open.push(name);
            } else if let Some(rest) = line.strip_prefix("message ") {
                // `message Empty {}` on one line.
                let name = rest.trim_end_matches("{}").trim();
                messages.entry(name.to_owned()).or_default();
            } else if line == "}" {
                open.pop();
            } else if let Some((_, number)) = line.trim_end_matches(';').rsplit_once(" = ") {
                // An enumeration's values are no fields; those of a `oneof` belong to its message.
                let inner = open.last().cloned().flatten();
                let owner = inner.or_else(|| open.first().cloned().flatten());
                let is_field = line.starts_with(|first: char| first.is_ascii_alphabetic())
                    && line.split(' ').count() >= 4
                    && !line.starts_with("option ")
                    && !line.starts_with("reserved ");
                if let Some(owner) = owner.filter(|_| is_field) {
                    messages
                        .entry(owner)
                        .or_default()
                        .insert(number.parse().unwrap());
                }
            }
        }
        assert!(open.is_empty(), "{proto}.proto was not understood");
    }
    messages
}

/// The numbers of the fields in an encoded message (protobuf encoding, "message structure").
fn numbers(mut bytes: &[u8]) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        found.insert(tag >> 3);
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes);
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        bytes = &bytes[length..];
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number is too long");
}

/// Each message has files, and in these together each of its fields is there.
pub(crate) fn all_fields_are_filled(protos: &[&str], files: &BTreeMap<&str, Vec<Vec<u8>>>) {
    let messages = messages(protos);
    assert!(messages.len() > 5, "the .proto files were not understood");
    for (message, fields) in &messages {
        let Some(stored) = files.get(message.as_str()) else {
            panic!("the message {message} has no golden file");
        };
        let found: BTreeSet<u64> = stored.iter().flat_map(|bytes| numbers(bytes)).collect();
        assert_eq!(
            &found, fields,
            "{message}: a field is in no golden file, or was removed"
        );
    }
    for message in files.keys() {
        assert!(
            messages.contains_key(*message),
            "{message} is no longer a message"
        );
    }
}

#[test]
fn the_scanner_understands_the_schema() {
    let messages = messages(&["mailbox", "content"]);
    let of = |name: &str| messages[name].iter().copied().collect::<Vec<_>>();
    assert_eq!(of("SendRequest"), [1, 2, 3, 4, 15]);
    assert_eq!(of("SendResponse"), [1, 2]);
    assert!(of("Drained").is_empty());
    assert_eq!(of("Receipt"), [1, 2]);
    assert!(of("ContactState").contains(&7) && !messages.contains_key("Request"));
}
