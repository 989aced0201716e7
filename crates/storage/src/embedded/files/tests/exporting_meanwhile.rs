// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An export of a store that is used meanwhile: it is of one moment, but for what was deleted after it.

use std::io::Write;

use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::exporting::import;
use super::*;
use crate::conformance::world::{device, manifest};
use crate::server::{DeliveryIdStore as _, Position};

/// Takes an export, and uses the store after every write.
struct Meanwhile<F> {
    bytes: Vec<u8>,
    /// Whether the rows are over: they are written while no other step is taken.
    is_past_rows: bool,
    uses: F,
}

impl<F: FnMut(usize, bool)> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        let first = [account(1).as_bytes().as_slice(), device(1).as_bytes()].concat();
        self.is_past_rows |= bytes.ends_with(&first);
        (self.uses)(self.bytes.len(), self.is_past_rows);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Accounts 1 and 2 with two devices each and three envelopes in each mailbox, the second of which is gone.
async fn example(place: &Place) -> EmbeddedStore<LoggedKeyValue> {
    let store = place.server().await;
    for number in 1..=2 {
        register_with_contact(&store, number, &[1, 2]).await;
        for envelope in 0..3 {
            let append = sending(contact_id(number, 1), &[1, 2], envelope, b"x");
            send(&store, append).await.unwrap();
        }
        for of in 1..=2 {
            let gone = vec![Position(2)];
            store
                .acknowledge(account(number), device(of), gone)
                .await
                .unwrap();
        }
    }
    store
}

/// Exports a store that is used as `uses` says, and opens what that becomes elsewhere.
async fn exported(
    store: &EmbeddedStore<LoggedKeyValue>,
    uses: impl FnMut(usize, bool) + Send,
) -> (Place, EmbeddedStore<LoggedKeyValue>, Exported) {
    let mut to = Meanwhile {
        bytes: Vec::new(),
        is_past_rows: false,
        uses,
    };
    let exported = block_in_place(|| store.export(&mut to)).unwrap();
    let other = Place::default();
    assert_eq!(import(&other, &to.bytes).await, Ok(exported));
    let found = verify_server(other.folder.path(), other.files.clone()).unwrap();
    assert!(found.is_whole(), "{found:?}");
    let store = other.server().await;
    (other, store, exported)
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    Handle::current().block_on(future)
}

async fn positions(store: &EmbeddedStore<LoggedKeyValue>, number: u8, of: u8) -> Vec<u64> {
    let read = mailbox(store, number, of).await;
    read.iter().map(|one| one.position.0).collect()
}

/// What comes after the rows were read is not in it, and it can be imported.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_an_export_is_written_does_not_damage_it() {
    let place = Place::default();
    let store = example(&place).await;
    let mut number = 100;
    let mut before = 0;
    let (_other, copy, _) = exported(&store, |_, is_past_rows| {
        for account in 1..=2 {
            if number < 110 {
                let append = sending(contact_id(account, 1), &[1, 2], number, b"y");
                wait(send(&store, append)).unwrap();
            }
        }
        if !is_past_rows {
            before += 1;
        }
        number += 1;
    })
    .await;
    assert!(before > 0 && number > 103);
    let expected: Vec<u64> = [1].into_iter().chain(3..=3 + before).collect();
    for (account, of) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        assert_eq!(positions(&copy, account, of).await, expected);
        assert!(mailbox(&store, account, of).await.len() > expected.len());
    }
    // Positions go on where they were.
    let append = sending(contact_id(2, 1), &[1, 2], 200, b"z");
    send(&copy, append).await.unwrap();
    assert_eq!(
        positions(&copy, 2, 2).await.last(),
        expected.last().map(|last| last + 1).as_ref()
    );
}

/// Whatever happens after the rows were read, accounts, devices and delivery ids are as they were, and
/// mailboxes go on where they were; only what was deleted meanwhile is missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_and_removed_while_an_export_is_written_leaves_it_as_it_was() {
    let place = Place::default();
    let store = example(&place).await;
    let mut is_done = false;
    let (_other, copy, of_export) = exported(&store, |_, is_past_rows| {
        if !is_past_rows || is_done {
            return;
        }
        is_done = true;
        wait(async {
            register_with_contact(&store, 3, &[1]).await;
            let append = sending(contact_id(3, 1), &[1], 1, b"x");
            send(&store, append).await.unwrap();
            let ids = vec![contact_id(1, 2)];
            let made = store.create_delivery_ids(account(1), ids).await;
            made.unwrap().unwrap();
            let gone = vec![Position(3)];
            store
                .acknowledge(account(1), device(1), gone)
                .await
                .unwrap();
            let head = manifest(1, &[1, 2]).head;
            let replaced = store.replace_manifest(account(1), head, manifest(2, &[1]));
            replaced.await.unwrap().unwrap();
            let closed = store.close_account(account(2), crate::conformance::world::TODAY);
            closed.await.unwrap().unwrap();
        });
    })
    .await;
    assert!(is_done);
    assert_eq!((of_export.mailboxes, of_export.envelopes), (4, 1));
    assert_eq!(copy.account_count().await.unwrap(), 2);
    assert!(copy.recipient(contact_id(1, 2)).await.unwrap().is_none());
    for number in 1..=2 {
        let append = sending(contact_id(number, 1), &[1, 2], 300, b"y");
        send(&copy, append).await.unwrap();
    }
    assert_eq!(positions(&copy, 1, 1).await, [1, 4]);
    for (account, of) in [(1, 2), (2, 1), (2, 2)] {
        assert_eq!(positions(&copy, account, of).await, [4]);
    }
}
