// SPDX-License-Identifier: Apache-2.0 OR MIT
//! This device's prekeys: a signed pair that is made anew every two days and with every manifest
//! version, and one-time pairs that are topped up by the clock.

use std::collections::BTreeMap;

use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{limits, v1};
use waxwing_ratchet::{LocalDevice, PrekeySecret};
use zeroize::Zeroizing;

use crate::account::SignedPairState;
use crate::engine::{Engine, Turn};
use crate::error::EngineError;
use crate::event::RequestFailure;
use crate::keys;
use crate::pending::{OwnCall, Pending};
use crate::row::{Row, Table};
use crate::timers::{Timer, jitter, retry_delay_ms};

/// Age at which the signed pair is replaced, in milliseconds: two days.
const SIGNED_PAIR_AGE_MS: u64 = 2 * 86_400_000;
/// How long a replaced signed pair is kept before the drain that ends it may begin: eight days.
const REPLACED_PAIR_KEPT_MS: u64 = 8 * 86_400_000;
/// How often the number of one-time pairs is looked at, in milliseconds.
const LOOK_MS: u64 = 3_600_000;
/// Publications in a row: enough to fill an empty store and make the signed pair anew. A server that
/// forgets every pair must not keep this device making more.
const ROUNDS_MAX: u32 = 6;

/// The secrets of this device's pairs, by id.
#[derive(Default)]
pub(crate) struct Prekeys {
    pub(crate) secrets: BTreeMap<u32, PrekeySecret>,
    /// When each signed pair was made, by the wall clock.
    made_at_ms: BTreeMap<u32, u64>,
    publishing: bool,
    /// Publications in a row without a rest.
    rounds: u32,
}

impl Prekeys {
    /// Reads a row: the time at which it was made, then the secret.
    pub(crate) fn read(&mut self, row: &Row) -> Result<(), EngineError> {
        let corrupt = EngineError::CorruptRow(Table::Prekeys);
        let (made_at, secret) = row.value.split_first_chunk::<8>().ok_or(corrupt)?;
        let secret = PrekeySecret::decode(secret).map_err(|_| corrupt)?;
        if secret.head().is_some() {
            self.made_at_ms
                .insert(secret.id(), u64::from_be_bytes(*made_at));
        }
        self.secrets.insert(secret.id(), secret);
        Ok(())
    }

    /// The secret of a pair.
    pub(crate) fn get(&self, id: u32) -> Option<&PrekeySecret> {
        self.secrets.get(&id)
    }

    fn one_time_ids(&self) -> Vec<u32> {
        self.secrets
            .values()
            .filter(|secret| secret.head().is_none())
            .map(PrekeySecret::id)
            .collect()
    }

    /// Signed pairs whose replacement was made before `moment_ms`.
    fn replaced_before(&self, moment_ms: u64) -> Vec<u32> {
        self.made_at_ms
            .iter()
            .zip(self.made_at_ms.iter().skip(1))
            .filter(|(_, (_, replaced_at))| **replaced_at <= moment_ms)
            .map(|((id, _), _)| *id)
            .collect()
    }
}

fn row_value(made_at_ms: u64, secret: &PrekeySecret) -> Zeroizing<Vec<u8>> {
    let encoded = secret.encode();
    let mut value = Zeroizing::new(Vec::with_capacity(encoded.len().saturating_add(8)));
    value.extend_from_slice(&made_at_ms.to_be_bytes());
    value.extend_from_slice(&encoded);
    value
}

impl Engine {
    pub(crate) fn ask_prekey_status(&mut self) {
        if self.connection.subscribed {
            self.account_request(
                Call::PrekeyStatus(v1::PrekeyStatusRequest {}),
                Pending::Own(OwnCall::PrekeyStatus),
            );
        }
    }

    pub(crate) fn check_prekeys(&mut self, turn: &Turn<'_>) {
        self.timers.set(Timer::Prekeys, turn.after_ms(LOOK_MS));
        if !self.prekeys.publishing {
            self.ask_prekey_status();
        }
    }

    pub(crate) fn prekey_status(
        &mut self,
        turn: &mut Turn<'_>,
        outcome: Result<Reply, RequestFailure>,
    ) {
        match outcome {
            Ok(Reply::PrekeyStatus(status)) => {
                self.connection.one_time_prekeys = Some(status.one_time_remaining);
                self.publish(turn, status.one_time_remaining, status.signed_pair_id);
            }
            Err(RequestFailure::Link(_)) => {}
            _ => self.publish_later(turn),
        }
    }

    fn publish_later(&mut self, turn: &mut Turn<'_>) {
        self.prekeys.publishing = false;
        self.prekeys.rounds = 0;
        let delay = retry_delay_ms(turn.rng, 5);
        self.timers.set(Timer::Prekeys, turn.after_ms(delay));
    }

    /// Publishes what is due. The secrets are durable before the server has the public halves.
    fn publish(&mut self, turn: &mut Turn<'_>, remaining: u32, server_signed_id: u32) {
        // PRE-8.
        let Some(account) = &self.account else { return };
        let version = self
            .own_manifest()
            .map_or(0, waxwing_identity::DeviceManifest::version);
        let state = account.signed_pair;
        let signed_due = state.id == 0
            || state.id != server_signed_id
            || state.manifest_version != version
            || turn.now.wall_ms.abs_diff(state.made_at_ms) >= SIGNED_PAIR_AGE_MS;
        let wanted = limits::ONE_TIME_PREKEYS_MAX
            .saturating_sub(usize::try_from(remaining).unwrap_or(usize::MAX))
            .min(limits::PREKEYS_PER_PUBLICATION_MAX);
        if self.prekeys.rounds >= ROUNDS_MAX {
            self.publish_later(turn);
            return;
        }
        if !signed_due && wanted == 0 {
            self.prekeys.rounds = 0;
            self.prekeys.publishing = false;
            self.registration_complete();
            let delay = jitter(turn.rng, LOOK_MS >> 1, LOOK_MS);
            self.timers.set(Timer::Prekeys, turn.after_ms(delay));
            return;
        }
        let Some(request) = self.make_pairs(turn, signed_due, wanted) else {
            self.publish_later(turn);
            return;
        };
        self.prekeys.publishing = true;
        self.prekeys.rounds = self.prekeys.rounds.saturating_add(1);
        self.account_request(
            Call::PublishPrekeys(request),
            Pending::Own(OwnCall::PublishPrekeys),
        );
    }

    fn make_pairs(
        &mut self,
        turn: &mut Turn<'_>,
        signed_due: bool,
        wanted: usize,
    ) -> Option<v1::PublishPrekeysRequest> {
        // PRE-4.
        let account = self.account.as_mut()?;
        let manifest = self.own_manifests.last()?;
        let now_seconds = turn.now.wall_ms.checked_div(1000)?;
        let mut request = v1::PublishPrekeysRequest::default();
        let mut secrets = Vec::new();
        let mut next_id = account.next_prekey_id;
        let own = LocalDevice {
            account: account.key?,
            device: account.device,
            secrets: &account.secrets,
            manifest,
        };
        if signed_due {
            let (secret, pair) =
                PrekeySecret::generate_signed(&own, next_id, now_seconds, turn.rng).ok()?;
            request.signed_pair = pair.as_bytes().clone();
            account.signed_pair = SignedPairState {
                id: next_id,
                made_at_ms: turn.now.wall_ms,
                manifest_version: manifest.version(),
            };
            next_id = next_id.checked_add(1)?;
            self.prekeys
                .made_at_ms
                .insert(secret.id(), turn.now.wall_ms);
            secrets.push(secret);
        }
        for _ in 0..wanted {
            let own = LocalDevice {
                account: account.key?,
                device: account.device,
                secrets: &account.secrets,
                manifest,
            };
            let (secret, pair) =
                PrekeySecret::generate_one_time(&own, next_id, now_seconds, turn.rng).ok()?;
            request.one_time_pairs.push(pair.as_bytes().clone());
            next_id = next_id.checked_add(1)?;
            secrets.push(secret);
        }
        account.next_prekey_id = next_id;
        for secret in secrets {
            self.journal.put(
                keys::prekey(secret.id()),
                row_value(turn.now.wall_ms, &secret),
            );
            self.prekeys.secrets.insert(secret.id(), secret);
        }
        let one_time = self.prekeys.one_time_ids();
        // PRE-16.
        let excess = one_time.len().saturating_sub(limits::ONE_TIME_SECRETS_MAX);
        for id in one_time.into_iter().take(excess) {
            self.forget_prekey(id);
        }
        self.save_account();
        Some(request)
    }

    pub(crate) fn prekeys_published(
        &mut self,
        turn: &mut Turn<'_>,
        outcome: Result<Reply, RequestFailure>,
    ) {
        self.prekeys.publishing = false;
        match outcome {
            Ok(Reply::PublishPrekeys(reply)) => {
                self.connection.one_time_prekeys = Some(reply.one_time_remaining);
                self.registration_complete();
                let signed = self
                    .account
                    .as_ref()
                    .map_or(0, |account| account.signed_pair.id);
                self.publish(turn, reply.one_time_remaining, signed);
            }
            Err(RequestFailure::Link(_)) => {}
            _ => self.publish_later(turn),
        }
    }

    /// Destroys the secret of a pair.
    pub(crate) fn forget_prekey(&mut self, id: u32) {
        if self.prekeys.secrets.remove(&id).is_some() {
            self.prekeys.made_at_ms.remove(&id);
            self.journal.delete(keys::prekey(id));
        }
    }

    /// The mailbox was empty once since `began_at_ms`: what nobody can use any more is destroyed.
    pub(crate) fn forget_replaced_prekeys(&mut self, began_at_ms: u64) {
        // PRE-17, SES-18.
        let moment = began_at_ms.saturating_sub(REPLACED_PAIR_KEPT_MS);
        for id in self.prekeys.replaced_before(moment) {
            self.forget_prekey(id);
        }
        self.sessions
            .forget_handshakes(&mut self.journal, &self.prekeys);
    }
}
