// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log and sled together: whichever of them is behind, the other one makes up for it.

mod full;
mod retention;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::conformance::world::{
    account, contact_id, device, mailbox, register_with_contact, send, sending,
};
use crate::embedded::files::{FileKeyValue, FileOptions, open_server};
use crate::embedded::key_value::KeyValue as _;
use crate::embedded::{EmbeddedStore, ServerLimits, ServerOptions};
use crate::log::file::LogFolder;
use crate::log::memory::MemoryFolder;
use crate::log::{DeliveryLog, LogOptions};
use crate::server::{AccountStore, MailboxStore, Position};

const OPTIONS: ServerOptions = ServerOptions {
    limits: ServerLimits {
        mailbox_envelopes_max: 16,
        mailbox_bytes_max: 400_000,
        mailbox_stranger_envelopes_max: 3,
        mailbox_stranger_bytes_max: 100_000,
        mailbox_contact_envelopes_max: 16,
        mailbox_contact_bytes_max: 400_000,
        remembered_envelope_ids_max: 4,
        retention_days: 45,
        delivery_ids_max: 3,
        one_time_prekeys_max: 64,
    },
    new_name_key: [3; 32],
};

async fn open(folder: &Path) -> Result<EmbeddedStore<LoggedKeyValue>, StoreError> {
    let files = FileOptions {
        segment_size: Some(1024 * 1024),
        ..FileOptions::default()
    };
    open_server(folder, OPTIONS, files).await
}

/// The size of a segment in [`store_in`].
const SEGMENT: u32 = 64 * 1024;

/// A store whose log is in a folder that can be cut, filled and damaged, and the folder of its rows.
async fn store_in(
    folder: &MemoryFolder,
    limits: ServerLimits,
) -> (EmbeddedStore<LoggedKeyValue>, TempDir) {
    let place = TempDir::new().unwrap();
    let options = LogOptions {
        segment_size: SEGMENT,
        remembered_max: 64,
        entropy: [7; 32],
        tables_from: LogPosition(0),
    };
    let log = DeliveryLog::open(Arc::new(folder.clone()), &options).unwrap();
    let rows = FileKeyValue::open(&place.path().join("rows"), &FileOptions::default()).unwrap();
    let journal: Arc<dyn LogFolder> = Arc::new(MemoryFolder::new());
    let id = log.log.facts().log;
    let journal = journal::Journal::create(&journal, id, LogPosition(0), &rows).unwrap();
    let rows = LoggedKeyValue::start(log.log, rows, journal).unwrap();
    let options = ServerOptions {
        limits,
        new_name_key: [3; 32],
    };
    (EmbeddedStore::open(rows, options).await.unwrap(), place)
}

/// Copies a folder with everything in it.
pub(in crate::embedded) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn batches_come_back_as_they_were_encoded() {
    let batch = Batch::from([
        (
            Bytes::from_static(b"put"),
            Some(Bytes::from_static(b"value")),
        ),
        (Bytes::from_static(b"empty"), Some(Bytes::new())),
        (Bytes::from_static(b"gone"), None),
        (Bytes::new(), Some(Bytes::from(vec![7; 70_000]))),
    ]);
    let encoded = encode(&batch);
    assert_eq!(decode(&encoded), Ok(batch));
    assert_eq!(decode(&Bytes::new()), Ok(Batch::new()));
    for length in 1..encoded.len().min(40) {
        assert!(decode(&encoded.slice(..length)).is_err());
    }
}

/// A machine that lost power has the log, and sled as of some moment before.
#[tokio::test]
async fn tables_that_are_behind_are_caught_up_from_the_log() {
    let place = TempDir::new().unwrap();
    let aside = TempDir::new().unwrap();
    let store = open(place.path()).await.unwrap();
    register_with_contact(&store, 1, &[1, 2]).await;
    drop(store);
    copy(&place.path().join("sled"), &aside.path().join("sled"));
    let store = open(place.path()).await.unwrap();
    register_with_contact(&store, 2, &[1]).await;
    for number in 0..5 {
        send(&store, sending(contact_id(1, 1), &[1, 2], number, b"x"))
            .await
            .unwrap();
    }
    store
        .acknowledge(account(1), device(1), vec![Position(2)])
        .await
        .unwrap();
    drop(store);
    for _ in 0..2 {
        fs::remove_dir_all(place.path().join("sled")).unwrap();
        copy(&aside.path().join("sled"), &place.path().join("sled"));
        let store = open(place.path()).await.unwrap();
        assert!(store.account(account(2)).await.unwrap().is_some());
        assert_eq!(mailbox(&store, 1, 1).await.len(), 4);
        assert_eq!(mailbox(&store, 1, 2).await.len(), 5);
        assert_eq!(store.account_count().await.unwrap(), 2);
    }
}

/// Otherwise an opening would read the whole log for batches that are not there.
#[tokio::test]
async fn rows_that_do_not_change_say_how_far_they_are() {
    let place = TempDir::new().unwrap();
    let store = open(place.path()).await.unwrap();
    register_with_contact(&store, 1, &[1]).await;
    let early = store.key_value.delivery_log().unwrap().facts().position;
    for number in 0..8 {
        send(
            &store,
            sending(contact_id(1, 1), &[1], number, &[7; 40_000]),
        )
        .await
        .unwrap();
    }
    let late = store.key_value.delivery_log().unwrap().facts().position;
    drop(store);
    assert!(early < late);
    let rows = FileKeyValue::open(&place.path().join("sled"), &FileOptions::default()).unwrap();
    assert_eq!(opening::position(&rows), Ok(late));
    drop(rows);
    // Also beside a journal that was there before, and with nothing to note.
    for _ in 0..2 {
        let store = open(place.path()).await.unwrap();
        assert_eq!(mailbox(&store, 1, 1).await.len(), 8);
    }
}

#[tokio::test]
async fn a_log_that_is_gone_is_said() {
    let place = TempDir::new().unwrap();
    let store = open(place.path()).await.unwrap();
    register_with_contact(&store, 1, &[1]).await;
    drop(store);
    let log = place.path().join("log");
    for entry in fs::read_dir(&log).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let damaged = Some(StoreError::Corrupt { what: "log" });
    assert_eq!(open(place.path()).await.err(), damaged);
    fs::remove_dir(&log).unwrap();
    assert_eq!(open(place.path()).await.err(), damaged);
}

/// Rows and mailboxes go together, and come back together with a device that is listed again.
#[tokio::test]
async fn a_closed_account_takes_its_mailboxes_with_it() {
    let place = TempDir::new().unwrap();
    let store = open(place.path()).await.unwrap();
    for number in 1..=2 {
        register_with_contact(&store, number, &[1]).await;
        send(&store, sending(contact_id(number, 1), &[1], 1, b"x"))
            .await
            .unwrap();
    }
    let today = crate::conformance::world::TODAY;
    store
        .close_account(account(1), today)
        .await
        .unwrap()
        .unwrap();
    drop(store);
    let store = open(place.path()).await.unwrap();
    assert!(mailbox(&store, 1, 1).await.is_empty());
    assert_eq!(mailbox(&store, 2, 1).await.len(), 1);
    assert_eq!(store.account_count().await.unwrap(), 1);
}

/// An export with these rows alone.
pub(in crate::embedded) fn export_of(batch: &Batch) -> Vec<u8> {
    let id = [5; 16];
    let codec = entry::Codec::new(&id);
    let mut bytes = export::head(&id);
    let start = LogPosition(0);
    codec.write(&mut bytes, (entry::Kind::Rows, 1, start), &encode(batch));
    codec.write(&mut bytes, (entry::Kind::End, 2, start), &[]);
    bytes
}
