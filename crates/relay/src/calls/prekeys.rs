// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Devices publish prekey pairs; whoever opens a session takes them.

use bytes::Bytes;
use waxwing_identity::{DeviceEntry, PrekeyPair};
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{DeliveryId, DeviceId, limits};
use waxwing_storage::server::{OneTimePair, Publication, SignedPair, Store};

use super::Context;
use crate::admission::Action;
use crate::refusal::Refusal;
use crate::wake::Mailbox;

/// Stores the caller's pairs, each one verified: what is handed out later is the device's own.
pub(super) async fn publish<S: Store>(
    context: &Context<S>,
    caller: Mailbox,
    request: v1::PublishPrekeysRequest,
) -> Result<v1::PublishPrekeysResponse, Refusal> {
    // PRE-9.
    let state = &context.state;
    if request.one_time_pairs.len() > limits::PREKEYS_PER_PUBLICATION_MAX {
        return Err(ErrorCode::TooLarge.into());
    }
    if request.signed_pair.is_empty() && request.one_time_pairs.is_empty() {
        return Err(Refusal::MALFORMED);
    }
    context.admit(Action::Authenticate, 1)?;
    let (_, _, entry) = context.listed_device(caller).await?;
    let signed_pair = if request.signed_pair.is_empty() {
        None
    } else {
        let pair = verified(&request.signed_pair, caller, &entry, false)?;
        Some(SignedPair {
            id: pair.id(),
            bytes: pair.as_bytes().clone(),
        })
    };
    let one_time_pairs = request
        .one_time_pairs
        .iter()
        .map(|bytes| {
            let pair = verified(bytes, caller, &entry, true)?;
            Ok(OneTimePair {
                id: pair.id(),
                bytes: pair.as_bytes().clone(),
            })
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    let publication = Publication {
        signed_pair,
        one_time_pairs,
    };
    let published = state
        .store
        .publish_prekeys(caller.account, caller.device, publication)
        .await;
    let status = state.stored(published)??;
    Ok(v1::PublishPrekeysResponse {
        one_time_remaining: status.one_time_remaining,
    })
}

fn verified(
    bytes: &[u8],
    caller: Mailbox,
    entry: &DeviceEntry,
    one_time: bool,
) -> Result<PrekeyPair, Refusal> {
    let invalid = Refusal::new(ErrorCode::PrekeyInvalid);
    let pair = PrekeyPair::decode(bytes).map_err(|_| invalid)?;
    if pair.is_one_time() != one_time {
        return Err(invalid);
    }
    pair.verify(&entry.signing_key(), &caller.account, &caller.device)
        .map_err(|_| invalid)?;
    Ok(pair)
}

/// What is left of the caller's pairs.
pub(super) async fn status<S: Store>(
    context: &Context<S>,
    caller: Mailbox,
) -> Result<v1::PrekeyStatusResponse, Refusal> {
    let state = &context.state;
    let status = state.stored(
        state
            .store
            .prekey_status(caller.account, caller.device)
            .await,
    )?;
    Ok(v1::PrekeyStatusResponse {
        one_time_remaining: status.one_time_remaining,
        signed_pair_id: status.signed_pair_id,
    })
}

/// Hands out one bundle for each wanted device. One-time pairs are gone before the answer.
pub(super) async fn take<S: Store>(
    context: &Context<S>,
    request: v1::TakePrekeysRequest,
) -> Result<v1::TakePrekeysResponse, Refusal> {
    // PRE-11, PRE-15.
    let state = &context.state;
    let delivery_id = DeliveryId::try_from(request.delivery_id.as_ref())?;
    if request.device_ids.len() > limits::DEVICES_MAX {
        return Err(Refusal::MALFORMED);
    }
    let mut devices = request
        .device_ids
        .iter()
        .map(|id| DeviceId::try_from(id.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    devices.sort_unstable();
    devices.dedup();
    let found = state.stored(state.store.account_by_delivery_id(delivery_id).await)?;
    let (record, _) = found.ok_or(ErrorCode::DeliveryIdGone)?;
    let listed = |device: &&DeviceId| record.devices.iter().any(|known| known.device == **device);
    let count = if devices.is_empty() {
        record.devices.len()
    } else {
        devices.iter().filter(listed).count()
    };
    let cost = u32::try_from(count).unwrap_or(u32::MAX);
    context.admit(Action::TakePrekeys, cost)?;
    let now_ms = state.now_ms();
    let account = record.account;
    state
        .admission(now_ms)
        .to_account(Action::TakePrekeys, delivery_id, account, cost, now_ms)?;
    let taken = state.stored(state.store.take_prekeys(account, devices).await)??;
    Ok(v1::TakePrekeysResponse {
        manifest: taken.manifest,
        bundles: taken
            .bundles
            .into_iter()
            .map(|bundle| v1::PrekeyBundle {
                device_id: bundle.device.to_wire(),
                signed_pair: bundle.signed_pair,
                one_time_pair: bundle.one_time_pair.unwrap_or_default(),
            })
            .collect(),
        proof: Bytes::new(),
    })
}
