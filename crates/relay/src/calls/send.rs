// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An envelope for each device of an account, by whoever holds a delivery id of it.

mod devices;
mod run;

use bytes::Bytes;
use waxwing_proto::v1;
use waxwing_proto::v1::send_response::Outcome as Answer;
use waxwing_proto::{DeliveryId, EnvelopeId};
use waxwing_storage::server::{AppendRefusal, Appended, Outcome, Store, StoredEnvelope};

use self::run::{Begun, Run};
use super::Context;
use crate::refusal::{self, Refusal};
use crate::wake::{Mailbox, WakeBus};

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
    let mut news = News::default();
    let answers = begun.into_iter().zip(requests);
    let answers = answers.map(|(answer, request)| match answer {
        Some(answer) => answer,
        None => match appended.next() {
            Some(appended) => settle(context, request, appended, &mut news),
            None => Err(Refusal::UNAVAILABLE),
        },
    });
    let answers = answers.collect();
    news.tell(&*state.wake_bus);
    answers
}

/// What is answered when the store has answered. What is new is added to the news.
fn settle<S: Store>(
    context: &Context<S>,
    request: &v1::SendRequest,
    appended: Outcome<Appended, AppendRefusal>,
    news: &mut News,
) -> Result<v1::SendResponse, Refusal> {
    match context.state.stored(appended)? {
        Ok(appended) => {
            news.add(request, &appended)?;
            Ok(accepted())
        }
        Err(AppendRefusal::StaleDevices { manifest }) => Ok(stale(manifest)),
        Err(other) => Err(refusal::of_append(&other)),
    }
}

/// What mailboxes have got, in the order of its coming.
#[derive(Default)]
struct News {
    mailboxes: Vec<Mailbox>,
    envelopes: Vec<StoredEnvelope>,
}

impl News {
    fn add(&mut self, request: &v1::SendRequest, appended: &Appended) -> Result<(), Refusal> {
        let delivery_id = DeliveryId::try_from(request.delivery_id.as_ref())?;
        for (device, position) in &appended.stored {
            let mut addressed = request.envelopes.iter();
            let Some(addressed) = addressed.find(|it| it.device_id == device.as_bytes()[..]) else {
                continue;
            };
            self.mailboxes.push(Mailbox {
                account: appended.account,
                device: *device,
            });
            self.envelopes.push(StoredEnvelope {
                position: *position,
                envelope_id: EnvelopeId::try_from(addressed.envelope_id.as_ref())?,
                delivery_id,
                envelope: addressed.envelope.clone(),
            });
        }
        Ok(())
    }

    /// Tells the subscriptions of the recipients' devices.
    fn tell(&self, bus: &dyn WakeBus) {
        let mut rest = self.envelopes.as_slice();
        for mailboxes in self.mailboxes.chunk_by(|one, other| one == other) {
            if let (Some(mailbox), Some((envelopes, after))) =
                (mailboxes.first(), rest.split_at_checked(mailboxes.len()))
            {
                bus.arrived(*mailbox, envelopes);
                rest = after;
            }
        }
    }
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
