// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Work on a client's sealed store, as the engine does it: a batch holds the advanced state, and
//! only when it is durable the key that it advanced past is used.
//!
//! Lines: `use? CHAIN STEP` when a batch is given to the store, `use CHAIN STEP` when the key of that
//! step leaves the machine.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::task::JoinSet;
use waxwing_client::sealed_store::SealedStore;
use waxwing_crypto::sealing::{MasterKey, StoreKeys};
use waxwing_engine::{Batch, BatchId, Row, RowKey, RowWrite, Table};
use waxwing_storage::client::ClientStore;
use waxwing_storage::embedded::EmbeddedClientStore;
use waxwing_storage::embedded::files::{EngineKind, FileKeyValue, open_client};
use zeroize::Zeroizing;

use super::{Marks, Plant, Task, files};
use crate::bare::BareSled;
use crate::choice::Choice;

/// Chains of keys, each with one state row.
pub const CHAINS: u8 = 4;
/// Messages of a chain that are kept; older ones are deleted.
pub const KEPT: u64 = 5;

/// The sealed store over the guarded one.
pub type Guarded = SealedStore<EmbeddedClientStore<FileKeyValue>>;
/// The sealed store over the unguarded one.
pub type Bare = SealedStore<EmbeddedClientStore<BareSled>>;

fn keys() -> StoreKeys {
    StoreKeys::derive(&MasterKey::generate(&mut ChaCha20Rng::seed_from_u64(1)))
}

/// Opens the guarded store.
///
/// # Errors
/// The store's.
pub async fn open(folder: &Path, plant: Option<Plant>) -> Result<Guarded> {
    let store = open_client(folder, files(EngineKind::Sled, plant)).await?;
    Ok(SealedStore::new(store, keys()))
}

/// Opens the unguarded store.
///
/// # Errors
/// The store's.
pub async fn open_bare(folder: &Path) -> Result<Bare> {
    let store = EmbeddedClientStore::open(BareSled::open(folder)?).await?;
    Ok(SealedStore::new(store, keys()))
}

/// The state row of a chain.
#[must_use]
pub fn state_key(chain: u8) -> RowKey {
    RowKey {
        table: Table::Sessions,
        scope: format!("chain {chain}").into_bytes(),
        order: 0,
    }
}

/// A message of a chain.
#[must_use]
pub fn message_key(chain: u8, step: u64) -> RowKey {
    RowKey {
        table: Table::Messages,
        scope: vec![chain; 32],
        order: step,
    }
}

/// What the message of a step says.
#[must_use]
pub fn message(chain: u8, step: u64) -> Vec<u8> {
    let mut choice = Choice::new(u64::from(chain), step);
    let length = choice.place(1200);
    choice.bytes(length)
}

/// The step that a state row stands at.
///
/// # Errors
/// The row is not one.
pub fn step_of(row: &Row) -> Result<u64> {
    let bytes: [u8; 8] = row.value.as_slice().try_into().context("a state row")?;
    Ok(u64::from_be_bytes(bytes))
}

/// The batch that advances a chain to a step.
#[must_use]
pub fn advance(chain: u8, step: u64) -> Batch {
    let put = |key, value: Vec<u8>| RowWrite {
        key,
        value: Some(Zeroizing::new(value)),
    };
    let mut writes = vec![
        put(state_key(chain), step.to_be_bytes().to_vec()),
        put(message_key(chain, step), message(chain, step)),
    ];
    if let Some(old) = step.checked_sub(KEPT) {
        writes.push(RowWrite {
            key: message_key(chain, old),
            value: None,
        });
    }
    Batch {
        id: BatchId(step),
        writes,
    }
}

/// Does a task in a folder.
///
/// # Errors
/// The store's.
pub async fn run(folder: &Path, task: Task, marks: Marks) -> Result<()> {
    match task.plant {
        Some(Plant::Unguarded) => work(open_bare(folder).await?, task, marks).await,
        plant => work(open(folder, plant).await?, task, marks).await,
    }
}

async fn work<S: ClientStore>(store: SealedStore<S>, task: Task, marks: Marks) -> Result<()> {
    marks.say("open")?;
    let rows = store.snapshot(&[Table::Sessions])?;
    let mut steps = [0_u64; CHAINS as usize];
    for chain in 0..CHAINS {
        if let Some(row) = rows.iter().find(|row| row.key == state_key(chain)) {
            steps[usize::from(chain)] = step_of(row)?;
        }
    }
    let store = Arc::new(store);
    let mut workers = JoinSet::new();
    for chain in 0..CHAINS {
        let (store, marks) = (Arc::clone(&store), marks.clone());
        let mut step = steps[usize::from(chain)];
        workers.spawn(async move {
            let mut choice =
                Choice::new(task.seed, u64::from(task.process) << 8 | u64::from(chain));
            let seed = choice.bytes(32).try_into().unwrap_or([0; 32]);
            let mut rng = ChaCha20Rng::from_seed(seed);
            let mut left = task.steps;
            while left > 0 {
                // Some batches are on their way at once, as when several texts are sent.
                let count = (1 + choice.place(3)).min(usize::try_from(left)?);
                left -= u32::try_from(count)?;
                let mut waiting = Vec::new();
                for _ in 0..count {
                    step += 1;
                    marks.say(&format!("use? {chain} {step}"))?;
                    let durable = store.apply(&advance(chain, step), &mut rng)?;
                    waiting.push((step, durable));
                }
                for (step, durable) in waiting {
                    durable.await?;
                    marks.say(&format!("use {chain} {step}"))?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.context("a worker panicked")??;
    }
    Ok(())
}
