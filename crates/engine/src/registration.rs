// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Making an account. The keys are durable before the server hears of them, so that a registration
//! that was interrupted goes on with the same keys; whether an earlier attempt took effect is found
//! out by authenticating.

use waxwing_crypto::{AccountSecret, DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceEntry, DeviceManifest, InviteLink, ManifestDraft, Signatory};
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::v1::progress_row::Step;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{AccountKey, AccountName, DeliveryId, DeviceId, v1};

use crate::account::Account;
use crate::command::{Answer, CommandError, CommandId};
use crate::connection::code_is_final;
use crate::effect::Effect;
use crate::engine::{Engine, Turn};
use crate::event::{LinkFailure, RequestFailure};
use crate::keys;
use crate::pending::{AccountCall, Pending};

/// The entry of a device that the account key admits.
pub(crate) fn admitted_by_account(
    secrets: &DeviceSecrets,
    device: DeviceId,
    account: &AccountSecret,
    day: u32,
) -> Option<DeviceEntry> {
    let keys = secrets.public_keys(device);
    let key = account.account_key();
    let membership = secrets.signing.sign(&keys.membership_signable(&key)).ok()?;
    let countersigned = keys.countersigned(&key, membership).ok()?;
    let admission = account
        .sign(&countersigned.admission_signable(day, &Signatory::Account))
        .ok()?;
    countersigned.admit(day, Signatory::Account, admission).ok()
}

/// Signs a draft with the account key.
pub(crate) fn sign_by_account(
    draft: ManifestDraft,
    account: &AccountSecret,
) -> Option<DeviceManifest> {
    let signature = account.sign(&draft.signable().ok()?).ok()?;
    draft.finish(signature).ok()
}

impl Engine {
    pub(crate) fn register(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        invite: &InviteLink,
        name: AccountName,
        words: &RecoveryWords,
    ) {
        // IDN-3.
        let secret = words.account_secret();
        if let Some(account) = &self.account {
            if account.phase == Phase::Registering && account.key == Some(secret.account_key()) {
                self.connection.waiting = Some(command);
                self.account_step(turn);
            } else {
                self.answer(command, Err(CommandError::AlreadyRegistered));
            }
            return;
        }
        let device = DeviceId::new(turn.id());
        let secrets = DeviceSecrets::generate(turn.rng);
        let manifest = admitted_by_account(&secrets, device, &secret, turn.day())
            .map(|entry| ManifestDraft::first(secret.account_key(), entry))
            .and_then(|draft| sign_by_account(draft, &secret));
        let Some(manifest) = manifest else {
            self.answer(command, Err(CommandError::Bug("first manifest")));
            return;
        };
        let mut account =
            Account::new(Phase::Registering, device, secrets, invite.server().clone());
        account.key = Some(secret.account_key());
        account.name = Some(name);
        account.public_delivery_id = Some(DeliveryId::new(turn.id()));
        account.own_delivery_id = Some(DeliveryId::new(turn.id()));
        self.journal
            .put(keys::device_secrets(), account.secrets.to_sealed_row());
        self.account = Some(account);
        self.save_account();
        self.save_counters();
        self.pin_own_manifest(manifest.clone());
        self.save_progress(Some(Step::Registration(v1::Registration {
            invite_token: invite.token().to_wire(),
            manifest: manifest.as_bytes().clone(),
            sent: false,
        })));
        self.connection.waiting = Some(command);
        self.connect();
        self.account_step(turn);
    }

    /// Asks the server for the account. Repeated as it is until it is known what came of it.
    pub(crate) fn send_registration(&mut self) {
        let Some(Step::Registration(registration)) = self.progress.clone() else {
            return;
        };
        let Some(account) = &self.account else { return };
        let (Some(name), Some(public), Some(own)) = (
            &account.name,
            account.public_delivery_id,
            account.own_delivery_id,
        ) else {
            return;
        };
        let call = Call::Register(v1::RegisterRequest {
            invite_token: registration.invite_token.clone(),
            name: name.as_str().to_owned(),
            manifest: registration.manifest.clone(),
            public_delivery_id: public.to_wire(),
            own_delivery_id: own.to_wire(),
        });
        if !registration.sent {
            self.save_progress(Some(Step::Registration(v1::Registration {
                sent: true,
                ..registration
            })));
        }
        self.account_request(call, Pending::Account(AccountCall::Register));
    }

    pub(crate) fn registration_responded(
        &mut self,
        turn: &mut Turn<'_>,
        outcome: Result<Reply, RequestFailure>,
    ) {
        match outcome {
            Ok(Reply::Register(_)) => self.authenticate(),
            Err(RequestFailure::Refused {
                code,
                retry_after_ms,
            }) => {
                // An earlier attempt of our own may have taken the invite and the name.
                self.connection.refused = Some((code, retry_after_ms));
                if code_is_final(code) {
                    self.authenticate();
                } else {
                    self.registration_failed();
                }
            }
            Err(RequestFailure::Link(_)) => {}
            Err(RequestFailure::Timeout | RequestFailure::Malformed) | Ok(_) => {
                let due = turn.after_ms(1000);
                self.timers.set(crate::timers::Timer::Account, due);
            }
        }
    }

    /// The server refused, and no earlier attempt took effect: nothing is left of the attempt.
    pub(crate) fn registration_failed(&mut self) {
        let refused = self.connection.refused.take();
        self.forget_account();
        if let Some(command) = self.connection.waiting.take() {
            let (code, retry) = refused.unwrap_or((v1::ErrorCode::Unspecified, 0));
            self.answer(command, Err(CommandError::Refused(code, retry)));
        }
    }

    /// Without a connection the user decides; what the server cannot have heard of is forgotten.
    pub(crate) fn registration_link_down(&mut self, failure: LinkFailure) {
        let Some(account) = &self.account else { return };
        if !matches!(account.phase, Phase::Registering | Phase::Recovering) {
            return;
        }
        let untold = match &self.progress {
            Some(Step::Registration(registration)) => !registration.sent,
            Some(Step::Recovery(recovery)) => !recovery.sent,
            _ => false,
        };
        if untold {
            self.forget_account();
        }
        if let Some(command) = self.connection.waiting.take() {
            self.answer(command, Err(CommandError::Link(failure)));
        }
    }

    /// Makes the profile empty again.
    pub(crate) fn forget_account(&mut self) {
        if let Some(key) = self.own_key() {
            for manifest in core::mem::take(&mut self.own_manifests) {
                self.journal
                    .delete(keys::own_manifest(&key, manifest.version()));
            }
        }
        self.account = None;
        self.journal.delete(keys::account());
        self.journal.delete(keys::device_secrets());
        self.save_progress(None);
        self.journal.push(Effect::Disconnect);
        self.connection.exporter = None;
    }

    /// The account can be used: its prekeys are on the server.
    pub(crate) fn registration_complete(&mut self) {
        let Some(command) = self.connection.waiting.take() else {
            return;
        };
        let Some(account) = &self.account else { return };
        let answer = account.key.map(|key: AccountKey| Answer::Registered {
            address: account.address(),
            account: key,
            device: account.device,
        });
        self.answer(
            command,
            answer.ok_or(CommandError::Bug("registered without a key")),
        );
    }
}
