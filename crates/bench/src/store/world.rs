// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A store with accounts of which each has one mailbox, and what is done with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, EnvelopeId};
use waxwing_storage::server::{
    AddressedEnvelope, Append, ManifestHead, ManifestVersion, Position, Registration, Store,
};
use waxwing_storage::{Day, Minute};

/// Bytes of an envelope.
pub(super) const BODY: usize = 1024;
/// Accounts with one mailbox each; as many writers at most.
pub(super) const MAILBOXES: u32 = 2048;
/// Envelopes that a device reads and acknowledges at once.
const WINDOW: usize = 16;
const TODAY: Day = Day(20_000);

fn account(number: u32) -> AccountKey {
    let mut key = [0xac; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    AccountKey::new(key)
}

const DEVICE: DeviceId = DeviceId::new([1; 16]);

fn delivery_id(number: u32, kind: u8) -> DeliveryId {
    let mut id = [kind; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    DeliveryId::new(id)
}

fn envelope_id(number: u64) -> EnvelopeId {
    let mut id = [0xe0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    EnvelopeId::new(id)
}

/// An envelope that no engine can compress.
pub(super) fn body(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut body = Vec::with_capacity(BODY);
    while body.len() < BODY {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend_from_slice(&state.to_le_bytes());
    }
    body
}

/// A store with accounts, and what wakes the devices that are connected.
pub(super) struct World<S> {
    store: Arc<S>,
    wakes: Arc<Vec<Notify>>,
    next: Arc<AtomicU64>,
}

impl<S> Clone for World<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            wakes: Arc::clone(&self.wakes),
            next: Arc::clone(&self.next),
        }
    }
}

impl<S: Store> World<S> {
    /// Registers the accounts.
    pub(super) async fn new(store: Arc<S>) -> Result<Self> {
        let mut tasks = JoinSet::new();
        for number in 0..MAILBOXES {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let registration = Registration {
                    account: account(number),
                    name: format!("user-{number}").parse()?,
                    manifest: ManifestVersion {
                        head: ManifestHead {
                            version: 1,
                            hash: [1; 32],
                        },
                        devices: vec![DEVICE],
                        bytes: Bytes::from_static(b"manifest"),
                    },
                    public_delivery_id: delivery_id(number, 1),
                    own_delivery_id: delivery_id(number, 2),
                    invite: None,
                    open: true,
                    now: Minute::from(TODAY),
                };
                store.register(registration).await??;
                let ids = vec![delivery_id(number, 3)];
                store.create_delivery_ids(account(number), ids).await??;
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(Self {
            store,
            wakes: Arc::new((0..MAILBOXES).map(|_| Notify::new()).collect()),
            next: Arc::default(),
        })
    }

    /// A store that is filled already.
    pub(super) fn reopened(store: Arc<S>) -> Self {
        Self {
            store,
            wakes: Arc::default(),
            next: Arc::default(),
        }
    }

    /// Whether a mailbox delivers something.
    pub(super) async fn first(&self, mailbox: u32) -> Result<bool> {
        let read = self
            .store
            .read(account(mailbox), DEVICE, Position::START, 1, usize::MAX);
        Ok(!read.await?.is_empty())
    }

    /// Stores messages, as many in each mailbox, before anything is measured.
    pub(super) async fn fill(&self, live: u32) -> Result<()> {
        let mut tasks = JoinSet::new();
        for writer in 0..256_u32.min(live) {
            let world = self.clone();
            tasks.spawn(async move {
                let mut number = writer;
                while number < live {
                    world.append(number % MAILBOXES).await?;
                    number += 256;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Reads and acknowledges all that nine mailboxes in ten hold; how much that was.
    pub(super) async fn empty_nine_in_ten(&self) -> Result<u32> {
        let mut deleted = 0;
        for mailbox in (0..MAILBOXES).filter(|mailbox| !mailbox.is_multiple_of(10)) {
            loop {
                let count = self.drain(mailbox).await?;
                if count == 0 {
                    break;
                }
                deleted += u32::try_from(count)?;
            }
        }
        Ok(deleted)
    }

    /// Appends an envelope to a mailbox.
    pub(super) async fn append(&self, mailbox: u32) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let append = Append {
            delivery_id: delivery_id(mailbox, 3),
            manifest_version: 1,
            envelopes: vec![AddressedEnvelope {
                device: DEVICE,
                envelope_id: envelope_id(number),
                envelope: Bytes::from(body(number)),
            }],
            today: TODAY,
        };
        let appended = self.store.append(append).await??;
        anyhow::ensure!(appended.stored.len() == 1, "an envelope was not stored");
        if let Some(wake) = self.wakes.get(usize::try_from(mailbox)?) {
            wake.notify_one();
        }
        Ok(())
    }

    /// Reads a window of a mailbox and acknowledges it.
    pub(super) async fn drain(&self, mailbox: u32) -> Result<usize> {
        let from = account(mailbox);
        let read = self
            .store
            .read(from, DEVICE, Position::START, WINDOW, usize::MAX);
        let positions: Vec<Position> = read.await?.iter().map(|one| one.position).collect();
        let count = positions.len();
        self.store.acknowledge(from, DEVICE, positions).await?;
        Ok(count)
    }
}
