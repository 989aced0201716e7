// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device proves who it is, and how far its own store has come.

use waxwing_identity::authentication::{verify_authentication, verify_generation};
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{AccountKey, DeviceId, limits};
use waxwing_storage::Day;
use waxwing_storage::server::{ExpiredCount, Store};

use super::{Context, signature};
use crate::admission::Action;
use crate::refusal::Refusal;
use crate::wake::Mailbox;

/// Puts the connection on the account plane.
pub(super) async fn authenticate<S: Store>(
    context: &Context<S>,
    request: v1::AuthenticateRequest,
) -> Result<v1::AuthenticateResponse, Refusal> {
    // TRN-13, TRN-14.
    let (state, caller) = (&context.state, &context.caller);
    let mailbox = Mailbox {
        account: AccountKey::try_from(request.account_key.as_ref())?,
        device: DeviceId::try_from(request.device_id.as_ref())?,
    };
    let signature = signature(&request.signature)?;
    caller.plane.may_authenticate(mailbox)?;
    context.admit(Action::Authenticate, 1)?;
    // Listed as live before the manifest is read: a removal that comes between cuts it off.
    let live = state.live.connect(mailbox, caller.link.clone());
    let (record, manifest, entry) = context.listed_device(mailbox).await?;
    let (account, device) = (&mailbox.account, &mailbox.device);
    let exporter = caller.exporter()?;
    verify_authentication(&exporter, account, device, &entry.signing_key(), &signature)
        .map_err(|_| ErrorCode::Unauthenticated)?;
    let mut devices = record.devices.iter();
    let known = devices.find(|known| known.device == mailbox.device);
    let generation = known.ok_or(ErrorCode::DeviceNotListed)?.generation;
    caller.plane.authenticate(mailbox)?;
    caller.set_live(live);
    let counted = state
        .store
        .expired_counts(mailbox.account, mailbox.device)
        .await;
    let expired = state.stored(counted)?;
    Ok(v1::AuthenticateResponse {
        manifest_version: manifest.version(),
        generation,
        name: record.name.as_str().to_owned(),
        public_delivery_id: record.public_delivery_id.to_wire(),
        own_delivery_id: record.own_delivery_id.to_wire(),
        // TRN-92.
        key_pins: state
            .settings
            .key_pins
            .iter()
            .map(|pin| pin.to_wire())
            .collect(),
        expired: expired
            .into_iter()
            .map(|expired| v1::ExpiredCount {
                day: expired.day.0,
                count: expired.count,
            })
            .collect(),
    })
}

/// Stores the generation that the device has reached.
pub(super) async fn advance_generation<S: Store>(
    context: &Context<S>,
    caller: Mailbox,
    request: v1::AdvanceGenerationRequest,
) -> Result<v1::AdvanceGenerationResponse, Refusal> {
    // IDN-33.
    let state = &context.state;
    let signature = signature(&request.signature)?;
    context.admit(Action::Authenticate, 1)?;
    let (_, _, entry) = context.listed_device(caller).await?;
    let (account, device) = (caller.account, caller.device);
    let generation = request.generation;
    let held: Vec<ExpiredCount> = request
        .expired
        .iter()
        .take(limits::EXPIRED_DAYS_MAX)
        .map(|held| ExpiredCount {
            day: Day(held.day),
            count: held.count,
        })
        .collect();
    verify_generation(
        &account,
        &device,
        generation,
        &entry.signing_key(),
        &signature,
    )
    .map_err(|_| ErrorCode::Unauthenticated)?;
    let advanced = state
        .store
        .advance_generation(account, device, generation)
        .await;
    state.stored(advanced)??;
    // Only now is it certain that this is the newest store of the device, and that it keeps them.
    let forgotten = state.store.acknowledge_expired(account, device, held).await;
    state.stored(forgotten)?;
    Ok(v1::AdvanceGenerationResponse {})
}
