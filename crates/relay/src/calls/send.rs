// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An envelope for each device of an account, by whoever holds a delivery id of it.

use bytes::Bytes;
use waxwing_identity::PrekeyPair;
use waxwing_proto::v1::send_response::Outcome;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{DeliveryId, DeviceId, EnvelopeId, limits};
use waxwing_storage::Day;
use waxwing_storage::server::{
    AddressedEnvelope, Append, AppendRefusal, Appended, DeliveryIdKind, Position, PrekeyStatus,
    Recipient, Store, StoredEnvelope,
};

use super::Context;
use crate::admission::Action;
use crate::refusal::{self, Refusal};
use crate::wake::Mailbox;

/// Stores all envelopes or none. Success is said only when they are durable. Many of these wait for the
/// disk at once: what is rare in them is boxed.
pub(crate) async fn send<S: Store>(
    context: &Context<S>,
    request: &v1::SendRequest,
) -> Result<v1::SendResponse, Refusal> {
    // BOX-4, BOX-6, BOX-8.
    let state = &context.state;
    let now_ms = state.now_ms();
    context.admit_at(Action::Send, 1, now_ms)?;
    let delivery_id = DeliveryId::try_from(request.delivery_id.as_ref())?;
    let envelopes = addressed(&request.envelopes)?;
    let Some(to) = state.stored(state.store.recipient(delivery_id).await)? else {
        return Box::pin(refused(context, delivery_id)).await;
    };
    let account = to.account;
    state
        .admission(now_ms)
        .to_account(Action::Send, delivery_id, account, 1, now_ms)?;
    let is_current = to.manifest_version == request.manifest_version
        && (names_all(&to, &envelopes) || Box::pin(fits(context, &to, &envelopes)).await?);
    if !is_current {
        return Box::pin(refused(context, delivery_id)).await;
    }
    drop(to);
    if request.ephemeral {
        for addressed in envelopes {
            let mailbox = Mailbox {
                account,
                device: addressed.device,
            };
            let envelope = StoredEnvelope {
                position: Position::START,
                envelope_id: addressed.envelope_id,
                delivery_id,
                // The frame that it came in may be ten times as long, and would wait with it.
                envelope: Bytes::copy_from_slice(&addressed.envelope),
            };
            state.wake_bus.offer(mailbox, envelope);
        }
        return Ok(accepted());
    }
    let append = Append {
        delivery_id,
        manifest_version: request.manifest_version,
        envelopes,
        today: state.today(),
    };
    match state.stored(state.store.append(append).await)? {
        Ok(appended) => {
            announce(context, delivery_id, &request.envelopes, &appended);
            Ok(accepted())
        }
        Err(AppendRefusal::StaleDevices { manifest }) => Ok(stale(manifest)),
        Err(other) => Err(refusal::of_append(&other)),
    }
}

/// Tells the subscriptions of the recipient's devices what they have got.
fn announce<S: Store>(
    context: &Context<S>,
    delivery_id: DeliveryId,
    envelopes: &[v1::AddressedEnvelope],
    appended: &Appended,
) {
    for (device, position) in &appended.stored {
        let addressed = envelopes
            .iter()
            .find(|it| it.device_id == device.as_bytes()[..]);
        let Some((addressed, envelope_id)) = addressed.and_then(|it| {
            let id = EnvelopeId::try_from(it.envelope_id.as_ref()).ok()?;
            Some((it, id))
        }) else {
            continue;
        };
        let mailbox = Mailbox {
            account: appended.account,
            device: *device,
        };
        let envelope = StoredEnvelope {
            position: *position,
            envelope_id,
            delivery_id,
            envelope: addressed.envelope.clone(),
        };
        context.state.wake_bus.arrived(mailbox, &envelope);
    }
}

/// The answer to a sending that does not fit what its id leads to, once that is durable.
async fn refused<S: Store>(
    context: &Context<S>,
    delivery_id: DeliveryId,
) -> Result<v1::SendResponse, Refusal> {
    let state = &context.state;
    let found = state.stored(state.store.account_by_delivery_id(delivery_id).await)?;
    let (record, _) = found.ok_or(ErrorCode::DeliveryIdGone)?;
    Ok(stale(record.manifest))
}

const fn accepted() -> v1::SendResponse {
    v1::SendResponse {
        outcome: Some(Outcome::Accepted(v1::Accepted {})),
    }
}

const fn stale(manifest: Bytes) -> v1::SendResponse {
    v1::SendResponse {
        outcome: Some(Outcome::StaleDevices(v1::StaleDevices { manifest })),
    }
}

/// Reads the list: one to eight envelopes, no device twice.
fn addressed(envelopes: &[v1::AddressedEnvelope]) -> Result<Vec<AddressedEnvelope>, Refusal> {
    if envelopes.is_empty() || envelopes.len() > limits::DEVICES_MAX {
        return Err(Refusal::MALFORMED);
    }
    let mut list: Vec<AddressedEnvelope> = Vec::with_capacity(envelopes.len());
    for addressed in envelopes {
        let device = DeviceId::try_from(addressed.device_id.as_ref())?;
        let envelope_id = EnvelopeId::try_from(addressed.envelope_id.as_ref())?;
        if addressed.envelope.is_empty() || list.iter().any(|other| other.device == device) {
            return Err(Refusal::MALFORMED);
        }
        if addressed.envelope.len() > limits::ENVELOPE_SIZE_MAX {
            return Err(ErrorCode::TooLarge.into());
        }
        list.push(AddressedEnvelope {
            device,
            envelope_id,
            envelope: addressed.envelope.clone(),
        });
    }
    Ok(list)
}

/// Whether the list names the devices of the newest manifest, all of them and no other.
fn names_all(to: &Recipient, envelopes: &[AddressedEnvelope]) -> bool {
    // None is named twice.
    envelopes.len() == to.devices.len()
        && envelopes
            .iter()
            .all(|addressed| to.devices.contains(&addressed.device))
}

/// Whether the list names the devices of the newest manifest and no other.
///
/// Under the account's own id one device may be missing: the one that sends. A device that has not
/// published prekeys yet, or not for so long that nobody takes them, may be missing in any case, since
/// nobody can encrypt to it: otherwise a device that is linked and then switched off would cut its
/// account off from everybody.
async fn fits<S: Store>(
    context: &Context<S>,
    to: &Recipient,
    envelopes: &[AddressedEnvelope],
) -> Result<bool, Refusal> {
    let state = &context.state;
    if !envelopes
        .iter()
        .all(|addressed| to.devices.contains(&addressed.device))
    {
        return Ok(false);
    }
    let mut may_omit = usize::from(matches!(to.kind, DeliveryIdKind::Own));
    for device in to.devices.iter() {
        if envelopes
            .iter()
            .any(|addressed| addressed.device == *device)
        {
            continue;
        }
        let status = state.store.prekey_status(to.account, *device).await;
        if is_out_of_reach(&state.stored(status)?, state.today()) {
            continue;
        }
        match may_omit.checked_sub(1) {
            Some(left) => may_omit = left,
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// Whether nobody can encrypt to a device that has no session yet: it has published nothing, or its
/// signed pair is as old as senders take at most. Where their day is another one they are not refused.
fn is_out_of_reach(status: &PrekeyStatus, today: Day) -> bool {
    // PRE-14.
    if status.signed_pair_id == 0 {
        return true;
    }
    match PrekeyPair::decode(&status.signed_pair) {
        Ok(pair) => today.days_since(Day(pair.created())) >= limits::RETENTION_DAYS,
        Err(_) => {
            tracing::error!("a stored prekey pair cannot be read");
            false
        }
    }
}
