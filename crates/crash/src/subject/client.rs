// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client's sealed store.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use waxwing_client::sealed_store::SealedStore;
use waxwing_engine::Table;
use waxwing_storage::client::ClientStore;

use super::{Broken, Finding, Subject, broken};
use crate::choice::Choice;
use crate::work::Plant;
use crate::work::client::{
    CHAINS, KEPT, advance, message, message_key, open, open_bare, state_key, step_of,
};

#[derive(Debug, Default, Clone, Copy)]
struct Chain {
    /// The last step whose key left the machine.
    used: u64,
    /// The last step that was given to the store.
    tried: u64,
}

/// The chains as they were used.
#[derive(Debug, Default)]
pub struct ClientSubject {
    plant: Option<Plant>,
    chains: BTreeMap<u8, Chain>,
}

impl ClientSubject {
    /// A store that nothing was done with.
    #[must_use]
    pub fn new(plant: Option<Plant>) -> Self {
        Self {
            plant,
            ..Self::default()
        }
    }

    async fn judge<S: ClientStore>(
        &self,
        store: SealedStore<S>,
        choice: &mut Choice,
    ) -> Result<(), Finding> {
        let unreadable = |error| (Broken::Refused, format!("cannot be read: {error}"));
        if store.is_behind() {
            return broken(Broken::Refused, "the store knows that it has lost commits");
        }
        let tables = [Table::Sessions, Table::Messages];
        let rows = store.snapshot(&tables).map_err(unreadable)?;
        let mut rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        let mut steps = [0; CHAINS as usize];
        for chain in 0..CHAINS {
            let known = self.chains.get(&chain).copied().unwrap_or_default();
            let step = match rows.remove(&state_key(chain)) {
                Some(row) => step_of(&row).map_err(|error| (Broken::Wrong, error.to_string()))?,
                None => 0,
            };
            if step < known.used {
                let what = format!(
                    "chain {chain} stands at {step}, and the key of {} was used",
                    known.used
                );
                return broken(Broken::UsedTwice, what);
            }
            if step > known.tried {
                return broken(Broken::Wrong, format!("chain {chain} stands at {step}"));
            }
            for one in (step + 1).saturating_sub(KEPT).max(1)..=step {
                match rows.remove(&message_key(chain, one)) {
                    Some(row) if *row.value == message(chain, one) => {}
                    Some(_) => {
                        return broken(Broken::Wrong, format!("message {one} of {chain}"));
                    }
                    None => {
                        return broken(Broken::Lost, format!("message {one} of chain {chain}"));
                    }
                }
            }
            steps[usize::from(chain)] = step;
        }
        // What is left was deleted, or comes from a batch whose state is not there.
        if let Some(key) = rows.keys().next() {
            let chain = key.scope.first().copied().unwrap_or_default();
            let step = steps.get(usize::from(chain)).copied().unwrap_or_default();
            let kind = if key.order <= step {
                Broken::ShownAgain
            } else {
                Broken::Wrong
            };
            return broken(kind, format!("row {} of chain {chain}", key.order));
        }
        let mut rng = ChaCha20Rng::from_seed(choice.bytes(32).try_into().unwrap_or([0; 32]));
        let batch = advance(0, steps[0] + 1);
        let durable = store.apply(&batch, &mut rng).map_err(unreadable)?;
        durable
            .await
            .map_err(|error| (Broken::Refused, format!("cannot be written: {error}")))
    }
}

impl Subject for ClientSubject {
    fn hear(&mut self, line: &str) -> Result<()> {
        if line == "open" {
            return Ok(());
        }
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let chain = words.next().context("no chain")?.parse()?;
        let step = words.next().context("no step")?.parse()?;
        let chain = self.chains.entry(chain).or_default();
        match name {
            // A process that starts again takes the numbers of batches that were lost.
            "use?" => chain.tried = chain.tried.max(step),
            "use" => chain.used = chain.used.max(step),
            _ => bail!("unknown line: {line}"),
        }
        Ok(())
    }

    async fn check(&self, folder: &Path, choice: &mut Choice) -> Result<(), Finding> {
        let refused = |error: anyhow::Error| (Broken::Refused, format!("{error:#}"));
        match self.plant {
            Some(Plant::Unguarded) => {
                let store = open_bare(folder).await.map_err(refused)?;
                self.judge(store, choice).await
            }
            _ => {
                let store = open(folder, None).await.map_err(refused)?;
                self.judge(store, choice).await?;
                // What was written after the power cut is there after a clean restart.
                if choice.chance(1, 8) {
                    let again = open(folder, None).await.map_err(refused)?;
                    let rows = again.snapshot(&[Table::Sessions]);
                    let rows = rows.map_err(|error| (Broken::Refused, error.to_string()))?;
                    if !rows.iter().any(|row| row.key == state_key(0)) {
                        return broken(Broken::Lost, "a batch of after the power cut");
                    }
                }
                Ok(())
            }
        }
    }
}
