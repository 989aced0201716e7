// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server's store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use waxwing_storage::conformance::world::{account, contact_id};
use waxwing_storage::embedded::files::EngineKind;
use waxwing_storage::server::{Position, Store};

use super::mailbox::KnownMailbox;
use super::{Broken, Finding, Subject, broken};
use crate::choice::Choice;
use crate::work::Plant;
use crate::work::server::{ACCOUNTS, MAIN_ID, envelope_id, mailbox, open, open_bare, sending};

/// A delivery id's life.
#[derive(Debug, Default, Clone, Copy)]
struct Id {
    /// Whether its last change was acknowledged; if not, both answers are right.
    is_settled: bool,
    is_valid: bool,
}

#[derive(Debug, Default)]
struct Known {
    is_registered: bool,
    mailbox: KnownMailbox,
    taken: BTreeSet<String>,
    publications: BTreeSet<u32>,
    generation: u64,
    generation_tried: u64,
    ids: BTreeMap<u8, Id>,
}

/// Accounts and mailboxes as they were acknowledged.
#[derive(Debug, Default)]
pub struct ServerSubject {
    engine: EngineKind,
    plant: Option<Plant>,
    accounts: BTreeMap<u8, Known>,
}

/// A message that only the checks send.
const LATE: u32 = u32::MAX;

impl ServerSubject {
    /// A store that nothing was done with.
    #[must_use]
    pub fn new(engine: EngineKind, plant: Option<Plant>) -> Self {
        Self {
            engine,
            plant,
            ..Self::default()
        }
    }

    async fn judge<S: Store>(&self, store: &S) -> Result<(), Finding> {
        for number in 1..=ACCOUNTS {
            let Some(known) = self.accounts.get(&number) else {
                continue;
            };
            let found = store.account(account(number)).await.map_err(failed)?;
            let Some(found) = found else {
                if known.is_registered {
                    return broken(Broken::Lost, format!("account {number}"));
                }
                continue;
            };
            let generation = found.devices.first().map_or(0, |device| device.generation);
            if generation < known.generation {
                let what = format!("generation {generation} after {}", known.generation);
                return broken(Broken::UsedTwice, what);
            }
            if generation > known.generation_tried {
                return broken(Broken::Wrong, format!("generation {generation}"));
            }
            known.judge_mailbox(store, number).await?;
            known.judge_ids(store, number).await?;
            known.judge_prekeys(store, number).await?;
        }
        Ok(())
    }
}

/// Whether the rows in a folder did not open, and were made anew.
#[must_use]
pub fn was_rebuilt(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains(".refused-"))
    })
}

fn failed(error: impl core::fmt::Display) -> Finding {
    (Broken::Refused, format!("after opening: {error}"))
}

impl Known {
    async fn judge_mailbox<S: Store>(&self, store: &S, number: u8) -> Result<(), Finding> {
        let found = mailbox(store, number).await.map_err(failed)?;
        let messages = self.mailbox.judge(number, &found)?;
        // Where the mailbox can be written to, its next position is a new one.
        if self
            .ids
            .get(&MAIN_ID)
            .is_some_and(|id| id.is_settled && id.is_valid)
        {
            let appended = store.append(sending(number, LATE)).await.map_err(failed)?;
            let appended = appended.map_err(failed)?;
            let next = appended.stored.first().map(|(_, Position(next))| *next);
            let highest = self.mailbox.highest();
            if next.is_none_or(|next| next <= highest) {
                let what = format!("position {next:?} of mailbox {number} after {highest}");
                return broken(Broken::UsedTwice, what);
            }
            // A sender that heard nothing sends again; what is here, or was here, stays one.
            let here = messages.last().copied();
            let gone = self.mailbox.newest_deleted();
            for message in here.into_iter().chain(gone) {
                let again = store.append(sending(number, message)).await;
                if !again.map_err(failed)?.map_err(failed)?.stored.is_empty() {
                    let what = format!("message {message} of mailbox {number} by a retry");
                    return broken(Broken::Doubled, what);
                }
            }
        }
        Ok(())
    }

    async fn judge_ids<S: Store>(&self, store: &S, number: u8) -> Result<(), Finding> {
        for (id, known) in self.ids.iter().filter(|(_, known)| known.is_settled) {
            let found = store.account_by_delivery_id(contact_id(number, *id)).await;
            let is_valid = found.map_err(failed)?.is_some();
            if is_valid != known.is_valid {
                let kind = if is_valid {
                    Broken::ShownAgain
                } else {
                    Broken::Lost
                };
                return broken(kind, format!("delivery id {id} of account {number}"));
            }
        }
        Ok(())
    }

    async fn judge_prekeys<S: Store>(&self, store: &S, number: u8) -> Result<(), Finding> {
        let mut seen = BTreeSet::new();
        loop {
            let taken = store.take_prekeys(account(number), vec![]).await;
            let taken = taken.map_err(failed)?.map_err(failed)?;
            if taken.bundles.is_empty() && !self.publications.is_empty() {
                return broken(Broken::Lost, format!("the signed pair of account {number}"));
            }
            let pair = taken.bundles.into_iter().find_map(|one| one.one_time_pair);
            let Some(pair) = pair else {
                break;
            };
            let pair = String::from_utf8_lossy(&pair).into_owned();
            if self.taken.contains(&pair) || !seen.insert(pair.clone()) {
                return broken(Broken::UsedTwice, format!("prekey `{pair}` of {number}"));
            }
        }
        Ok(())
    }
}

impl Subject for ServerSubject {
    fn hear(&mut self, line: &str) -> Result<()> {
        if line == "open" {
            return Ok(());
        }
        let (name, rest) = line.split_once(' ').context("a line of one word")?;
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let known = self.accounts.entry(number.parse()?).or_default();
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        if known.mailbox.hear(name, first, second)? {
            return Ok(());
        }
        match name {
            "register?" => {}
            "register" => known.is_registered = true,
            "publish?" => {}
            "publish" => drop(known.publications.insert(first.parse()?)),
            "take?" => {}
            "take" => drop(known.taken.insert(rest.to_owned())),
            "generation?" => known.generation_tried = known.generation_tried.max(first.parse()?),
            "generation" => known.generation = known.generation.max(first.parse()?),
            "create?" | "revoke?" => {
                known.ids.entry(first.parse()?).or_default().is_settled = false;
            }
            "create" | "revoke" => {
                let id = known.ids.entry(first.parse()?).or_default();
                id.is_settled = true;
                id.is_valid = name == "create";
            }
            _ => bail!("unknown line: {line}"),
        }
        Ok(())
    }

    async fn check(&self, folder: &Path, choice: &mut Choice) -> Result<(), Finding> {
        let refused = |error: anyhow::Error| (Broken::Refused, format!("{error:#}"));
        if self.plant == Some(Plant::Unguarded) {
            let store = open_bare(folder).await.map_err(refused)?;
            return self.judge(&store).await;
        }
        let store = open(folder, self.engine, None).await.map_err(refused)?;
        self.judge(&store).await?;
        drop(store);
        // What was written after the power cut is there after a clean restart.
        let main = |known: &Known| {
            let id = known.ids.get(&MAIN_ID);
            id.is_some_and(|id| id.is_settled && id.is_valid)
        };
        if choice.chance(1, 8) && self.accounts.get(&1).is_some_and(main) {
            let store = open(folder, self.engine, None).await.map_err(refused)?;
            let found = mailbox(&store, 1).await.map_err(failed)?;
            if !found.iter().any(|one| one.envelope_id == envelope_id(LATE)) {
                return broken(Broken::Lost, "a message of after the power cut");
            }
        }
        Ok(())
    }
}
