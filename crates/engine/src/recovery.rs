// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recovery from the words: the account key overrides the chain with a version that revokes every
//! device and lists this one. The key is in memory only until that version is signed.

use waxwing_crypto::{AccountSecret, DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceManifest, ManifestDraft, OverrideBase, ServerLink, override_base};
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::v1::progress_row::Step;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{DeviceId, v1};

use crate::account::Account;
use crate::command::{CommandError, CommandId};
use crate::connection::code_is_final;
use crate::effect::Plane;
use crate::engine::{Engine, Turn};
use crate::event::RequestFailure;
use crate::keys;
use crate::manifests::fetch_call;
use crate::pending::{AccountCall, OwnCall, Pending};
use crate::registration::{admitted_by_account, sign_by_account};
use crate::timers::Timer;

impl Engine {
    pub(crate) fn recover(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        words: &RecoveryWords,
        server: &ServerLink,
    ) {
        let secret = words.account_secret();
        if let Some(account) = &self.account {
            if account.phase == Phase::Recovering && account.key == Some(secret.account_key()) {
                self.connection.waiting = Some(command);
                self.account_step(turn);
            } else {
                self.answer(command, Err(CommandError::AlreadyRegistered));
            }
            return;
        }
        let mut account = Account::new(
            Phase::Recovering,
            DeviceId::new(turn.id()),
            DeviceSecrets::generate(turn.rng),
            server.server().clone(),
        );
        account.key = Some(secret.account_key());
        self.journal
            .put(keys::device_secrets(), account.secrets.to_sealed_row());
        self.account = Some(account);
        self.recovery_secret = Some(secret);
        self.save_account();
        self.save_counters();
        self.save_progress(Some(Step::Recovery(v1::Recovery::default())));
        self.connection.waiting = Some(command);
        self.connect();
    }

    /// On a connection that is up: first the chain, then the override.
    pub(crate) fn recovery_step(&mut self, _turn: &mut Turn<'_>) {
        let Some(Step::Recovery(recovery)) = self.progress.clone() else {
            return;
        };
        if recovery.manifest.is_empty() {
            self.own_gathered.finish();
            self.ask_recovery_chain(0);
            return;
        }
        if !recovery.sent {
            self.save_progress(Some(Step::Recovery(v1::Recovery {
                sent: true,
                ..recovery.clone()
            })));
        }
        let call = Call::ReplaceManifest(v1::ReplaceManifestRequest {
            manifest: recovery.manifest,
        });
        self.account_request(call, Pending::Account(AccountCall::Recover));
    }

    fn ask_recovery_chain(&mut self, after: u32) {
        if let (Some(key), Some(server)) = (self.own_key(), self.own_server()) {
            self.request(
                Plane::Anonymous,
                server,
                fetch_call(&key, after),
                Pending::Own(OwnCall::RecoveryChain),
            );
        }
    }

    pub(crate) fn recovery_chain(
        &mut self,
        turn: &mut Turn<'_>,
        outcome: Result<Reply, RequestFailure>,
    ) {
        match outcome {
            Ok(Reply::FetchManifests(reply)) => {
                let more = self
                    .own_key()
                    .and_then(|key| self.own_gathered.take(&key, &reply));
                match more {
                    Some(after) => self.ask_recovery_chain(after),
                    None => self.override_chain(turn),
                }
            }
            Err(RequestFailure::Refused {
                code: v1::ErrorCode::NotFound,
                ..
            }) => self.recovery_ends(CommandError::AccountUnknown),
            Err(failure) => self.recovery_ends(Self::failure(failure)),
            Ok(_) => self.recovery_ends(Self::failure(RequestFailure::Malformed)),
        }
    }

    fn override_chain(&mut self, turn: &mut Turn<'_>) {
        let gathered = self.own_gathered.finish();
        // A chain without a version of the account key is none of this account.
        let base = self
            .own_key()
            .and_then(|key| override_base(&key, &gathered).ok());
        let Some(base) = base else {
            self.recovery_ends(CommandError::AccountUnknown);
            return;
        };
        let (Some(account), Some(secret)) = (&self.account, self.recovery_secret.take()) else {
            return;
        };
        let Some(manifest) = sign_override(&base, account, &secret, turn.day()) else {
            self.recovery_ends(CommandError::Bug("override"));
            return;
        };
        self.pin_own_manifest(manifest.clone());
        self.save_progress(Some(Step::Recovery(v1::Recovery {
            manifest: manifest.as_bytes().clone(),
            sent: false,
        })));
        self.account_step(turn);
    }

    pub(crate) fn recovery_responded(
        &mut self,
        turn: &mut Turn<'_>,
        outcome: Result<Reply, RequestFailure>,
    ) {
        match outcome {
            Ok(Reply::ReplaceManifest(_)) => self.authenticate(),
            Err(RequestFailure::Refused {
                code,
                retry_after_ms,
            }) => {
                self.connection.refused = Some((code, retry_after_ms));
                if code_is_final(code) {
                    // Perhaps an earlier attempt of our own took effect.
                    self.authenticate();
                } else {
                    self.recovery_failed();
                }
            }
            Err(RequestFailure::Link(_)) => {}
            Err(RequestFailure::Timeout | RequestFailure::Malformed) | Ok(_) => {
                self.timers.set(Timer::Account, turn.after_ms(1000));
            }
        }
    }

    /// The server refused, and no earlier attempt took effect.
    pub(crate) fn recovery_failed(&mut self) {
        let (code, retry) = self
            .connection
            .refused
            .take()
            .unwrap_or((v1::ErrorCode::Unspecified, 0));
        self.recovery_ends(CommandError::Refused(code, retry));
    }

    fn recovery_ends(&mut self, error: CommandError) {
        self.recovery_secret = None;
        self.forget_account();
        if let Some(command) = self.connection.waiting.take() {
            self.answer(command, Err(error));
        }
    }
}

fn sign_override(
    found: &OverrideBase<'_>,
    account: &Account,
    secret: &AccountSecret,
    day: u32,
) -> Option<DeviceManifest> {
    let entry = admitted_by_account(&account.secrets, account.device, secret, day)?;
    let draft = ManifestDraft::overriding(found.base, found.newest_version)
        .ok()?
        .revoke_all()
        .ok()?
        .list(entry)
        .ok()?;
    sign_by_account(draft, secret)
}
