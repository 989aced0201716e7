// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What anybody may ask about an account: the key behind a name, and the chain of manifests.

use bytes::Bytes;
use waxwing_proto::v1::fetch_manifests_request::Account;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{AccountKey, AccountName, DeliveryId, limits};
use waxwing_storage::server::Store;

use super::Context;
use crate::admission::Action;
use crate::refusal::Refusal;

/// Whose key a name of this server stands for. The answer proves nothing; the caller verifies.
pub(super) async fn resolve_name<S: Store>(
    context: &Context<S>,
    request: v1::ResolveNameRequest,
) -> Result<v1::ResolveNameResponse, Refusal> {
    // TRN-26.
    let state = &context.state;
    context.admit(Action::ResolveName, 1)?;
    let name: AccountName = request.name.parse().map_err(|_| ErrorCode::NameInvalid)?;
    let record = state.stored(state.store.account_by_name(name).await)?;
    let record = record.ok_or(ErrorCode::NotFound)?;
    Ok(v1::ResolveNameResponse {
        account_key: record.account.to_wire(),
        public_delivery_id: record.public_delivery_id.to_wire(),
        proof: Bytes::new(),
    })
}

/// The versions after one that the caller has, oldest first.
pub(super) async fn fetch_manifests<S: Store>(
    context: &Context<S>,
    request: v1::FetchManifestsRequest,
) -> Result<v1::FetchManifestsResponse, Refusal> {
    let state = &context.state;
    context.admit(Action::FetchManifests, 1)?;
    let account = match request.account.ok_or(ErrorCode::Malformed)? {
        Account::AccountKey(key) => {
            let key = AccountKey::try_from(key.as_ref())?;
            let record = state.stored(state.store.account(key).await)?;
            record.ok_or(ErrorCode::NotFound)?.account
        }
        Account::DeliveryId(id) => {
            let id = DeliveryId::try_from(id.as_ref())?;
            let found = state.stored(state.store.account_by_delivery_id(id).await)?;
            found.ok_or(ErrorCode::DeliveryIdGone)?.0.account
        }
    };
    let count = limits::MANIFESTS_PER_ANSWER_MAX;
    let asked = count.saturating_add(1);
    let found = state
        .store
        .manifests(account, request.after_version, asked)
        .await;
    let mut manifests = state.stored(found)?;
    let more = manifests.len() > count;
    manifests.truncate(count);
    Ok(v1::FetchManifestsResponse {
        manifests,
        more,
        proof: Bytes::new(),
    })
}
