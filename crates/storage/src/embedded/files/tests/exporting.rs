// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An export has everything, goes into any engine, and is taken whole or not at all.

use super::*;
use crate::conformance::world::{device, publication};
use crate::server::{DisclosedRow, Position, PrekeyStore as _, Store};

fn options() -> ServerOptions {
    ServerOptions {
        limits: limits(),
        new_name_key: [9; 32],
    }
}

/// A store of two accounts; of five envelopes in one mailbox the second and the last are gone.
async fn example() -> (Place, Vec<u8>) {
    let place = Place::default();
    let store = place.server().await;
    register_with_contact(&store, 1, &[1, 2]).await;
    register_with_contact(&store, 2, &[1]).await;
    for number in 0..5 {
        send(&store, sending(contact_id(1, 1), &[1, 2], number, b"x"))
            .await
            .unwrap();
    }
    store
        .acknowledge(account(1), device(1), vec![Position(2), Position(5)])
        .await
        .unwrap();
    let mut bytes = Vec::new();
    let exported = store.export(&mut bytes).unwrap();
    assert_eq!((exported.mailboxes, exported.envelopes), (2, 8));
    assert_eq!(exported.damaged, 0);
    (place, bytes)
}

pub(super) async fn import(place: &Place, mut bytes: &[u8]) -> Result<Exported, StoreError> {
    let files = place.files.clone();
    import_server(place.folder.path(), options(), files, &mut bytes).await
}

/// Everything that a store shows, but for what belongs to its log alone.
async fn shown<S: Store>(store: &S) -> Vec<DisclosedRow> {
    let mut rows = Vec::new();
    store
        .walk(&mut |row| {
            let is_the_logs = matches!(row.table, "log" | "log_fingerprints");
            let fields = row
                .fields
                .into_iter()
                .filter(|(name, _)| row.table != "log_mailboxes" || *name != "remembered");
            if !is_the_logs {
                rows.push(DisclosedRow {
                    fields: fields.collect(),
                    ..row
                });
            }
        })
        .await
        .unwrap();
    rows
}

#[tokio::test]
async fn an_export_goes_from_any_engine_into_any_other() {
    let (place, bytes) = example().await;
    let original = shown(&place.server().await).await;
    assert!(original.len() > 15, "{}", original.len());
    let mut bytes = bytes;
    for engine in EngineKind::ALL.iter().rev() {
        let mut other = Place::default();
        other.files.engine = *engine;
        let imported = import(&other, &bytes).await.unwrap();
        assert_eq!((imported.mailboxes, imported.envelopes), (2, 8));
        let store = other.server().await;
        assert_eq!(shown(&store).await, original);
        // Positions go on where they were.
        send(&store, sending(contact_id(1, 1), &[1, 2], 50, b"y"))
            .await
            .unwrap();
        let last = mailbox(&store, 1, 1).await.pop().unwrap();
        assert_eq!(last.position, Position(6));
        store
            .acknowledge(account(1), device(1), vec![Position(6)])
            .await
            .unwrap();
        store
            .acknowledge(account(1), device(2), vec![Position(6)])
            .await
            .unwrap();
        drop(store);
        // It opens again, and what is exported from it is the same store.
        let store = other.server().await;
        bytes.clear();
        store.export(&mut bytes).unwrap();
        drop(store);
        let found = verify_server(other.folder.path(), other.files.clone()).unwrap();
        assert!(found.is_whole(), "{found:?}");
        let third = Place::default();
        import(&third, &bytes).await.unwrap();
        assert_eq!(mailbox(&third.server().await, 1, 2).await.len(), 5);
        // The next one is to be the original.
        bytes = example().await.1;
    }
}

#[tokio::test]
async fn nothing_is_imported_over_a_store() {
    let (place, bytes) = example().await;
    assert_eq!(import(&place, &bytes).await, Err(StoreError::Exists));
    assert_eq!(mailbox(&place.server().await, 1, 1).await.len(), 3);
}

#[tokio::test]
async fn an_export_that_is_not_whole_leaves_nothing_behind() {
    let (_, bytes) = example().await;
    let place = Place::default();
    let damaged = Err(StoreError::Corrupt { what: "export" });
    let step = bytes.len().div_ceil(60);
    for length in (0..bytes.len()).step_by(step) {
        let cut = import(&place, &bytes[..length]).await;
        assert_eq!(cut, damaged, "cut at {length}");
        let mut changed = bytes.clone();
        changed[length] ^= 0x40;
        // Two fields stand for nothing yet.
        let is_unused = (12..16).contains(&length);
        let changed = import(&place, &changed).await;
        assert!(changed == damaged || is_unused, "changed at {length}");
        assert!(!exists(place.folder.path()));
        for left in ["sled", "sled.copy", "log", "log.copy"] {
            assert!(!place.folder.path().join(left).exists(), "{left}");
        }
    }
    let longer = [bytes.as_slice(), b"!"].concat();
    assert_eq!(import(&place, &longer).await, damaged);
    let mut newer = bytes.clone();
    newer[8] = 2;
    let checksum = crc32fast::hash(&newer[..32]);
    newer[32..36].copy_from_slice(&checksum.to_le_bytes());
    let refused = StoreError::NewerFormat { found: 2, known: 1 };
    assert_eq!(import(&place, &newer).await, Err(refused));
    assert!(import(&place, &bytes).await.is_ok());
}

/// A file that was made by hand has checksums too.
#[tokio::test]
async fn a_position_and_a_removal_are_no_rows_of_an_export() {
    use crate::embedded::logged::tests::export_of;
    let place = Place::default();
    let damaged = Err(StoreError::Corrupt { what: "export" });
    let key = Bytes::from_static(crate::embedded::format::POSITION_KEY);
    for value in [Some(Bytes::from_static(&[0xff; 8])), None] {
        let bytes = export_of(&Batch::from([(key.clone(), value)]));
        assert_eq!(import(&place, &bytes).await, damaged);
    }
    let removal = Batch::from([(Bytes::from_static(b"\xf0gone"), None)]);
    assert_eq!(import(&place, &export_of(&removal)).await, damaged);
}

/// Killed between the renames, it is there after the next opening.
#[tokio::test]
async fn an_import_that_was_cut_at_its_end_is_finished() {
    let (_, bytes) = example().await;
    let place = Place::default();
    import(&place, &bytes).await.unwrap();
    let path = place.folder.path();
    // As it was before the last rename.
    fs::rename(path.join("sled"), path.join("sled.copy")).unwrap();
    fs::remove_file(path.join("made")).unwrap();
    fs::write(path.join("sled.copy-ready"), "before-import").unwrap();
    assert_eq!(mailbox(&place.server().await, 1, 1).await.len(), 3);
}

/// PRE-12.
#[tokio::test]
async fn one_time_pairs_are_not_restored() {
    let place = Place::default();
    let store = place.server().await;
    register_with_contact(&store, 1, &[1]).await;
    store
        .publish_prekeys(account(1), device(1), publication(1, 6))
        .await
        .unwrap()
        .unwrap();
    let mut bytes = Vec::new();
    store.export(&mut bytes).unwrap();
    for engine in EngineKind::ALL {
        let mut other = Place::default();
        other.files.engine = *engine;
        import(&other, &bytes).await.unwrap();
        let store = other.server().await;
        let status = store.prekey_status(account(1), device(1)).await.unwrap();
        assert_eq!((status.one_time_remaining, status.signed_pair_id), (0, 1));
        let take = || store.take_prekeys(account(1), vec![device(1)]);
        assert!(
            take().await.unwrap().unwrap().bundles[0]
                .one_time_pair
                .is_none()
        );
        // What was there before does not come back; what is new does.
        store
            .publish_prekeys(account(1), device(1), publication(4, 8))
            .await
            .unwrap()
            .unwrap();
        let status = store.prekey_status(account(1), device(1)).await.unwrap();
        assert_eq!(status.one_time_remaining, 2);
        assert!(
            take().await.unwrap().unwrap().bundles[0]
                .one_time_pair
                .is_some()
        );
    }
}
