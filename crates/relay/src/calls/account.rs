// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An account comes, changes its devices, and goes.

use waxwing_identity::authentication::close_account_signable;
use waxwing_identity::{
    DeviceEntry, DeviceManifest, ManifestError, VerifyingKey as _, verify_successor,
};
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{AccountName, DeliveryId, InviteToken};
use waxwing_storage::server::{ManifestHead, ManifestVersion, Registration, Store};

use super::{Context, signature, stored_manifest};
use crate::admission::Action;
use crate::refusal::Refusal;
use crate::wake::Mailbox;

fn head(manifest: &DeviceManifest) -> ManifestHead {
    ManifestHead {
        version: manifest.version(),
        hash: *manifest.hash().as_bytes(),
    }
}

fn version(manifest: &DeviceManifest) -> ManifestVersion {
    ManifestVersion {
        head: head(manifest),
        devices: manifest.devices().iter().map(DeviceEntry::id).collect(),
        bytes: manifest.as_bytes().clone(),
    }
}

/// Makes an account. The account key in the manifest is the account; its signature is the proof.
pub(super) async fn register<S: Store>(
    context: &Context<S>,
    request: v1::RegisterRequest,
) -> Result<v1::RegisterResponse, Refusal> {
    // IDN-31.
    let state = &context.state;
    context.admit(Action::Register, 1)?;
    let name: AccountName = request.name.parse().map_err(|_| ErrorCode::NameInvalid)?;
    let invite = if request.invite_token.is_empty() {
        None
    } else {
        Some(InviteToken::try_from(request.invite_token.as_ref())?)
    };
    let public_delivery_id = DeliveryId::try_from(request.public_delivery_id.as_ref())?;
    let own_delivery_id = DeliveryId::try_from(request.own_delivery_id.as_ref())?;
    let manifest =
        DeviceManifest::decode(&request.manifest).map_err(|_| ErrorCode::ManifestInvalid)?;
    if manifest.version() != 1 {
        return Err(ErrorCode::ManifestInvalid.into());
    }
    let registration = Registration {
        account: *manifest.account(),
        name,
        manifest: version(&manifest),
        public_delivery_id,
        own_delivery_id,
        invite,
        open: state.settings.open_registration,
        now: state.this_minute(),
    };
    state.stored(state.store.register(registration).await)??;
    Ok(v1::RegisterResponse {})
}

/// Puts the next version after the stored one, and cuts off the devices that it no longer lists.
///
/// The manifest's own signature authorises it, so that recovery needs no device.
pub(super) async fn replace_manifest<S: Store>(
    context: &Context<S>,
    request: v1::ReplaceManifestRequest,
) -> Result<v1::ReplaceManifestResponse, Refusal> {
    let state = &context.state;
    context.admit(Action::Authenticate, 1)?;
    let next = DeviceManifest::decode(&request.manifest).map_err(|_| ErrorCode::ManifestInvalid)?;
    let account = *next.account();
    let record = state.stored(state.store.account(account).await)?;
    let record = record.ok_or(ErrorCode::NotFound)?;
    if record.head != head(&next) {
        let stored = stored_manifest(&record.manifest)?;
        verify_successor(&stored, &next).map_err(|error| match error {
            ManifestError::NotOnPrevious => Refusal::new(ErrorCode::ManifestConflict),
            _ => Refusal::new(ErrorCode::ManifestInvalid),
        })?;
        if next.is_account_signed() {
            // BOX-47. Whoever recovers knows none of the ids that were given out, and a thief of a device
            // knows all and may have used up their number. Contacts come back by the public id.
            let revoked = state.store.revoke_contact_ids(account).await;
            state.stored(revoked)?;
        }
        let replaced = state
            .store
            .replace_manifest(account, record.head, version(&next))
            .await;
        state.stored(replaced)??;
    }
    for mailbox in state.live.connected(account) {
        if next.device(&mailbox.device).is_none() {
            state.live.cut_off(mailbox);
        }
    }
    Ok(v1::ReplaceManifestResponse {})
}

/// Deletes the calling device's account.
pub(super) async fn close<S: Store>(
    context: &Context<S>,
    caller: Mailbox,
    request: v1::CloseAccountRequest,
) -> Result<v1::CloseAccountResponse, Refusal> {
    // IDN-35.
    let state = &context.state;
    context.admit(Action::Authenticate, 1)?;
    let signature = signature(&request.signature)?;
    let signable = close_account_signable(&context.caller.exporter()?, &caller.account);
    context.listed_device(caller).await?;
    // A thief of a device must not be able to end the account.
    if caller.account.verify(&signable, &signature).is_err() {
        return Err(ErrorCode::Unauthenticated.into());
    }
    // A second call finds no listed device and never comes here: the first was the one that did it.
    let closed = state
        .store
        .close_account(caller.account, state.today())
        .await;
    let _gone = state.stored(closed)?;
    for mailbox in state.live.connected(caller.account) {
        if mailbox != caller {
            state.live.cut_off(mailbox);
        }
    }
    Ok(v1::CloseAccountResponse {})
}
