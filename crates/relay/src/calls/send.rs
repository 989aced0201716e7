// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An envelope for each device of an account, by whoever holds a delivery id of it.

use bytes::Bytes;
use waxwing_identity::PrekeyPair;
use waxwing_proto::v1::send_response::Outcome as Answer;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{DeliveryId, DeviceId, EnvelopeId, limits};
use waxwing_storage::Day;
use waxwing_storage::server::{
    AddressedEnvelope, Append, AppendRefusal, Appended, DeliveryIdKind, Outcome, Position,
    PrekeyStatus, Recipient, Store, StoredEnvelope,
};

use super::Context;
use crate::admission::Action;
use crate::refusal::{self, Refusal};
use crate::wake::Mailbox;

/// What a sending is answered, at once or when it is durable.
enum Begun {
    Answered(v1::SendResponse),
    /// It is to be appended.
    Fits(Append),
}

/// [`send_all`] of one sending.
pub(crate) async fn send<S: Store>(
    context: &Context<S>,
    request: &v1::SendRequest,
) -> Result<v1::SendResponse, Refusal> {
    let answer = send_all(context, core::slice::from_ref(request))
        .await
        .pop();
    answer.unwrap_or(Err(Refusal::UNAVAILABLE))
}

/// For each sending stores all envelopes or none. Success is said only when they are durable. Many of these
/// wait for the disk at once: what is rare in them is boxed.
pub(crate) async fn send_all<S: Store>(
    context: &Context<S>,
    requests: &[v1::SendRequest],
) -> Vec<Result<v1::SendResponse, Refusal>> {
    // BOX-4, BOX-6, BOX-8.
    let state = &context.state;
    let mut begun = Vec::with_capacity(requests.len());
    let mut appends = Vec::with_capacity(requests.len());
    let mut run = Run::new(context, requests);
    for request in requests {
        begun.push(match run.begin(request).await {
            Ok(Begun::Answered(answer)) => Some(Ok(answer)),
            Ok(Begun::Fits(append)) => {
                appends.push(append);
                None
            }
            Err(refusal) => Some(Err(refusal)),
        });
    }
    let mut appended = if appends.is_empty() {
        Vec::new().into_iter()
    } else {
        state.store.append_all(appends).await.into_iter()
    };
    let answers = begun.into_iter().zip(requests);
    answers
        .map(|(answer, request)| match answer {
            Some(answer) => answer,
            None => match appended.next() {
                Some(appended) => settle(context, request, appended),
                None => Err(Refusal::UNAVAILABLE),
            },
        })
        .collect()
}

/// Sendings that have come together. What they have in common is looked up and counted once.
struct Run<'a, S> {
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
    fn new(context: &'a Context<S>, requests: &'a [v1::SendRequest]) -> Self {
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
    async fn begin(&mut self, request: &v1::SendRequest) -> Result<Begun, Refusal> {
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
        let follow = follow.count();
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

/// What is answered when the store has answered.
fn settle<S: Store>(
    context: &Context<S>,
    request: &v1::SendRequest,
    appended: Outcome<Appended, AppendRefusal>,
) -> Result<v1::SendResponse, Refusal> {
    match context.state.stored(appended)? {
        Ok(appended) => {
            let delivery_id = DeliveryId::try_from(request.delivery_id.as_ref())?;
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
) -> Result<Begun, Refusal> {
    let state = &context.state;
    let found = state.stored(state.store.account_by_delivery_id(delivery_id).await)?;
    let (record, _) = found.ok_or(ErrorCode::DeliveryIdGone)?;
    Ok(Begun::Answered(stale(record.manifest)))
}

const fn accepted() -> v1::SendResponse {
    v1::SendResponse {
        outcome: Some(Answer::Accepted(v1::Accepted {})),
    }
}

const fn stale(manifest: Bytes) -> v1::SendResponse {
    v1::SendResponse {
        outcome: Some(Answer::StaleDevices(v1::StaleDevices { manifest })),
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
