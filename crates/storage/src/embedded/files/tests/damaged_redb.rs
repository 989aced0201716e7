// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file of redb that the disk has changed is found before anything of it is used.

use super::rebuilding::places;
use super::*;
use crate::embedded::logged::tests::copy;

/// A way in which a disk changes a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Zeros,
    FlippedBit,
    Cut,
}

impl Damage {
    fn of(self, rows: &[u8], at: usize) -> Vec<u8> {
        let mut bytes = rows.to_vec();
        match self {
            Self::Zeros => bytes
                .iter_mut()
                .skip(at)
                .take(4096)
                .for_each(|byte| *byte = 0),
            Self::FlippedBit => bytes[at] ^= 1 << (at % 8),
            Self::Cut => bytes.truncate(at),
        }
        bytes
    }
}

const FILE: &str = "redb/rows.redb";

/// Where an opening does not verify its file redb panics on some of these.
#[tokio::test]
async fn a_file_of_redb_that_is_damaged_anywhere_does_no_harm() {
    let place = places().await.pop().unwrap();
    let whole = tempfile::tempdir().unwrap();
    copy(place.folder.path(), whole.path());
    let rows = fs::read(place.folder.path().join(FILE)).unwrap();
    let damages = [
        (Damage::Zeros, 1_531),
        (Damage::FlippedBit, 1_777),
        (Damage::Cut, 9_973),
    ];
    let every = damages
        .iter()
        .flat_map(|(damage, step)| (0..rows.len()).step_by(*step).map(|at| (*damage, at)));
    for (damage, at) in every {
        fs::remove_dir_all(place.folder.path()).unwrap();
        copy(whole.path(), place.folder.path());
        fs::write(place.folder.path().join(FILE), damage.of(&rows, at)).unwrap();
        let store = place.server().await;
        assert_eq!(store.account_count().await.unwrap(), 3, "{damage:?} {at}");
        for number in 1..=3 {
            let found = store.account(account(number)).await.unwrap();
            assert!(found.is_some(), "{damage:?} {at}");
        }
        assert_eq!(mailbox(&store, 1, 1).await.len(), 4, "{damage:?} {at}");
        drop(store);
        let found = verify_server(place.folder.path(), place.files.clone()).unwrap();
        assert!(found.is_whole(), "{damage:?} {at}: {found:?}");
    }
}

/// Zeros over the tables, in which redb panicked when it looked for their root.
#[tokio::test]
async fn verifying_says_that_redbs_file_is_damaged_and_reads_the_rest() {
    let place = places().await.pop().unwrap();
    let path = place.folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0);
    fs::write(&path, bytes).unwrap();
    let found = verify_server(place.folder.path(), place.files.clone()).unwrap();
    assert!(found.tables_refused && !found.is_whole(), "{found:?}");
    assert!(found.log.is_whole() && found.journal.is_some_and(|one| one.damaged == 0));
}
