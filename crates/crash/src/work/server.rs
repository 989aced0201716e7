// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Work on a server's store: mailboxes filled and emptied, prekeys taken, ids made and revoked.
//!
//! Lines: `NAME? …` before a step and `NAME …` after its acknowledgement.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::task::JoinSet;
use waxwing_proto::EnvelopeId;
use waxwing_storage::conformance::world::{
    TODAY, account, contact_id, device, publication, registration,
};
use waxwing_storage::embedded::files::{EngineKind, open_server};
use waxwing_storage::embedded::{EmbeddedStore, ServerLimits, ServerOptions};
use waxwing_storage::server::{AddressedEnvelope, Append, Position, Store, StoredEnvelope};

use super::{Marks, Plant, Task, files};
use crate::bare::BareSled;
use crate::choice::Choice;

/// Accounts with one device each.
pub const ACCOUNTS: u8 = 3;
/// The delivery id that everything is sent to; ids above it are made and revoked.
pub const MAIN_ID: u8 = 0;

/// How the store is opened.
#[must_use]
pub fn options() -> ServerOptions {
    ServerOptions {
        limits: ServerLimits::default(),
        new_name_key: [0x5a; 32],
    }
}

/// Opens the guarded store.
///
/// # Errors
/// The store's.
pub async fn open(folder: &Path, engine: EngineKind, plant: Option<Plant>) -> Result<impl Store> {
    Ok(open_server(folder, options(), files(engine, plant)).await?)
}

/// Opens the unguarded store.
///
/// # Errors
/// The store's.
pub async fn open_bare(folder: &Path) -> Result<EmbeddedStore<BareSled>> {
    Ok(EmbeddedStore::open(BareSled::open(folder)?, options()).await?)
}

/// The envelope of a message, which nothing else has.
#[must_use]
pub fn envelope(number: u8, message: u32) -> Bytes {
    let mut choice = Choice::new(u64::from(number), u64::from(message));
    let length = 64 + choice.place(3000);
    Bytes::from(choice.bytes(length))
}

/// The id of the envelope of a message.
#[must_use]
pub fn envelope_id(message: u32) -> EnvelopeId {
    let mut id = [0xe0; 16];
    id[..4].copy_from_slice(&message.to_be_bytes());
    EnvelopeId::new(id)
}

/// The sending of one message.
#[must_use]
pub fn sending(number: u8, message: u32) -> Append {
    Append {
        delivery_id: contact_id(number, MAIN_ID),
        manifest_version: 1,
        envelopes: vec![AddressedEnvelope {
            device: device(1),
            envelope_id: envelope_id(message),
            envelope: envelope(number, message),
        }],
        today: TODAY,
    }
}

/// Everything in a mailbox.
///
/// # Errors
/// The store's.
pub async fn mailbox<S: Store>(store: &S, number: u8) -> Result<Vec<StoredEnvelope>> {
    let mut all: Vec<StoredEnvelope> = Vec::new();
    loop {
        let after = all.last().map_or(Position::START, |last| last.position);
        let more = store
            .read(account(number), device(1), after, 64, 256 * 1024)
            .await?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

/// Does a task in a folder.
///
/// # Errors
/// The store's.
pub async fn run(folder: &Path, engine: EngineKind, task: Task, marks: Marks) -> Result<()> {
    match task.plant {
        Some(Plant::Unguarded) => work(open_bare(folder).await?, task, marks).await,
        plant => work(open(folder, engine, plant).await?, task, marks).await,
    }
}

async fn work<S: Store>(store: S, task: Task, marks: Marks) -> Result<()> {
    marks.say("open")?;
    let store = Arc::new(store);
    for number in 1..=ACCOUNTS {
        prepare(store.as_ref(), number, &marks).await?;
    }
    let mut workers = JoinSet::new();
    for worker in 0..task.workers {
        let (store, marks) = (Arc::clone(&store), marks.clone());
        workers.spawn(async move {
            let mut worker = Worker::new(task, worker);
            for _ in 0..task.steps {
                worker.step(store.as_ref(), &marks).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.context("a worker panicked")??;
    }
    Ok(())
}

async fn prepare<S: Store>(store: &S, number: u8, marks: &Marks) -> Result<()> {
    marks.say(&format!("register? {number}"))?;
    store.register(registration(number, &[1])).await??;
    marks.say(&format!("register {number}"))?;
    let ids = vec![contact_id(number, MAIN_ID)];
    marks.say(&format!("create? {number} {MAIN_ID}"))?;
    store.create_delivery_ids(account(number), ids).await??;
    marks.say(&format!("create {number} {MAIN_ID}"))?;
    Ok(())
}

/// One of the workers.
struct Worker {
    choice: Choice,
    worker: u32,
    /// The number of the next step, which no other worker of any process uses.
    next: u32,
}

impl Worker {
    fn new(task: Task, worker: u32) -> Self {
        let stream = u64::from(task.process) << 32 | u64::from(worker);
        Self {
            choice: Choice::new(task.seed, stream),
            worker,
            next: (task.process * 64 + worker) * 0x1_0000,
        }
    }

    async fn step<S: Store>(&mut self, store: &S, marks: &Marks) -> Result<()> {
        self.next += 1;
        let number = 1 + u8::try_from(self.choice.below(u64::from(ACCOUNTS)))?;
        match self.choice.below(20) {
            0..6 => append(store, marks, &[(number, self.next)]).await,
            6..11 => self.append_together(store, marks, number).await,
            11..16 => self.acknowledge(store, marks, number).await,
            16 => publish(store, marks, number, self.next).await,
            17 => take(store, marks, number).await,
            18 => generation(store, marks, number, self.next).await,
            _ => self.create_and_revoke(store, marks, number).await,
        }
    }

    /// Some messages, to this account and to others.
    async fn append_together<S: Store>(
        &mut self,
        store: &S,
        marks: &Marks,
        number: u8,
    ) -> Result<()> {
        let mut messages = vec![(number, self.next)];
        for _ in 0..1 + self.choice.place(4) {
            self.next += 1;
            let number = match self.choice.chance(1, 2) {
                true => number,
                false => 1 + u8::try_from(self.choice.below(u64::from(ACCOUNTS)))?,
            };
            messages.push((number, self.next));
        }
        append(store, marks, &messages).await
    }

    async fn acknowledge<S: Store>(&mut self, store: &S, marks: &Marks, number: u8) -> Result<()> {
        let to = (account(number), device(1));
        let found = store
            .read(to.0, to.1, Position::START, 16, usize::MAX)
            .await?;
        // Sometimes the oldest ones, sometimes one of the middle.
        let some: Vec<Position> = if self.choice.chance(1, 2) {
            let count = 1 + self.choice.place(8);
            found.iter().take(count).map(|one| one.position).collect()
        } else {
            let which = self.choice.place(found.len());
            found
                .get(which)
                .map(|one| one.position)
                .into_iter()
                .collect()
        };
        for position in &some {
            marks.say(&format!("delete? {number} {}", position.0))?;
        }
        store.acknowledge(to.0, to.1, some.clone()).await?;
        for position in &some {
            marks.say(&format!("delete {number} {}", position.0))?;
        }
        Ok(())
    }

    async fn create_and_revoke<S: Store>(
        &mut self,
        store: &S,
        marks: &Marks,
        number: u8,
    ) -> Result<()> {
        // Each worker of each process has ids of its own.
        let own = u8::try_from(1 + self.worker * 8 + (self.next / 0x1_0000 / 64) % 8)?;
        let id = vec![contact_id(number, own)];
        marks.say(&format!("create? {number} {own}"))?;
        store
            .create_delivery_ids(account(number), id.clone())
            .await??;
        marks.say(&format!("create {number} {own}"))?;
        if self.choice.chance(1, 2) {
            marks.say(&format!("revoke? {number} {own}"))?;
            store.revoke_delivery_ids(account(number), id).await?;
            marks.say(&format!("revoke {number} {own}"))?;
        }
        Ok(())
    }
}

async fn append<S: Store>(store: &S, marks: &Marks, messages: &[(u8, u32)]) -> Result<()> {
    for (number, message) in messages {
        marks.say(&format!("put? {number} {message}"))?;
    }
    let sendings = messages.iter();
    let sendings = sendings.map(|(number, message)| sending(*number, *message));
    let answers = store.append_all(sendings.collect()).await;
    for ((number, message), appended) in messages.iter().zip(answers) {
        let appended = appended??;
        let [(_, position)] = appended.stored.as_slice() else {
            bail!("a new message was taken for an old one");
        };
        marks.say(&format!("put {number} {message} {}", position.0))?;
    }
    Ok(())
}

async fn publish<S: Store>(store: &S, marks: &Marks, number: u8, first: u32) -> Result<()> {
    let status = store.prekey_status(account(number), device(1)).await?;
    if status.one_time_remaining > 60 {
        return Ok(());
    }
    // The store passes over ids that are not above all earlier ones, so the answer says which
    // ones it took only when nobody else publishes at the same time; the marks claim none.
    marks.say(&format!("publish? {number} {first}"))?;
    let pairs = publication(first * 4, first * 4 + 3);
    store
        .publish_prekeys(account(number), device(1), pairs)
        .await??;
    marks.say(&format!("publish {number} {first}"))?;
    Ok(())
}

async fn take<S: Store>(store: &S, marks: &Marks, number: u8) -> Result<()> {
    marks.say(&format!("take? {number}"))?;
    let taken = store.take_prekeys(account(number), vec![]).await??;
    for bundle in taken.bundles {
        if let Some(pair) = bundle.one_time_pair {
            let pair = String::from_utf8_lossy(&pair).into_owned();
            marks.say(&format!("take {number} {pair}"))?;
        }
    }
    Ok(())
}

async fn generation<S: Store>(store: &S, marks: &Marks, number: u8, next: u32) -> Result<()> {
    marks.say(&format!("generation? {number} {next}"))?;
    let advanced = store
        .advance_generation(account(number), device(1), u64::from(next))
        .await?;
    // A higher one of another worker may be there already.
    if advanced.is_ok() {
        marks.say(&format!("generation {number} {next}"))?;
    }
    Ok(())
}
