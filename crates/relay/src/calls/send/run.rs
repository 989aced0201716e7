// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything of sendings before the mailboxes are looked at.

use bytes::Bytes;
use waxwing_proto::DeliveryId;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_storage::server::{Append, Position, Recipient, Store, StoredEnvelope};

use super::devices::{addressed, fits, names_all};
use super::{accepted, stale};
use crate::admission::Action;
use crate::calls::Context;
use crate::refusal::Refusal;
use crate::wake::Mailbox;

/// What a sending is answered, at once or when it is durable.
pub(super) enum Begun {
    Answered(v1::SendResponse),
    /// It is to be appended.
    Fits(Append),
}

/// Sendings that have come together. What they have in common is looked up and counted once.
pub(super) struct Run<'a, S> {
    context: &'a Context<S>,
    now_ms: u64,
    /// Whether all of them are counted against the caller's address.
    are_admitted: bool,
    /// Those that have not begun.
    rest: core::slice::Iter<'a, v1::SendRequest>,
    /// Whom the last one was for, and how many that follow are counted already.
    last: Option<(DeliveryId, Recipient, usize)>,
}

impl<'a, S: Store> Run<'a, S> {
    pub(super) fn new(context: &'a Context<S>, requests: &'a [v1::SendRequest]) -> Self {
        let now_ms = context.state.now_ms();
        let cost = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        Self {
            context,
            now_ms,
            are_admitted: context.admit_at(Action::Send, cost, now_ms).is_ok(),
            rest: requests.iter(),
            last: None,
        }
    }

    /// Everything of one sending before the mailboxes are looked at.
    pub(super) async fn begin(&mut self, request: &v1::SendRequest) -> Result<Begun, Refusal> {
        let Self {
            context, now_ms, ..
        } = *self;
        let state = &context.state;
        self.rest.next();
        if !self.are_admitted {
            context.admit_at(Action::Send, 1, now_ms)?;
        }
        let delivery_id = DeliveryId::try_from(request.delivery_id.as_ref())?;
        let envelopes = addressed(&request.envelopes)?;
        if !self.find(delivery_id).await? {
            return Box::pin(refused(context, delivery_id)).await;
        }
        let Some((_, to, _)) = &self.last else {
            return Err(Refusal::UNAVAILABLE);
        };
        let is_current = to.manifest_version == request.manifest_version
            && (names_all(to, &envelopes) || Box::pin(fits(context, to, &envelopes)).await?);
        if !is_current {
            return Box::pin(refused(context, delivery_id)).await;
        }
        if request.ephemeral {
            for addressed in envelopes {
                let mailbox = Mailbox {
                    account: to.account,
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
            return Ok(Begun::Answered(accepted()));
        }
        Ok(Begun::Fits(Append {
            delivery_id,
            manifest_version: request.manifest_version,
            envelopes,
            today: state.today(),
        }))
    }

    /// Looks up whom a delivery id leads to, and counts the sending against the id and the account; with
    /// those that follow under the same id, if all of them are allowed. Whether it leads to anybody.
    async fn find(&mut self, delivery_id: DeliveryId) -> Result<bool, Refusal> {
        let state = &self.context.state;
        if let Some((id, to, counted)) = &mut self.last
            && *id == delivery_id
        {
            match counted.checked_sub(1) {
                Some(left) => *counted = left,
                None => {
                    let mut admission = state.admission(self.now_ms);
                    admission.to_account(Action::Send, *id, to.account, 1, self.now_ms)?;
                }
            }
            return Ok(true);
        }
        self.last = None;
        let Some(to) = state.stored(state.store.recipient(delivery_id).await)? else {
            return Ok(false);
        };
        let follow = self.rest.as_slice().iter();
        let follow = follow.take_while(|next| next.delivery_id[..] == delivery_id.as_bytes()[..]);
        // Those that may be refused for the address are not counted here before they are.
        let follow = if self.are_admitted { follow.count() } else { 0 };
        let cost = u32::try_from(follow.saturating_add(1)).unwrap_or(u32::MAX);
        let mut admission = state.admission(self.now_ms);
        let mut count =
            |cost| admission.to_account(Action::Send, delivery_id, to.account, cost, self.now_ms);
        let counted = match count(cost) {
            Ok(()) => follow,
            Err(_) => count(1).map(|()| 0)?,
        };
        drop(admission);
        self.last = Some((delivery_id, to, counted));
        Ok(true)
    }
}

/// The answer to a sending that does not fit what its id leads to, once that is durable.
async fn refused<S: Store>(
    context: &Context<S>,
    delivery_id: DeliveryId,
) -> Result<Begun, Refusal> {
    let state = &context.state;
    let found = state.stored(state.store.account_by_delivery_id(delivery_id).await)?;
    let (record, _) = found.ok_or(ErrorCode::DeliveryIdGone)?;
    Ok(Begun::Answered(stale(record.manifest)))
}
