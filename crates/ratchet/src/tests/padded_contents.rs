// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The padded contents of `vectors/v1/padding.json`, which the second implementation made: what stands
//! in each, and which are refused.

use serde_json::Value;

use crate::session::padding::{is_padded_length, split};
use crate::session::slack::{Receipt, Slack, read};

#[allow(dead_code, reason = "each test uses some of it")]
#[path = "../../../../vectors/replay.rs"]
mod replay;

use replay::{bytes, file, is_valid, list, number, text};

/// What an implementation does with a padded content behind a prefix, in order: ENV-6, ENV-3, ENV-4.
fn read_padded(padded: &[u8], prefix: usize) -> Option<(&[u8], Slack<'_>)> {
    let (content, slack) = is_padded_length(padded.len(), prefix)
        .then(|| split(padded).ok())
        .flatten()?;
    Some((content, read(slack).ok()?))
}

/// [ENV-3], [ENV-4], [ENV-6]
#[test]
fn padded_contents_agree() {
    let (mut read, mut refused) = (0, 0);
    for case in list(&file("padding")["padded"]) {
        let padded = bytes(&case["padded"]);
        let found = read_padded(&padded, number(&case["prefix"]));
        assert_eq!(found.is_some(), is_valid(case), "{}", text(&case["name"]));
        let Some((content, slack)) = found else {
            refused += 1;
            continue;
        };
        assert_eq!(content, bytes(&case["content"]));
        let mut items = case["items"].as_array().unwrap().iter();
        let named = items.find(|item| item["type"] == 4);
        assert_eq!(slack.receipt, named.map(receipt));
        assert!(slack.held.is_none() && slack.units.is_empty());
        read += 1;
    }
    assert_eq!((read, refused), (5, 6));
}

fn receipt(item: &Value) -> Receipt {
    let body = bytes(&item["bytes"]);
    let (n, hash) = body.split_first_chunk().unwrap();
    Receipt {
        n: u32::from_be_bytes(*n),
        hash: hash.try_into().unwrap(),
    }
}
