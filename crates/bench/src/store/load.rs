// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The work of many senders at once, the same on both sides.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, EnvelopeId};
use waxwing_storage::server::{
    AddressedEnvelope, Append, ManifestHead, ManifestVersion, Position, Registration, Store,
};
use waxwing_storage::{Day, Minute};

use super::bare_log::BareLog;
use super::device::Told;
use super::machine;

/// Bytes of an envelope.
pub(super) const BODY: usize = 1024;
/// Accounts with one mailbox each.
const MAILBOXES: u32 = 2048;
/// Envelopes that a device reads and acknowledges at once.
const WINDOW: usize = 16;
/// What an acknowledgement of a window takes in a log.
const ACKNOWLEDGEMENT: usize = 32;
const TODAY: Day = Day(20_000);

/// What the writers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Append.
    Append,
    /// Append, and read and acknowledge as many.
    Steady,
    /// The same, and one mailbox in ten is never read.
    OneInTen,
}

/// How much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) kind: Kind,
    pub(super) writers: u32,
    pub(super) seconds: u32,
    /// Messages that are stored before it is measured.
    pub(super) live: u32,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    appended: f64,
    seconds: f64,
    cpu: f64,
    /// Bytes to the device for each byte appended, and messages for each flush of it, in the last two thirds.
    pub(super) written_each: f64,
    pub(super) batch: f64,
    /// Messages a second in the last and in the second third.
    pub(super) last_third: f64,
    pub(super) second_third: f64,
}

impl Sample {
    /// Messages a second.
    pub(super) fn rate(&self) -> f64 {
        self.appended / self.seconds
    }

    /// Processor time for each message, in microseconds.
    pub(super) fn cpu_us_each(&self) -> f64 {
        self.cpu * 1e6 / self.appended
    }
}

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
fn body(number: u64) -> Vec<u8> {
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

    async fn append(&self, mailbox: u32) -> Result<()> {
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

impl Load {
    /// On the server's store.
    pub(super) async fn on_store<S: Store>(
        self,
        world: &World<S>,
        folder: &Path,
    ) -> Result<Sample> {
        world.fill(self.live).await?;
        let kind = self.kind;
        let world = world.clone();
        let round = move |writer: u32, turn: u64| {
            let world = world.clone();
            async move {
                // Up to 128 writers have mailboxes of their own, so that each is drained in order.
                let mailbox = (writer.wrapping_mul(16) + u32::try_from(turn % 16)?) % MAILBOXES;
                world.append(mailbox).await?;
                if kind != Kind::Append && turn % 16 == 15 {
                    let which = u32::try_from(turn / 16 % 16)?;
                    let mailbox = (writer.wrapping_mul(16) + which) % MAILBOXES;
                    if kind == Kind::Steady || !mailbox.is_multiple_of(10) {
                        world.drain(mailbox).await?;
                    }
                }
                anyhow::Ok(())
            }
        };
        self.measure(folder, round).await
    }

    /// On the bare log, where an acknowledgement is a small record and reading is nothing.
    pub(super) async fn on_bare_log(self, log: &Arc<BareLog>, folder: &Path) -> Result<Sample> {
        let kind = self.kind;
        let log = Arc::clone(log);
        let round = move |writer: u32, turn: u64| {
            let log = Arc::clone(&log);
            async move {
                log.append(&body(u64::from(writer) << 32 | turn)).await?;
                if kind != Kind::Append && turn % 16 == 15 {
                    log.append(&[0xac; ACKNOWLEDGEMENT]).await?;
                }
                anyhow::Ok(())
            }
        };
        self.measure(folder, round).await
    }

    async fn measure<F>(
        self,
        folder: &Path,
        round: impl Fn(u32, u64) -> F + Clone + Send + 'static,
    ) -> Result<Sample>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let done = Arc::new(AtomicBool::new(false));
        let appended = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        let (cpu, began) = (machine::cpu(), machine::now());
        for writer in 0..self.writers {
            let (round, done, appended) = (round.clone(), Arc::clone(&done), Arc::clone(&appended));
            tasks.spawn(async move {
                for turn in 0_u64.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    round(writer, turn).await?;
                    appended.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        // The watch is a thread of its own, so that a busy runtime does not make it late.
        let count = Arc::clone(&appended);
        let third = std::time::Duration::from_secs_f64(f64::from(self.seconds) / 3.0);
        let folder = folder.to_owned();
        let watch = std::thread::spawn(move || {
            let mut marks = vec![Mark::now(&count, &folder)];
            for _ in 0..3 {
                let until = machine::now() + third.as_secs_f64();
                while machine::now() < until {
                    std::thread::park_timeout(std::time::Duration::from_millis(5));
                }
                marks.push(Mark::now(&count, &folder));
            }
            done.store(true, Ordering::Relaxed);
            marks.into_iter().collect::<Result<Vec<_>>>()
        });
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let seconds = machine::now() - began;
        let marks = watch.join().ok().context("the watch panicked")??;
        let [_, first, second, third] = marks.as_slice() else {
            anyhow::bail!("the watch ended early");
        };
        // What is made once, at the beginning, is not what goes on.
        let later = third.count - first.count;
        Ok(Sample {
            appended: appended.load(Ordering::Relaxed) as f64,
            seconds,
            cpu: machine::cpu() - cpu,
            written_each: (third.told.bytes - first.told.bytes) / (later * BODY as f64),
            batch: later / (third.told.flushes - first.told.flushes),
            last_third: third.rate_since(second),
            second_third: second.rate_since(first),
        })
    }
}

/// A moment of a run.
struct Mark {
    at: f64,
    /// Messages that were appended.
    count: f64,
    told: Told,
}

impl Mark {
    fn now(count: &AtomicU64, folder: &Path) -> Result<Self> {
        Ok(Self {
            at: machine::now(),
            count: count.load(Ordering::Relaxed) as f64,
            told: Told::of(folder)?,
        })
    }

    fn rate_since(&self, earlier: &Self) -> f64 {
        (self.count - earlier.count) / (self.at - earlier.at)
    }
}
