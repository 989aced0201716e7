// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A store on a disk that is full: what makes room is done as a whole, and what is refused is not done at all.

use super::*;
use crate::conformance::world::{TODAY, manifest, publication, register, registration, rows_of};
use crate::embedded::ServerLimits;
use crate::log::DeliveryLog;
use crate::log::memory::{MemoryFolder, Trouble};
use crate::server::{PrekeyStore as _, Registration};

/// What only acknowledgements may use.
const KEPT: u32 = SEGMENT / 8;
/// A day on which everything is too old.
const LATER: crate::Day = TODAY.plus(46);

/// A store whose log is in a folder that can be full, and whose rows and journal have room.
struct Disk {
    folder: MemoryFolder,
    store: EmbeddedStore<LoggedKeyValue>,
    sent: u32,
    _rows: TempDir,
}

impl Disk {
    async fn new() -> Self {
        let folder = MemoryFolder::new();
        let (store, rows) = store_in(&folder, ServerLimits::default()).await;
        Self {
            folder,
            store,
            sent: 0,
            _rows: rows,
        }
    }

    fn log(&self) -> &DeliveryLog {
        self.store.key_value.delivery_log().unwrap()
    }

    /// Sends to both devices of account 9.
    async fn send(&mut self, size: usize) -> Result<(), StoreError> {
        let append = sending(contact_id(9, 1), &[1, 2], self.sent, &vec![7; size]);
        self.store.append(append).await?.unwrap();
        self.sent = self.sent.saturating_add(1);
        Ok(())
    }

    /// Accounts 1 and 2 with two devices each, prekeys and something in each mailbox; then the disk is full.
    async fn filled() -> Self {
        let mut disk = Self::new().await;
        register_with_contact(&disk.store, 9, &[1, 2]).await;
        for number in 1..=2 {
            register_with_contact(&disk.store, number, &[1, 2]).await;
            for of in 1..=2 {
                let published =
                    disk.store
                        .publish_prekeys(account(number), device(of), publication(1, 31));
                published.await.unwrap().unwrap();
            }
            let append = sending(contact_id(number, 1), &[1, 2], 1, &[7; 500]);
            send(&disk.store, append).await.unwrap();
        }
        while disk.log().facts().position < LogPosition(3 << 32) {
            disk.send(3000).await.unwrap();
            // The next segment is prepared before this one is full.
            disk.log().tidy_up().unwrap();
        }
        disk.folder.set_trouble(Some((0, Trouble::DiskFull)));
        for size in [3000, 1] {
            let refused = loop {
                let tidied = disk.log().tidy_up();
                assert!(matches!(tidied, Ok(()) | Err(StoreError::DiskFull)));
                if let Err(refused) = disk.send(size).await {
                    break refused;
                }
                assert!(disk.sent < 200, "the disk is full");
            };
            assert!(matches!(refused, StoreError::Busy { .. }), "{refused:?}");
        }
        disk
    }

    /// Lets there be room again.
    fn empty(&self) {
        self.folder.set_trouble(None);
        self.log().tidy_up().unwrap();
    }

    /// What is left of the segment for what makes room.
    fn left(&self) -> u32 {
        let end = self.log().facts().position.0 & u64::from(u32::MAX);
        (SEGMENT - KEPT).saturating_sub(u32::try_from(end).unwrap())
    }

    /// Uses up what is left, but for so much, with removals of rows that are not there.
    async fn use_up(&self, left: u32) {
        while self.left() > left {
            let key = Bytes::from(vec![0xf0; 400]);
            let gone = Batch::from([(key, None)]);
            self.store.key_value.apply(gone).await.unwrap();
        }
    }

    async fn close(&self, number: u8) -> Result<(), StoreError> {
        let closed = self.store.close_account(account(number), TODAY).await?;
        closed.unwrap();
        Ok(())
    }

    /// Nothing of an account is missing.
    async fn assert_whole(&self, number: u8) {
        let found = self.store.account(account(number)).await.unwrap().unwrap();
        assert_eq!(found.devices.len(), 2);
        for of in 1..=2 {
            assert_eq!(mailbox(&self.store, number, of).await.len(), 1);
            let status = self.store.prekey_status(account(number), device(of)).await;
            let status = status.unwrap();
            assert_eq!((status.one_time_remaining, status.signed_pair_id), (30, 1));
        }
        let manifests = self.store.manifests(account(number), 0, 10).await.unwrap();
        assert_eq!(manifests.len(), 1);
        let contact = self.store.recipient(contact_id(number, 1)).await.unwrap();
        assert!(contact.is_some());
    }

    async fn assert_gone(&self, number: u8) {
        assert!(self.store.account(account(number)).await.unwrap().is_none());
        let rows = rows_of(&self.store, number).await;
        assert!(rows.is_empty(), "{rows:?}");
    }
}

/// [BOX-74]: an account that is closed and a device that is taken off make room.
#[tokio::test]
async fn what_makes_room_is_done_on_a_full_disk() {
    let disk = Disk::filled().await;
    let refused = disk
        .store
        .publish_prekeys(account(2), device(1), publication(31, 60));
    assert!(matches!(refused.await, Err(StoreError::Busy { .. })));
    disk.close(1).await.unwrap();
    disk.assert_gone(1).await;
    let head = manifest(1, &[1, 2]).head;
    let replaced = disk
        .store
        .replace_manifest(account(2), head, manifest(2, &[2]));
    replaced.await.unwrap().unwrap();
    assert!(mailbox(&disk.store, 2, 1).await.is_empty());
    let status = disk.store.prekey_status(account(2), device(1)).await;
    assert_eq!(status.unwrap().one_time_remaining, 0);
    assert_eq!(mailbox(&disk.store, 2, 2).await.len(), 1);
    disk.empty();
    register(&disk.store, 3, &[1]).await;
    assert_eq!(disk.store.account_count().await.unwrap(), 3);
}

/// [BOX-74]: where there is no room even for that nothing of it is done, then or later.
#[tokio::test]
async fn what_is_refused_on_a_full_disk_is_not_done() {
    let disk = Disk::filled().await;
    disk.use_up(400).await;
    for _ in 0..2 {
        assert!(matches!(disk.close(1).await, Err(StoreError::Busy { .. })));
        let head = manifest(1, &[1, 2]).head;
        let refused = disk
            .store
            .replace_manifest(account(2), head, manifest(2, &[2]));
        assert!(matches!(refused.await, Err(StoreError::Busy { .. })));
        disk.assert_whole(1).await;
        disk.assert_whole(2).await;
    }
    // What is kept for acknowledgements is still there.
    let acknowledged = disk
        .store
        .acknowledge(account(9), device(1), vec![Position(1)]);
    acknowledged.await.unwrap();
    disk.empty();
    disk.assert_whole(1).await;
    disk.assert_whole(2).await;
    disk.close(1).await.unwrap();
    disk.assert_gone(1).await;
}

/// A removal that was decided is finished before anything else is decided.
#[tokio::test]
async fn a_removal_that_finds_no_more_room_is_finished_before_any_other_step() {
    let disk = Disk::filled().await;
    disk.use_up(1600).await;
    disk.close(1).await.unwrap();
    // It is closed, and rows are left that nobody is shown any more.
    assert!(disk.store.account(account(1)).await.unwrap().is_none());
    assert!(mailbox(&disk.store, 1, 1).await.is_empty());
    assert!(!rows_of(&disk.store, 1).await.is_empty());
    disk.assert_whole(2).await;
    let again = Registration {
        name: "again".parse().unwrap(),
        ..registration(1, &[1])
    };
    let refused = disk.store.register(again).await;
    assert!(
        matches!(refused, Err(StoreError::Busy { .. })),
        "{refused:?}"
    );
    disk.empty();
    register(&disk.store, 3, &[1]).await;
    disk.assert_gone(1).await;
    register(&disk.store, 4, &[1]).await;
    disk.assert_whole(2).await;
}

/// [BOX-22]: what is too old makes room too.
#[tokio::test]
async fn what_is_too_old_goes_on_a_full_disk() {
    let disk = Disk::filled().await;
    let expired = disk.store.expire(LATER).await.unwrap();
    assert_eq!(expired, u64::from(disk.sent) * 2 + 4);
    let counts = disk.store.expired_counts(account(1), device(1)).await;
    assert_eq!(counts.unwrap()[0].count, 1);
    disk.empty();
    assert!(mailbox(&disk.store, 9, 1).await.is_empty());
}
