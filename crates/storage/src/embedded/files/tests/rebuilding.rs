// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rows that cannot be opened are made anew; without a journal their damage is said.

use std::path::Path;

use super::*;
use crate::conformance::world::device;
use crate::embedded::logged::tests::copy;
use crate::server::Position;

/// Every engine's place with a store in it that is closed: two accounts, five envelopes of which one
/// was acknowledged, and a third account that came after a restart.
pub(super) async fn places() -> Vec<Place> {
    let mut places = vec![Place::default()];
    #[cfg(feature = "redb")]
    places.push(Place::of_redb());
    for place in &places {
        let store = place.server().await;
        register_with_contact(&store, 1, &[1]).await;
        register_with_contact(&store, 2, &[1]).await;
        for number in 0..5 {
            send(&store, sending(contact_id(1, 1), &[1], number, b"x"))
                .await
                .unwrap();
        }
        store
            .acknowledge(account(1), device(1), vec![Position(2)])
            .await
            .unwrap();
        drop(store);
        let store = place.server().await;
        register_with_contact(&store, 3, &[1]).await;
    }
    places
}

pub(super) async fn is_all_there(place: &Place) {
    use std::sync::atomic::AtomicU32;
    // What is sent twice is stored once.
    static SENT: AtomicU32 = AtomicU32::new(9);
    let store = place.server().await;
    assert_eq!(store.account_count().await.unwrap(), 3);
    assert_eq!(mailbox(&store, 1, 1).await.len(), 4);
    // And it goes on.
    let number = SENT.fetch_add(1, Ordering::SeqCst);
    send(&store, sending(contact_id(3, 1), &[1], number, b"y"))
        .await
        .unwrap();
    drop(store);
    let store = place.server().await;
    let waiting = mailbox(&store, 3, 1).await;
    assert_eq!(waiting.len(), 1);
    store
        .acknowledge(account(3), device(1), vec![waiting[0].position])
        .await
        .unwrap();
}

impl Place {
    fn rows(&self) -> std::path::PathBuf {
        self.folder.path().join(self.files.engine.name())
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("rows")
    }
}

fn overwrite(folder: &Path, except: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != except {
            let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
            fs::write(&path, vec![0xa5; length]).unwrap();
        }
    }
}

/// How rows may be damaged so that they do not open, or open without what they had.
fn damage(rows: &Path, how: usize) {
    match how {
        0 => overwrite(rows, "conf"),
        1 => fs::remove_dir_all(rows).unwrap(),
        2 => {
            // sled alone has it.
            let conf = rows.join("conf");
            if conf.exists() {
                fs::write(conf, [0; 64]).unwrap();
            } else {
                overwrite(rows, "");
            }
        }
        _ => {
            for entry in fs::read_dir(rows).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    File::options()
                        .write(true)
                        .open(path)
                        .unwrap()
                        .set_len(0)
                        .unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn rows_that_do_not_open_are_made_anew_from_journal_and_log() {
    for place in places().await {
        for how in 0..4 {
            damage(&place.rows(), how);
            is_all_there(&place).await;
        }
        let name = place.files.engine.name();
        let aside = |number: u32| {
            let path = format!("{name}.refused-{number}");
            place.folder.path().join(path).exists()
        };
        assert!((1..=4).all(aside) && !aside(5), "{name}");
        // What is still damaged or lost comes to light at once, and not at the next start.
        verify_server(place.folder.path(), place.files.clone())
            .map(|found| assert!(found.is_whole(), "{found:?}"))
            .unwrap();
    }
}

#[tokio::test]
async fn rows_older_than_the_journal_are_made_anew() {
    for place in places().await {
        let old = tempfile::tempdir().unwrap();
        copy(&place.rows(), &old.path().join("rows"));
        let store = place.server().await;
        register_with_contact(&store, 4, &[1]).await;
        // A new day: the journal begins anew, at a position that the old rows have not reached.
        store
            .expire(crate::conformance::world::TODAY)
            .await
            .unwrap();
        drop(store);
        fs::remove_dir_all(place.rows()).unwrap();
        copy(&old.path().join("rows"), &place.rows());
        let store = place.server().await;
        assert_eq!(store.account_count().await.unwrap(), 4);
        let name = format!("{}.refused-1", place.files.engine.name());
        assert!(place.folder.path().join(name).exists());
    }
}

#[tokio::test]
async fn without_a_journal_damage_is_said_and_not_taken_for_an_empty_store() {
    for place in places().await {
        fs::remove_dir_all(place.journal()).unwrap();
        for how in 0..4 {
            let kept = tempfile::tempdir().unwrap();
            copy(&place.rows(), &kept.path().join("rows"));
            damage(&place.rows(), how);
            let what = place.files.engine.name();
            let error = place.try_server().await.err();
            assert!(
                matches!(error, Some(StoreError::Corrupt { .. })),
                "{what} {how}: {error:?}"
            );
            let _ = fs::remove_dir_all(place.rows());
            copy(&kept.path().join("rows"), &place.rows());
        }
        is_all_there(&place).await;
    }
}

#[tokio::test]
async fn a_damaged_journal_beside_rows_that_are_whole_is_written_anew() {
    for place in places().await {
        overwrite(&place.journal(), "");
        let found = verify_server(place.folder.path(), place.files.clone()).unwrap();
        assert!(!found.is_whole());
        is_all_there(&place).await;
        let found = verify_server(place.folder.path(), place.files.clone()).unwrap();
        assert!(found.is_whole(), "{found:?}");
        damage(&place.rows(), 1);
        is_all_there(&place).await;
    }
}

#[tokio::test]
async fn rows_and_journal_that_are_both_damaged_are_said() {
    for place in places().await {
        overwrite(&place.journal(), "");
        damage(&place.rows(), 0);
        assert!(matches!(
            place.try_server().await,
            Err(StoreError::Corrupt { .. })
        ));
    }
}

#[tokio::test]
async fn rows_that_an_engine_panicked_on_are_made_anew() {
    for place in places().await {
        let name = place.files.engine.name();
        let site = panics::Site::new(name, &place.rows());
        let panicked = site.enter(|| -> Result<(), _> { panic!("planted") });
        assert_eq!(panicked, Err(StoreError::Corrupt { what: name }));
        // Whoever reads everything first is told, and reads the rest.
        let found = verify_server(place.folder.path(), place.files.clone()).unwrap();
        assert!(found.tables_refused && !found.is_whole());
        assert!(found.log.is_whole() && found.journal.is_some_and(|one| one.rows > 0));
        is_all_there(&place).await;
        let aside = place.folder.path().join(format!("{name}.refused-1"));
        assert!(panics::is_marked(&aside) && !panics::is_marked(&place.rows()));
        // Where there is no journal they are used if they open.
        let _panicked =
            panics::Site::new(name, &place.rows()).enter(|| -> Result<(), _> { panic!() });
        fs::remove_dir_all(place.journal()).unwrap();
        is_all_there(&place).await;
        assert!(!panics::is_marked(&place.rows()));
    }
}

#[tokio::test]
async fn rows_are_made_anew_where_that_is_asked_for() {
    for place in places().await {
        rebuild_server(place.folder.path(), &place.files).unwrap();
        is_all_there(&place).await;
    }
    let empty = Place::default();
    assert!(matches!(
        rebuild_server(empty.folder.path(), &empty.files),
        Err(StoreError::Corrupt { .. })
    ));
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_store_is_not_opened_with_another_engine() {
    let place = filled().await;
    let other = FileOptions {
        engine: EngineKind::Redb,
        ..place.files.clone()
    };
    let options = ServerOptions {
        limits: limits(),
        new_name_key: [1; 32],
    };
    let error = open_server(place.folder.path(), options, other.clone()).await;
    assert_eq!(error.err(), Some(StoreError::OtherEngine { found: "sled" }));
    let error = verify_server(place.folder.path(), other);
    assert_eq!(error.err(), Some(StoreError::OtherEngine { found: "sled" }));
}

/// A client's rows have no journal.
#[tokio::test]
async fn a_servers_store_is_not_taken_for_a_clients() {
    let place = filled().await;
    assert!(matches!(
        ClientPlace::open(&place).await,
        Err(StoreError::Corrupt { what: "format" })
    ));
}
