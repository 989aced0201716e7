// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The account's connection: from a fresh link to an authenticated, subscribed one.
//!
//! `LinkUp` → (registration or recovery, while one is under way) → authentication → generation →
//! prekeys and subscription. The generation is compared and advanced before anything is sent: a
//! device whose store was restored or copied finds out here and stops (PAIRWISE, "Keys").

use std::collections::VecDeque;

use waxwing_identity::authentication::{authentication_signable, generation_signable};
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{DeliveryId, KeyPin, limits, v1};

use crate::account::Account;
use crate::command::CommandId;
use crate::effect::{Effect, Plane};
use crate::engine::{Engine, Turn};
use crate::event::{LinkFailure, RequestFailure};
use crate::notice::{AlarmKind, Notice};
use crate::pending::{AccountCall, Pending};
use crate::timers::{Timer, jitter, retry_delay_ms};

/// Clocks further apart than this are shown, in milliseconds.
const CLOCK_SKEW_MS_MAX: u64 = 5 * 60 * 1000;
/// How long after coming online versions are asked for that would end an alarm, in milliseconds.
const SUCCESSORS_AFTER_MS: (u64, u64) = (30_000, 300_000);

/// How far the account's connection is.
#[derive(Default)]
pub(crate) struct Connection {
    /// The exporter value of the connection that is up.
    pub(crate) exporter: Option<[u8; 32]>,
    /// The key that the server proved last in this run.
    pub(crate) server_key: Option<KeyPin>,
    /// Whether it was proved by the handshake of the newest connection, which a resumed one is not.
    pub(crate) is_key_proved: bool,
    /// Whether this device proved itself on it.
    pub(crate) authenticated: bool,
    /// Whether the server agreed, in this run, that this store is the newest of the device.
    pub(crate) generation_checked: bool,
    /// Whether deliveries are coming.
    pub(crate) subscribed: bool,
    /// Failures in a row.
    pub(crate) attempt: u32,
    /// Who waits for the account to be ready.
    pub(crate) waiting: Option<CommandId>,
    /// What the server refused before it was tried whether the account exists already.
    pub(crate) refused: Option<(v1::ErrorCode, u32)>,
    /// Why the server does not let this device in, since it said so last.
    pub(crate) shut_out: Option<v1::ErrorCode>,
    /// What the server said about one-time pairs last.
    pub(crate) one_time_prekeys: Option<u32>,
    /// Whether a clock skew was shown on this connection.
    pub(crate) skew_shown: bool,
    /// When the emptying of the mailbox began, by the wall clock.
    pub(crate) drain_began_ms: u64,
    /// Whether delivery ids are being created.
    pub(crate) creating_ids: bool,
    /// Whether delivery ids are being revoked.
    pub(crate) revoking_ids: bool,
    /// Whether the own manifests are being fetched.
    pub(crate) fetching_manifests: bool,
    /// Whether they were asked for from their anchor on, in the fetch that is under way.
    pub(crate) asked_from_anchor: bool,
    /// Fetches in a row in which versions were missing.
    pub(crate) manifests_withheld: u32,
    /// The version of the own manifest when this device proved itself: the server has at least that one.
    pub(crate) version_proved: u32,
    /// The proofs that were given ahead of their connections, by their exporter values, and the version
    /// then: the newest [`limits::LOGINS_AHEAD_MAX`].
    pub(crate) proved_ahead: VecDeque<([u8; 32], u32)>,
    /// Who waits for a removal.
    pub(crate) removing: Option<CommandId>,
    /// Whether a change of devices is being published.
    pub(crate) replacing_manifest: bool,
}

impl Engine {
    /// Asks for a connection where this profile has work for one.
    pub(crate) fn connect(&mut self) {
        let Some(account) = &self.account else { return };
        match account.phase {
            Phase::Registering | Phase::Active | Phase::Linking | Phase::Recovering => {
                let server = account.server.clone();
                self.journal.push(Effect::Connect(server));
            }
            Phase::Unspecified | Phase::Removed | Phase::Restored | Phase::Closed => {}
        }
    }

    pub(crate) fn link_up(&mut self, turn: &mut Turn<'_>, exporter: [u8; 32], server_time_ms: u64) {
        self.connection.exporter = Some(exporter);
        self.connection.authenticated = false;
        self.connection.subscribed = false;
        self.show_clock_skew(turn, server_time_ms);
        self.account_step(turn);
        self.wake_unreached_lanes(turn);
    }

    fn show_clock_skew(&mut self, turn: &Turn<'_>, server_time_ms: u64) {
        let skew = turn.now.wall_ms.abs_diff(server_time_ms);
        if server_time_ms == 0 || skew <= CLOCK_SKEW_MS_MAX {
            self.connection.skew_shown = false;
            return;
        }
        if !self.connection.skew_shown {
            self.connection.skew_shown = true;
            let magnitude = i64::try_from(skew).unwrap_or(i64::MAX);
            let skew_ms = if turn.now.wall_ms >= server_time_ms {
                magnitude
            } else {
                magnitude.saturating_neg()
            };
            self.notify(Notice::ClockSkew { skew_ms });
        }
    }

    pub(crate) fn link_down(&mut self, turn: &mut Turn<'_>, failure: LinkFailure) {
        let was_online = self.connection.subscribed;
        self.connection.exporter = None;
        self.connection.authenticated = false;
        self.connection.subscribed = false;
        self.inbox.forget_waiting();
        if was_online {
            self.notify(Notice::Online(false));
        }
        self.registration_link_down(failure);
        self.linking_link_down(turn, failure);
    }

    /// The next step on a connection that is up.
    pub(crate) fn account_step(&mut self, turn: &mut Turn<'_>) {
        self.timers.clear(Timer::Account);
        if self.connection.exporter.is_none() {
            return;
        }
        let Some(account) = &self.account else { return };
        match account.phase {
            Phase::Registering => self.send_registration(),
            Phase::Recovering => self.recovery_step(turn),
            Phase::Active => self.authenticate(),
            Phase::Linking => self.linking_step(turn),
            Phase::Unspecified | Phase::Removed | Phase::Restored | Phase::Closed => {}
        }
    }

    pub(crate) fn account_due(&mut self, turn: &mut Turn<'_>) {
        if !self.connection.authenticated {
            self.account_step(turn);
        } else if !self.connection.subscribed {
            // The answer to the last step before deliveries was lost, and the connection was not.
            self.advance_generation();
        }
    }

    /// Tries the account's step again later.
    fn account_retry(&mut self, turn: &mut Turn<'_>, retry_after_ms: u32) {
        self.connection.attempt = self.connection.attempt.saturating_add(1);
        let delay = retry_delay_ms(turn.rng, self.connection.attempt).max(retry_after_ms.into());
        self.timers.set(Timer::Account, turn.after_ms(delay));
    }

    /// A call of the account plane.
    pub(crate) fn account_request(&mut self, call: Call, pending: Pending) {
        if let Some(server) = self.own_server() {
            self.request(Plane::Account, server, call, pending);
        }
    }

    /// The call with which this device proves itself on the connection of this exporter value, for a
    /// host that lets it go out before [`Event::LinkUp`](crate::Event::LinkUp): the same that is
    /// asked for then. `None` where there is another thing to do first, or nothing.
    pub fn login(&mut self, exporter: &[u8; 32]) -> Option<Call> {
        let phase = self.account.as_ref().map(|account| account.phase);
        let call = self
            .proof(exporter)
            .filter(|_| phase == Some(Phase::Active))?;
        let version = self.newest_own_version();
        let ahead = &mut self.connection.proved_ahead;
        if ahead.len() >= limits::LOGINS_AHEAD_MAX {
            ahead.pop_front();
        }
        ahead.push_back((*exporter, version));
        Some(call)
    }

    fn proof(&self, exporter: &[u8; 32]) -> Option<Call> {
        let account = self.account.as_ref()?;
        let key = account.key?;
        let signable = authentication_signable(exporter, &key, &account.device);
        let signature = account.secrets.signing.sign(&signable).ok()?;
        Some(Call::Authenticate(v1::AuthenticateRequest {
            account_key: key.to_wire(),
            device_id: account.device.to_wire(),
            signature: bytes::Bytes::copy_from_slice(signature.as_bytes()),
        }))
    }

    /// Proves this device, bound to this connection.
    pub(crate) fn authenticate(&mut self) {
        let Some(exporter) = self.connection.exporter else {
            return;
        };
        // The server may have answered by what it had then.
        let mut ahead = core::mem::take(&mut self.connection.proved_ahead).into_iter();
        let proved = ahead.find(|(proved, _)| *proved == exporter);
        self.connection.version_proved =
            proved.map_or_else(|| self.newest_own_version(), |(_, version)| version);
        if let Some(call) = self.proof(&exporter) {
            self.account_request(call, Pending::Account(AccountCall::Authenticate));
        }
    }

    pub(crate) fn account_responded(
        &mut self,
        turn: &mut Turn<'_>,
        call: AccountCall,
        outcome: Result<Reply, RequestFailure>,
    ) {
        match (call, outcome) {
            (AccountCall::Register, outcome) => self.registration_responded(turn, outcome),
            (AccountCall::Recover, outcome) => self.recovery_responded(turn, outcome),
            (AccountCall::Authenticate, Ok(Reply::Authenticate(reply))) => {
                self.authenticated(turn, &reply);
            }
            (AccountCall::AdvanceGeneration, Ok(Reply::AdvanceGeneration(_))) => self.ready(turn),
            (
                AccountCall::AdvanceGeneration,
                Err(RequestFailure::Refused {
                    code: v1::ErrorCode::GenerationRolledBack,
                    ..
                }),
            ) => self.store_is_restored(),
            (
                AccountCall::Authenticate,
                Err(RequestFailure::Refused {
                    code,
                    retry_after_ms,
                }),
            ) => self.authentication_refused(turn, code, retry_after_ms),
            (_, Err(RequestFailure::Refused { retry_after_ms, .. })) => {
                self.account_retry(turn, retry_after_ms)
            }
            // Without a link the next `LinkUp` begins anew.
            (_, Err(RequestFailure::Link(_))) => {}
            (_, Err(RequestFailure::Timeout | RequestFailure::Malformed) | Ok(_)) => {
                self.account_retry(turn, 0);
            }
        }
    }

    fn authentication_refused(
        &mut self,
        turn: &mut Turn<'_>,
        code: v1::ErrorCode,
        retry_after_ms: u32,
    ) {
        let phase = self.account.as_ref().map(|account| account.phase);
        if phase == Some(Phase::Registering) && code_is_final(code) {
            self.registration_failed();
            return;
        }
        if phase == Some(Phase::Recovering) && code_is_final(code) {
            self.recovery_failed();
            return;
        }
        if code_is_final(code) {
            self.connection.shut_out = Some(code);
        }
        if code == v1::ErrorCode::DeviceNotListed {
            // The server's word alone proves nothing: the chain has to show the revocation.
            self.fetch_own_manifests(turn);
        }
        self.account_retry(turn, retry_after_ms);
    }

    fn authenticated(&mut self, turn: &mut Turn<'_>, reply: &v1::AuthenticateResponse) {
        self.connection.authenticated = true;
        self.connection.attempt = 0;
        self.connection.refused = None;
        self.connection.shut_out = None;
        self.hold_expired(&reply.expired);
        self.heed_server_keys(turn, &reply.key_pins);
        let Some(account) = &mut self.account else {
            return;
        };
        let was = account.phase;
        if account.name.is_none() {
            account.name = reply.name.parse().ok();
        }
        let id = |bytes: &bytes::Bytes| DeliveryId::try_from(bytes.as_ref()).ok();
        account.public_delivery_id = account
            .public_delivery_id
            .or_else(|| id(&reply.public_delivery_id));
        account.own_delivery_id = account
            .own_delivery_id
            .or_else(|| id(&reply.own_delivery_id));
        if reply.generation > account.generation {
            self.store_is_restored();
            return;
        }
        account.phase = Phase::Active;
        // Durable before it is told: the server never holds a higher number than an honest store.
        if !self.connection.generation_checked {
            account.generation = account.generation.saturating_add(1);
        }
        self.save_account();
        match was {
            Phase::Registering | Phase::Recovering => self.save_progress(None),
            Phase::Linking => self.joined(turn),
            _ => {}
        }
        if reply.manifest_version > self.newest_own_version() {
            self.fetch_own_manifests(turn);
        }
        // What this device holds was on the server once: others are shown an older list by now.
        if reply.manifest_version < self.connection.version_proved {
            self.own_alarm(AlarmKind::Rollback);
        }
        self.advance_generation();
    }

    fn newest_own_version(&self) -> u32 {
        self.own_manifest()
            .map_or(0, waxwing_identity::DeviceManifest::version)
    }

    fn advance_generation(&mut self) {
        let expired = self.unacknowledged_expired();
        let Some(account) = &self.account else { return };
        let Some(key) = account.key else { return };
        let signable = generation_signable(&key, &account.device, account.generation);
        let Ok(signature) = account.secrets.signing.sign(&signable) else {
            return;
        };
        let call = Call::AdvanceGeneration(v1::AdvanceGenerationRequest {
            generation: account.generation,
            expired,
            signature: bytes::Bytes::copy_from_slice(signature.as_bytes()),
        });
        self.account_request(call, Pending::Account(AccountCall::AdvanceGeneration));
    }

    /// Everything may begin: this is the newest store of a listed device.
    fn ready(&mut self, turn: &mut Turn<'_>) {
        self.connection.generation_checked = true;
        self.connection.subscribed = true;
        self.expired_acknowledged();
        self.ask_prekey_status();
        self.connection.drain_began_ms = turn.now.wall_ms;
        self.journal.push(Effect::Subscribe);
        self.notify(Notice::Online(true));
        self.create_delivery_ids(turn);
        self.revoke_delivery_ids();
        // Not at once: questions about all of them would coincide with this device's coming.
        let delay = jitter(turn.rng, SUCCESSORS_AFTER_MS.0, SUCCESSORS_AFTER_MS.1);
        self.timers
            .set_sooner(Timer::Successors, turn.after_ms(delay));
        self.resume_device_change(turn);
        self.arm_addresses(turn);
        self.pump_all(turn);
    }

    /// The store of this device is older than what the server saw of it, or than what it held once: it
    /// must not go on, since it would use keys twice.
    pub(crate) fn store_is_restored(&mut self) {
        // IDN-34.
        if let Some(account) = &mut self.account {
            account.phase = Phase::Restored;
        }
        self.own_alarm(AlarmKind::RestoredStore);
        self.journal.push(Effect::Disconnect);
        if let Some(command) = self.connection.waiting.take() {
            self.answer(
                command,
                Err(crate::command::CommandError::TrustBlocked(
                    AlarmKind::RestoredStore,
                )),
            );
        }
    }

    /// Whether the own side allows that anything is encrypted.
    pub(crate) fn may_encrypt(&self) -> bool {
        self.connection.generation_checked && self.account.as_ref().is_some_and(Account::is_active)
    }
}

/// Whether asking again later cannot help.
pub(crate) const fn code_is_final(code: v1::ErrorCode) -> bool {
    !matches!(
        code,
        v1::ErrorCode::Unspecified
            | v1::ErrorCode::DeadlineExceeded
            | v1::ErrorCode::RateLimited
            | v1::ErrorCode::Unavailable
    )
}
