// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The new device's side of a linking.

use waxwing_crypto::DeviceSecrets;
use waxwing_identity::{LinkCode, RendezvousSecret, ServerLink};
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::v1::progress_row::Step;
use waxwing_proto::{AccountKey, Address, DeviceId, v1};

use super::{
    LIFETIME_MS, LISTED_POLL_MS, SLOT_ANSWER, SLOT_MEMBERSHIP, SLOT_OFFER, Side, safety_words,
};
use crate::account::Account;
use crate::command::{Answer, CommandError, CommandId};
use crate::effect::Plane;
use crate::engine::{Engine, Turn};
use crate::event::LinkFailure;
use crate::keys;
use crate::manifests::fetch_call;
use crate::notice::{LinkingStep, Notice};
use crate::pending::{LinkingCall, Pending};
use crate::timers::Timer;
use crate::trust::{self, Decision, Witness};

impl Engine {
    pub(crate) fn begin_linking(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        server: &ServerLink,
    ) {
        match self.account.as_ref().map(|account| account.phase) {
            None => {}
            // An attempt that was left: it begins anew, with other keys.
            Some(Phase::Linking) => self.forget_account(),
            Some(_) => {
                self.answer(command, Err(CommandError::AlreadyRegistered));
                return;
            }
        }
        let device = DeviceId::new(turn.id());
        let secrets = DeviceSecrets::generate(turn.rng);
        let secret = RendezvousSecret::new(turn.id());
        let account = Account::new(Phase::Linking, device, secrets, server.server().clone());
        self.journal
            .put(keys::device_secrets(), account.secrets.to_sealed_row());
        let offer = account.device_keys().encode();
        self.account = Some(account);
        self.save_account();
        self.save_counters();
        self.save_progress(Some(Step::Linking(v1::Linking::default())));
        self.linking.side = Side::New {
            secret,
            account: None,
        };
        self.linking.command = Some(command);
        self.timers
            .set(Timer::LinkingExpired, turn.after_ms(LIFETIME_MS));
        self.connect();
        self.put_slot(turn, SLOT_OFFER, &offer);
    }

    pub(crate) fn new_device_put(&mut self, slot: u32) {
        if slot != SLOT_OFFER {
            return;
        }
        let (Some(account), Side::New { secret, .. }) = (&self.account, &self.linking.side) else {
            return;
        };
        let code = LinkCode::new(
            account.server.clone(),
            secret.clone(),
            &account.device_keys(),
        );
        if let Some(command) = self.linking.command.take() {
            let result = code
                .map(Answer::LinkCode)
                .map_err(|_| CommandError::Bug("link code"));
            self.answer(command, result);
        }
        self.fetch_slot(SLOT_ANSWER);
    }

    /// The first device's answer: the account, and how it is called.
    pub(crate) fn new_device_fetched(&mut self, _turn: &mut Turn<'_>, value: Option<&[u8]>) {
        let parsed = value
            .and_then(|value| value.split_at_checked(AccountKey::LENGTH))
            .and_then(|(key, address)| {
                let key = AccountKey::try_from(key).ok()?;
                let address: Address = core::str::from_utf8(address).ok()?.parse().ok()?;
                Some((key, address))
            });
        let Some((key, address)) = parsed else {
            self.fail_linking(CommandError::LinkCodeMismatch);
            return;
        };
        let Some(account) = &self.account else { return };
        let keys = account.device_keys();
        let Side::New { secret, account } = &mut self.linking.side else {
            return;
        };
        *account = Some(key);
        let safety_words = safety_words(&key, &keys, secret);
        self.save_progress(Some(Step::Linking(v1::Linking {
            account_key: key.to_wire(),
            address: address.to_string(),
            confirmed: false,
        })));
        self.notify(Notice::Linking(LinkingStep::Compare {
            address: address.to_string(),
            safety_words,
        }));
    }

    /// The user has compared the words.
    pub(crate) fn confirm_link(&mut self, turn: &mut Turn<'_>, command: CommandId, same: bool) {
        let key = match &self.linking.side {
            Side::New {
                account: Some(key), ..
            } => *key,
            _ => {
                self.answer(command, Err(CommandError::NoLinking));
                return;
            }
        };
        if !same {
            self.put_slot(turn, SLOT_MEMBERSHIP, &[]);
            self.answer(command, Ok(Answer::Done));
            self.fail_linking(CommandError::LinkCodeMismatch);
            return;
        }
        let Some(account) = &mut self.account else {
            return;
        };
        let signable = account.device_keys().membership_signable(&key);
        let Ok(membership) = account.secrets.signing.sign(&signable) else {
            self.answer(command, Err(CommandError::Bug("membership")));
            return;
        };
        account.key = Some(key);
        self.save_account();
        if let Some(Step::Linking(linking)) = self.progress.clone() {
            self.save_progress(Some(Step::Linking(v1::Linking {
                confirmed: true,
                ..linking
            })));
        }
        self.linking.command = Some(command);
        self.put_slot(turn, SLOT_MEMBERSHIP, membership.as_bytes());
        self.timers
            .set(Timer::Linking, turn.after_ms(LISTED_POLL_MS));
    }

    /// Asks whether the account lists this device by now.
    pub(crate) fn linking_due(&mut self, _turn: &mut Turn<'_>) {
        let (Some(account), Some(server)) = (&self.account, self.own_server()) else {
            return;
        };
        if account.phase != Phase::Linking || !self.own_manifests.is_empty() {
            return;
        }
        let Some(key) = account.key else { return };
        self.request(
            Plane::Anonymous,
            server,
            fetch_call(&key, 0),
            Pending::Linking(LinkingCall::Chain),
        );
    }

    pub(crate) fn poll_listed_later(&mut self, turn: &Turn<'_>) {
        self.timers
            .set(Timer::Linking, turn.after_ms(LISTED_POLL_MS));
    }

    pub(crate) fn chain_for_new_device(
        &mut self,
        turn: &mut Turn<'_>,
        reply: &v1::FetchManifestsResponse,
    ) {
        let (Some(account), Some(key)) = (&self.account, self.own_key()) else {
            return;
        };
        let keys = account.device_keys();
        if let Some(after) = self.own_gathered.take(&key, reply) {
            if let Some(server) = self.own_server() {
                self.request(
                    Plane::Anonymous,
                    server,
                    fetch_call(&key, after),
                    Pending::Linking(LinkingCall::Chain),
                );
            }
            return;
        }
        let gathered = self.own_gathered.finish();
        let newest = gathered.iter().max_by_key(|manifest| manifest.version());
        let listed = newest.filter(|newest| {
            newest
                .device(&keys.id)
                .is_some_and(|entry| *entry.keys() == keys)
                && matches!(
                    trust::decide(&key, None, newest, &gathered, Witness::Server),
                    Decision::Accept { .. }
                )
        });
        let Some(newest) = listed.cloned() else {
            self.poll_listed_later(turn);
            return;
        };
        self.accept_manifest(turn, &key, &newest, &gathered);
        self.notify(Notice::Linking(LinkingStep::Listed));
        self.linking.awaits_state = true;
        self.linking_step(turn);
    }

    /// On a connection that is up: authenticates once this device is listed.
    pub(crate) fn linking_step(&mut self, turn: &Turn<'_>) {
        if !self.own_manifests.is_empty() {
            if self.connection.exporter.is_some() {
                self.authenticate();
            }
        } else if self.own_key().is_some() {
            self.timers.set_sooner(Timer::Linking, turn.after_ms(0));
        }
    }

    /// The server accepted this device as one of the account.
    pub(crate) fn joined(&mut self, _turn: &mut Turn<'_>) {
        self.save_progress(None);
        self.timers.clear(Timer::LinkingExpired);
        self.timers.clear(Timer::Linking);
        self.linking.side = Side::Idle;
        if let Some(command) = self.linking.command.take() {
            self.answer(command, Ok(Answer::Done));
        }
    }

    /// The account's state arrived from another device.
    pub(crate) fn linking_state_received(&mut self) {
        if core::mem::take(&mut self.linking.awaits_state) {
            self.notify(Notice::Linking(LinkingStep::Complete));
        }
    }

    pub(crate) fn linking_expired(&mut self, _turn: &mut Turn<'_>) {
        if !matches!(self.linking.side, Side::Idle) || self.is_linking() {
            self.fail_linking(CommandError::NoLinking);
        }
    }

    fn is_linking(&self) -> bool {
        self.account
            .as_ref()
            .is_some_and(|account| account.phase == Phase::Linking)
    }

    /// Ends a linking without success. A new device is an empty profile again.
    pub(crate) fn fail_linking(&mut self, error: CommandError) {
        if self.is_linking() {
            self.forget_account();
        }
        self.timers.clear(Timer::Linking);
        self.timers.clear(Timer::LinkingSlot);
        self.timers.clear(Timer::LinkingExpired);
        self.linking.side = Side::Idle;
        if let Some(command) = self.linking.command.take() {
            self.answer(command, Err(error));
        }
        self.notify(Notice::Linking(LinkingStep::Failed));
    }

    /// A server that cannot be reached, before the code was shown.
    pub(crate) fn linking_link_down(&mut self, _turn: &mut Turn<'_>, failure: LinkFailure) {
        let before_code = self.is_linking()
            && self.linking.command.is_some()
            && matches!(&self.linking.side, Side::New { account: None, .. });
        if before_code {
            self.fail_linking(CommandError::Link(failure));
        }
    }

    /// After opening: what was under way goes on, or ends clearly.
    pub(crate) fn resume_progress(&mut self, turn: &mut Turn<'_>) {
        match self.progress.clone() {
            Some(Step::Linking(linking)) if linking.confirmed => {
                self.linking.awaits_state = true;
                self.timers
                    .set(Timer::LinkingExpired, turn.after_ms(LIFETIME_MS));
                self.timers.set(Timer::Linking, turn.after_ms(0));
            }
            Some(Step::Linking(_)) => self.fail_linking(CommandError::NoLinking),
            Some(Step::Recovery(recovery)) if recovery.manifest.is_empty() => {
                self.forget_account();
            }
            _ => {}
        }
    }
}
