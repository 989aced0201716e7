// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Capabilities to write to the caller's account come and go.

use bytes::Bytes;
use waxwing_proto::{DeliveryId, limits, v1};
use waxwing_storage::server::Store;

use super::Context;
use crate::admission::Action;
use crate::refusal::Refusal;
use crate::wake::Mailbox;

fn parse(ids: &[Bytes]) -> Result<Vec<DeliveryId>, Refusal> {
    if ids.is_empty() || ids.len() > limits::DELIVERY_IDS_PER_CALL_MAX {
        return Err(Refusal::MALFORMED);
    }
    ids.iter()
        .map(|id| Ok(DeliveryId::try_from(id.as_ref())?))
        .collect()
}

/// Makes ids valid, all or none.
pub(super) async fn create<S: Store>(
    context: &Context<S>,
    caller: Mailbox,
    request: v1::CreateDeliveryIdsRequest,
) -> Result<v1::CreateDeliveryIdsResponse, Refusal> {
    let state = &context.state;
    context.admit(Action::DeliveryIds, 1)?;
    let ids = parse(&request.delivery_ids)?;
    state.stored(state.store.create_delivery_ids(caller.account, ids).await)??;
    Ok(v1::CreateDeliveryIdsResponse {})
}

/// Makes ids invalid. Ids that are not contact ids of the account are passed over.
pub(super) async fn revoke<S: Store>(
    context: &Context<S>,
    caller: Mailbox,
    request: v1::RevokeDeliveryIdsRequest,
) -> Result<v1::RevokeDeliveryIdsResponse, Refusal> {
    let state = &context.state;
    context.admit(Action::DeliveryIds, 1)?;
    let ids = parse(&request.delivery_ids)?;
    state.stored(state.store.revoke_delivery_ids(caller.account, ids).await)?;
    Ok(v1::RevokeDeliveryIdsResponse {})
}
