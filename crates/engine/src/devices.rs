// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Changes of the account's devices: the next version of the manifest, signed by this device, durable
//! before the server sees it, and published again after a restart until it is known what became of it.

use waxwing_identity::{
    CountersignedDevice, DeviceManifest, DraftError, ManifestDraft, ManifestError,
};
use waxwing_proto::v1::progress_row::Step;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{DeviceId, v1};

use crate::command::{Answer, CommandError, CommandId};
use crate::connection::code_is_final;
use crate::engine::{Engine, Turn};
use crate::event::RequestFailure;
use crate::linking::Side;
use crate::notice::Notice;
use crate::pending::{OwnCall, Pending};
use crate::timers::Timer;

impl Engine {
    /// Admits a device that agreed, and publishes the version that lists it.
    pub(crate) fn admit(&mut self, turn: &mut Turn<'_>, device: &CountersignedDevice) {
        let signed = self.sign_next(turn.day(), |draft, account, day| {
            let signer = account.signatory();
            let admission = account
                .secrets
                .signing
                .sign(&device.admission_signable(day, &signer))
                .map_err(|_| DraftError::UnknownDevice)?;
            draft.list(device.admit(day, signer, admission)?)
        });
        match signed {
            Ok(manifest) => {
                self.begin_change(&manifest, Some(device.keys().id));
            }
            Err(error) => self.fail_linking(change_error(error)),
        }
    }

    pub(crate) fn remove_device(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        device: DeviceId,
    ) {
        let listed = self
            .own_manifest()
            .is_some_and(|manifest| manifest.device(&device).is_some());
        let this_device = self.account.as_ref().map(|account| account.device) == Some(device);
        if !listed || this_device {
            self.answer(command, Err(CommandError::DeviceUnknown));
            return;
        }
        if self.progress.is_some() {
            self.answer(
                command,
                Err(CommandError::Refused(v1::ErrorCode::ManifestConflict, 0)),
            );
            return;
        }
        let signed = self.sign_next(turn.day(), |draft, _, _| draft.revoke(device));
        match signed {
            Ok(manifest) => {
                self.connection.removing = Some(command);
                self.begin_change(&manifest, None);
            }
            Err(error) => self.answer(command, Err(change_error(error))),
        }
    }

    fn sign_next(
        &self,
        day: u32,
        change: impl FnOnce(
            ManifestDraft,
            &crate::account::Account,
            u32,
        ) -> Result<ManifestDraft, DraftError>,
    ) -> Result<DeviceManifest, DraftError> {
        let (Some(account), Some(newest)) = (self.account.as_ref(), self.own_manifest()) else {
            return Err(DraftError::UnknownDevice);
        };
        let draft = change(
            ManifestDraft::after(newest, account.signatory())?,
            account,
            day,
        )?;
        let signature = account
            .secrets
            .signing
            .sign(&draft.signable()?)
            .map_err(|_| DraftError::UnknownDevice)?;
        draft.finish(signature)
    }

    fn begin_change(&mut self, manifest: &DeviceManifest, added: Option<DeviceId>) {
        self.save_progress(Some(Step::DeviceChange(v1::DeviceChange {
            manifest: manifest.as_bytes().clone(),
            added_device_id: added.map(DeviceId::to_wire).unwrap_or_default(),
        })));
        self.publish_change();
    }

    fn publish_change(&mut self) {
        let Some(Step::DeviceChange(change)) = &self.progress else {
            return;
        };
        if self.connection.replacing_manifest {
            return;
        }
        self.connection.replacing_manifest = true;
        let call = Call::ReplaceManifest(v1::ReplaceManifestRequest {
            manifest: change.manifest.clone(),
        });
        self.account_request(call, Pending::Own(OwnCall::ReplaceManifest));
    }

    /// On a connection that is ready: a change that was interrupted is published again.
    pub(crate) fn resume_device_change(&mut self, turn: &mut Turn<'_>) {
        let Some(Step::DeviceChange(change)) = &self.progress else {
            return;
        };
        let Ok(manifest) = DeviceManifest::decode(&change.manifest) else {
            self.save_progress(None);
            return;
        };
        let newest = self.own_manifest();
        if newest.map(DeviceManifest::head) == Some(manifest.head()) {
            self.change_complete(turn, &manifest);
        } else if newest.is_some_and(|newest| newest.version() >= manifest.version()) {
            // Another device was faster.
            self.change_failed(CommandError::Refused(v1::ErrorCode::ManifestConflict, 0));
        } else {
            self.publish_change();
        }
    }

    pub(crate) fn manifest_replaced(
        &mut self,
        turn: &mut Turn<'_>,
        outcome: Result<Reply, RequestFailure>,
    ) {
        self.connection.replacing_manifest = false;
        let Some(Step::DeviceChange(change)) = self.progress.clone() else {
            return;
        };
        match outcome {
            Ok(Reply::ReplaceManifest(_)) => {
                if let Ok(manifest) = DeviceManifest::decode(&change.manifest) {
                    self.change_complete(turn, &manifest);
                }
            }
            Err(RequestFailure::Refused {
                code: v1::ErrorCode::ManifestConflict,
                ..
            }) => {
                // Perhaps an earlier attempt of our own: the chain tells.
                self.fetch_own_manifests(turn);
                self.timers.set(Timer::OwnManifests, turn.after_ms(5000));
            }
            Err(RequestFailure::Refused {
                code,
                retry_after_ms,
            }) if code_is_final(code) => {
                self.change_failed(CommandError::Refused(code, retry_after_ms));
            }
            // Published again on the next connection, or when the own manifests are looked at.
            _ => {}
        }
    }

    fn change_complete(&mut self, turn: &mut Turn<'_>, manifest: &DeviceManifest) {
        let added = match &self.progress {
            Some(Step::DeviceChange(change)) => {
                DeviceId::try_from(change.added_device_id.as_ref()).ok()
            }
            _ => None,
        };
        self.save_progress(None);
        if self.own_manifest().map(DeviceManifest::head) != Some(manifest.head()) {
            self.accept_manifest(turn, manifest.account(), manifest, &[]);
        }
        if let Some(device) = added {
            self.ship_whole_state(turn, device);
            self.linking.side = Side::Idle;
            self.timers.clear(Timer::LinkingExpired);
        }
        if let Some(command) = self.change_command(added.is_some()) {
            self.answer(command, Ok(Answer::Done));
        }
        self.check_prekeys(turn);
    }

    fn change_failed(&mut self, error: CommandError) {
        let adds = matches!(
            &self.progress,
            Some(Step::DeviceChange(change)) if !change.added_device_id.is_empty()
        );
        self.save_progress(None);
        if adds {
            self.linking.side = Side::Idle;
            self.timers.clear(Timer::LinkingExpired);
        }
        if let Some(command) = self.change_command(adds) {
            self.answer(command, Err(error));
        }
        self.notify(Notice::DevicesChanged);
    }

    /// Who waits for the change.
    fn change_command(&mut self, adds: bool) -> Option<CommandId> {
        if adds {
            self.linking.command.take()
        } else {
            self.connection.removing.take()
        }
    }
}

/// Why the next version cannot be made, in the words of a command.
const fn change_error(error: DraftError) -> CommandError {
    match error {
        DraftError::TooManyDevices => CommandError::TooManyDevices,
        DraftError::TooManyRevocations
        | DraftError::VersionsUsedUp
        | DraftError::Refused(ManifestError::ReservedForAccount) => {
            CommandError::DeviceChangesUsedUp
        }
        _ => CommandError::DeviceUnknown,
    }
}
