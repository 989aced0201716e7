// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The conformance suite on files, and one test for each guard.

use std::fs::{self, File};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::client::{ClientStore, RowKey, RowWrite};
use crate::conformance::world::{
    account, contact_id, limits, mailbox, register, register_with_contact, send, sending,
};
use crate::conformance::{ClientPlace, ServerPlace};
use crate::embedded::format::Content;
use crate::embedded::key_value::{Batch, KeyValue as _};
use crate::server::{AccountStore, MailboxStore};

struct Place {
    folder: TempDir,
    files: FileOptions,
}

impl Default for Place {
    fn default() -> Self {
        Self::with(Arc::new(SyncData))
    }
}

impl Place {
    #[cfg(feature = "redb")]
    fn of_redb() -> Self {
        let mut place = Self::default();
        place.files.engine = EngineKind::Redb;
        place
    }

    fn with(syncer: Arc<dyn Syncer>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            files: FileOptions {
                engine: EngineKind::Sled,
                cache_bytes: 4 * 1024 * 1024,
                syncer,
                log_syncer: Arc::new(SyncData),
                segment_size: Some(1024 * 1024),
            },
        }
    }

    fn sled(&self) -> std::path::PathBuf {
        self.folder.path().join("sled")
    }

    async fn server(&self) -> EmbeddedStore<LoggedKeyValue> {
        self.try_server().await.unwrap()
    }

    async fn try_server(&self) -> Result<EmbeddedStore<LoggedKeyValue>, StoreError> {
        let options = ServerOptions {
            limits: limits(),
            new_name_key: [1; 32],
        };
        ServerPlace::open(self, options).await
    }
}

impl ServerPlace for Place {
    type Store = EmbeddedStore<LoggedKeyValue>;

    async fn open(&self, options: ServerOptions) -> Result<Self::Store, StoreError> {
        open_server(self.folder.path(), options, self.files.clone()).await
    }

    fn crash(&self) {}
}

impl ClientPlace for Place {
    type Store = EmbeddedClientStore<FileKeyValue>;

    async fn open(&self) -> Result<Self::Store, StoreError> {
        open_client(self.folder.path(), self.files.clone()).await
    }

    fn crash(&self) {}
}

mod server_suite {
    crate::server_conformance!(super::Place::default());
}

mod client_suite {
    crate::client_conformance!(super::Place::default());
}

mod admission;
#[cfg(feature = "redb")]
mod damaged_redb;
mod exporting;
mod exporting_meanwhile;
mod lost_log;
mod rebuilding;

#[cfg(feature = "redb")]
mod redb_server_suite {
    crate::server_conformance!(super::Place::of_redb());
}

#[cfg(feature = "redb")]
mod redb_client_suite {
    crate::client_conformance!(super::Place::of_redb());
}

/// Counts syncs, remembers which files were synced when they were new, and fails when told.
#[derive(Default)]
struct Watched {
    syncs: AtomicUsize,
    new_files: Mutex<Vec<u64>>,
    fails: AtomicBool,
}

impl Syncer for Watched {
    fn sync(&self, file: &File) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        file.sync_data()
    }

    fn sync_new(&self, file: &File) -> io::Result<()> {
        self.new_files.lock().unwrap().push(inode(file));
        file.sync_all()
    }
}

#[cfg(unix)]
fn inode(file: &File) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap())
}

#[cfg(not(unix))]
fn inode(_: &File) -> u64 {
    0
}

fn put(number: u8, value: &'static [u8]) -> Vec<RowWrite> {
    vec![RowWrite::Put {
        at: row_at(number),
        value: Bytes::from_static(value),
    }]
}

fn row_at(number: u8) -> RowKey {
    RowKey {
        table: 1,
        key: Bytes::copy_from_slice(&[number]),
    }
}

#[tokio::test]
async fn g1_every_answer_waits_for_a_sync_and_a_queue_shares_one() {
    let watched = Arc::new(Watched::default());
    let place = Place::with(Arc::<Watched>::clone(&watched));
    let store = Arc::new(ClientPlace::open(&place).await.unwrap());
    let count = || watched.syncs.load(Ordering::SeqCst);
    let before = count();
    for number in 0..5 {
        store.apply(put(number, b"x")).await.unwrap();
    }
    assert_eq!(count() - before, 5);
    // Reading, and waiting for what is durable already, costs none.
    store.get(&[row_at(1)]).unwrap();
    store.apply(Vec::new()).await.unwrap();
    assert_eq!(count() - before, 5);

    let before = count();
    let mut tasks = JoinSet::new();
    for number in 100..108 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.apply(put(number, b"x")).await.unwrap() });
    }
    tasks.join_all().await;
    assert!((1..=8).contains(&(count() - before)));
}

#[cfg(unix)]
#[tokio::test]
async fn g2_new_files_are_synced_before_anything_is_acknowledged() {
    let watched = Arc::new(Watched::default());
    let place = Place::with(Arc::<Watched>::clone(&watched));
    let store = FileKeyValue::open(&place.sled(), &place.files).unwrap();
    assert_eq!(watched.syncs.load(Ordering::SeqCst), 0);
    for name in ["conf", "db"] {
        let file = File::open(place.sled().join(name)).unwrap();
        assert!(
            watched.new_files.lock().unwrap().contains(&inode(&file)),
            "{name}"
        );
    }
    drop(store);
}

/// Found by the power-cut images: sled's `conf` is torn, and nothing was acknowledged yet.
#[tokio::test]
async fn g2_what_a_cut_first_start_left_does_not_keep_the_store_closed() {
    let place = Place::default();
    fs::create_dir_all(place.sled()).unwrap();
    for torn in [&b""[..], &[0x15; 9], &[0; 4096]] {
        fs::write(place.sled().join("conf"), torn).unwrap();
        drop(place.server().await);
        fs::remove_file(place.folder.path().join("made")).unwrap();
    }
    assert!(place.folder.path().join("sled.unfinished/conf").exists());
}

/// A store with an envelope in it, closed.
async fn filled() -> Place {
    let place = Place::default();
    let store = place.server().await;
    register_with_contact(&store, 1, &[1]).await;
    send(&store, sending(contact_id(1, 1), &[1], 1, &[7; 40_000]))
        .await
        .unwrap();
    place
}

#[tokio::test]
async fn g3_a_half_written_snapshot_does_not_keep_the_store_closed() {
    let place = filled().await;
    let half = place.sled().join("snap.FFFFFFFFFFFFFF0.generating");
    fs::write(&half, b"half").unwrap();
    // The guard is needed: sled alone takes it for the newest snapshot.
    assert!(::sled::open(place.sled()).is_err());
    let store = place.server().await;
    assert_eq!(mailbox(&store, 1, 1).await.len(), 1);
    assert!(!half.exists());
}

#[tokio::test]
async fn g4_a_damaged_snapshot_is_rebuilt_from_the_log() {
    let place = filled().await;
    for entry in fs::read_dir(place.sled()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    fs::write(place.sled().join("snap.0000000000000010"), [0xff; 64]).unwrap();
    assert!(::sled::open(place.sled()).is_err());
    let store = place.server().await;
    assert_eq!(mailbox(&store, 1, 1).await.len(), 1);
}

#[tokio::test]
async fn g5_no_row_is_so_large_that_sled_puts_it_beside_its_log() {
    let blobs = |path: &Path| fs::read_dir(path.join("blobs")).unwrap().count();
    // Values of 64 KiB alone are no guard: sled writes whole leaves of up to 16 rows.
    let bare = tempfile::tempdir().unwrap();
    let tree = ::sled::open(bare.path()).unwrap();
    for number in 0..200_u16 {
        tree.insert(number.to_be_bytes(), vec![7; 60 * 1024])
            .unwrap();
    }
    tree.flush().unwrap();
    assert!(blobs(bare.path()) > 0);

    let place = Place::default();
    let store = ClientPlace::open(&place).await.unwrap();
    for number in 0..400_u16 {
        let at = RowKey {
            table: 1,
            key: Bytes::from([number.to_be_bytes().as_slice(), &[7; 500]].concat()),
        };
        let value = vec![7; usize::from(number % 7) * 20_000];
        let batch = if number % 3 == 2 {
            vec![RowWrite::Delete { at }]
        } else {
            vec![RowWrite::Put {
                at,
                value: value.into(),
            }]
        };
        store.apply(batch).await.unwrap();
        assert_eq!(blobs(&place.sled()), 0);
    }
    drop(store);
    let store = ClientPlace::open(&place).await.unwrap();
    assert_eq!(store.scan(1, &[], None, 1000).unwrap().len(), 267);
    assert_eq!(blobs(&place.sled()), 0);
}

#[tokio::test]
async fn g5_a_value_over_the_limit_is_refused_before_it_is_queued() {
    let place = Place::default();
    let store = FileKeyValue::open(&place.sled(), &place.files).unwrap();
    let value = vec![0; waxwing_proto::limits::STORE_VALUE_SIZE_MAX + 1];
    let batch = Batch::from([(Bytes::from_static(b"k"), Some(value.into()))]);
    assert_eq!(
        store.apply(batch).await,
        Err(StoreError::Limit { what: "value" })
    );
    assert_eq!(store.get(b"k").unwrap().value, None);
}

#[tokio::test]
async fn g6_after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let watched = Arc::new(Watched::default());
    let place = Place::with(Arc::<Watched>::clone(&watched));
    let store = ClientPlace::open(&place).await.unwrap();
    store.apply(put(1, b"x")).await.unwrap();
    watched.fails.store(true, Ordering::SeqCst);
    let lost = store.apply(put(2, b"x")).await;
    assert_eq!(lost, Err(StoreError::DiskFull));
    watched.fails.store(false, Ordering::SeqCst);
    for number in [2, 3] {
        let late = store.apply(put(number, b"x")).await;
        assert_eq!(late, Err(StoreError::Stopped));
    }
    drop(store);
    let store = ClientPlace::open(&place).await.unwrap();
    assert!(store.get(&[row_at(1)]).unwrap()[0].is_some());
    store.apply(put(9, b"x")).await.unwrap();
}

/// The tables are behind the log: where they stop, the server's store stops.
#[tokio::test]
async fn g6_a_server_whose_tables_cannot_be_written_stops() {
    let watched = Arc::new(Watched::default());
    let place = Place::with(Arc::<Watched>::clone(&watched));
    let store = place.server().await;
    register_with_contact(&store, 1, &[1]).await;
    // Closed, so that nothing of the first account is still on its way to the tables.
    drop(store);
    let store = place.server().await;
    watched.fails.store(true, Ordering::SeqCst);
    // Durable in the log, and answered.
    register(&store, 2, &[1]).await;
    let mut is_stopped = false;
    for number in 0..1000 {
        let late = store
            .append(sending(contact_id(1, 1), &[1], number, b"x"))
            .await;
        if late == Err(StoreError::Stopped) {
            is_stopped = true;
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(is_stopped);
    watched.fails.store(false, Ordering::SeqCst);
    drop(store);
    let store = place.server().await;
    let found = store.account(account(2)).await;
    assert!(found.unwrap().is_some(), "the log has what the tables lost");
}

#[tokio::test]
async fn a_store_has_one_owner_at_a_time() {
    let place = Place::default();
    assert!(!exists(place.folder.path()));
    let store = place.server().await;
    assert!(exists(place.folder.path()));
    assert!(matches!(
        place.try_server().await,
        Err(StoreError::StoreInUse)
    ));
    drop(store);
    for _ in 0..5 {
        drop(place.server().await);
    }
}

const NEXT: Format<FileKeyValue> = Format {
    content: Content::Server,
    current: 3,
    migrations: &[|store| {
        let old = store.get(b"\xf0old")?.value;
        Ok(Batch::from([(Bytes::from_static(b"\xf0new"), old)]))
    }],
};

#[tokio::test]
async fn an_older_store_is_migrated_on_a_copy_and_a_newer_one_refused() {
    let place = filled().await;
    let path = place.folder.path();
    let store = open(path, server::format(), place.files.clone())
        .await
        .unwrap();
    let row = (
        Bytes::from_static(b"\xf0old"),
        Some(Bytes::from_static(b"row")),
    );
    store.apply(Batch::from([row])).await.unwrap();
    drop(store);

    let store = open(path, NEXT, place.files.clone()).await.unwrap();
    assert_eq!(store.get(b"\xf0new").unwrap().value.unwrap(), "row");
    drop(store);
    let newer = StoreError::NewerFormat { found: 3, known: 2 };
    assert_eq!(place.try_server().await.err(), Some(newer));

    // What it was migrated from is still there, untouched.
    let kept = FileKeyValue::open(&path.join("sled.format-2"), &place.files).unwrap();
    assert_eq!(kept.get(b"\xf0new").unwrap().value, None);
    assert_eq!(kept.get(b"\xf0old").unwrap().value.unwrap(), "row");
}

#[tokio::test]
async fn a_sled_that_lost_commits_is_found_out_and_can_be_read() {
    let place = Place::default();
    let at = |number: u8| RowKey {
        table: 1,
        key: Bytes::copy_from_slice(&[number]),
    };
    let put = |number: u8| RowWrite::Put {
        at: at(number),
        value: Bytes::from(vec![number; 2000]),
    };
    let store = ClientPlace::open(&place).await.unwrap();
    store.apply(vec![put(0)]).await.unwrap();
    drop(store);
    let older = fs::read(place.sled().join("db")).unwrap();
    let store = ClientPlace::open(&place).await.unwrap();
    assert!(!store.is_behind());
    for number in 1..=20 {
        store.apply(vec![put(number)]).await.unwrap();
    }
    drop(store);
    fs::write(place.sled().join("db"), older).unwrap();
    for file in fs::read_dir(place.sled()).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("snap") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    for _ in 0..2 {
        let store = ClientPlace::open(&place).await.unwrap();
        assert!(store.is_behind());
        assert_eq!(
            store.get(&[at(0), at(20)]).unwrap(),
            [Some(Bytes::from(vec![0; 2000])), None]
        );
        // Writing more does not make it forget.
        for number in 30..60 {
            store.apply(vec![put(number)]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn closing_makes_durable_what_was_queued() {
    let place = Place::default();
    let store = ClientPlace::open(&place).await.unwrap();
    let at = RowKey {
        table: 1,
        key: Bytes::from_static(b"k"),
    };
    let value = Bytes::from_static(b"v");
    let late = store.apply(vec![RowWrite::Put {
        at: at.clone(),
        value: value.clone(),
    }]);
    drop(store);
    late.await.unwrap();
    let store = ClientPlace::open(&place).await.unwrap();
    assert_eq!(store.get(&[at]).unwrap(), [Some(value)]);
}
