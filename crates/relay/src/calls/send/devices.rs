// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The devices that a sending names, and those that its account has.

use waxwing_identity::PrekeyPair;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{DeviceId, EnvelopeId, limits};
use waxwing_storage::Day;
use waxwing_storage::server::{AddressedEnvelope, DeliveryIdKind, PrekeyStatus, Recipient, Store};

use crate::calls::Context;
use crate::refusal::Refusal;

/// Reads the list: one to eight envelopes, no device twice.
pub(super) fn addressed(
    envelopes: &[v1::AddressedEnvelope],
) -> Result<Vec<AddressedEnvelope>, Refusal> {
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
pub(super) fn names_all(to: &Recipient, envelopes: &[AddressedEnvelope]) -> bool {
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
pub(super) async fn fits<S: Store>(
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
