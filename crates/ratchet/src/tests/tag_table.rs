// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tag table beside sessions. It is a cache, and may be behind them.

use super::world::{NOW, acquainted};
use crate::{Envelope, TagTable};

/// [SES-35]: a table that was not told that a key was skipped still holds the tag as that of a number to
/// come. Once the envelope has been opened it holds it no more: a replay is not looked for there.
#[test]
fn what_was_opened_leaves_no_tag_in_a_table_that_is_behind() {
    let (mut a, mut b) = acquainted();
    let (first, second) = (a.send(&mut b, b"first"), a.send(&mut b, b"second"));
    let (first, second) = (
        Envelope::parse(&first).unwrap(),
        Envelope::parse(&second).unwrap(),
    );
    let session = b.active();
    let mut table = TagTable::new();
    table.insert_session(&session);
    let opened = session.decrypt(&second, None, NOW).unwrap();
    let skipped = &opened.skipped_added[0];
    let late = opened.session.decrypt(&first, Some(skipped), NOW).unwrap();
    assert!(table.lookup(&first.tag()).is_some());
    table.apply(session.id(), &late.changes);
    assert!(table.lookup(&first.tag()).is_none());
    // What it was not told of stays, and costs one opening more.
    assert!(table.lookup(&second.tag()).is_some());
}
