// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The relay's mailboxes and prekeys.

use std::collections::BTreeSet;

use bytes::Bytes;
use waxwing_identity::prekey::PrekeyPair;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::v1::send_response::Outcome as Sent;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{DeviceId, EnvelopeId};

use super::relay::{Outcome, Relay, delivery_id, device, refuse};

#[derive(Default)]
pub(crate) struct Mailbox {
    pub(crate) stored: Vec<v1::StoredEnvelope>,
    pub(crate) seen: BTreeSet<EnvelopeId>,
    pub(crate) position: u64,
}

#[derive(Default)]
pub(crate) struct Prekeys {
    pub(crate) signed: Bytes,
    pub(crate) signed_id: u32,
    pub(crate) one_time: Vec<Bytes>,
}

impl Relay {
    pub(crate) fn publish(&mut self, id: DeviceId, request: &v1::PublishPrekeysRequest) -> Outcome {
        let prekeys = self.prekeys.entry(id).or_default();
        if !request.signed_pair.is_empty() {
            prekeys.signed_id = PrekeyPair::decode(&request.signed_pair).unwrap().id();
            prekeys.signed = request.signed_pair.clone();
        }
        prekeys
            .one_time
            .extend(request.one_time_pairs.iter().cloned());
        if self.forgets_prekeys {
            prekeys.one_time.clear();
        }
        Ok(Reply::PublishPrekeys(v1::PublishPrekeysResponse {
            one_time_remaining: prekeys.one_time.len() as u32,
        }))
    }

    pub(crate) fn take_prekeys(&mut self, request: &v1::TakePrekeysRequest) -> Outcome {
        let Some(account) = self.ids.get(&delivery_id(&request.delivery_id)).copied() else {
            return refuse(ErrorCode::DeliveryIdGone);
        };
        self.prekey_questions += 1;
        let manifest = self.shown(&account);
        let devices: Vec<DeviceId> = self.accounts[&account]
            .newest()
            .devices()
            .iter()
            .map(waxwing_identity::DeviceEntry::id)
            .filter(|id| {
                request.device_ids.is_empty()
                    || request
                        .device_ids
                        .iter()
                        .any(|wanted| device(wanted) == *id)
            })
            .collect();
        let mut bundles = Vec::new();
        for id in devices {
            let Some(prekeys) = self.prekeys.get_mut(&id) else {
                continue;
            };
            if prekeys.signed.is_empty() {
                continue;
            }
            bundles.push(v1::PrekeyBundle {
                device_id: id.to_wire(),
                signed_pair: prekeys.signed.clone(),
                one_time_pair: prekeys.one_time.pop().unwrap_or_default(),
            });
        }
        Ok(Reply::TakePrekeys(v1::TakePrekeysResponse {
            manifest,
            bundles,
            proof: Bytes::new(),
        }))
    }

    pub(crate) fn send(&mut self, request: &v1::SendRequest) -> Outcome {
        let id = delivery_id(&request.delivery_id);
        let Some(account) = self.ids.get(&id).copied() else {
            return refuse(ErrorCode::DeliveryIdGone);
        };
        if self.mailboxes_full {
            return refuse(ErrorCode::MailboxFull);
        }
        let known = &self.accounts[&account];
        let named: BTreeSet<DeviceId> = request
            .envelopes
            .iter()
            .map(|envelope| device(&envelope.device_id))
            .collect();
        let mut may_omit = usize::from(id == known.own);
        let mut fits = request.manifest_version == known.newest().version()
            && named.iter().all(|id| known.newest().device(id).is_some());
        for entry in known.newest().devices() {
            let published = self
                .prekeys
                .get(&entry.id())
                .is_some_and(|prekeys| !prekeys.signed.is_empty());
            if named.contains(&entry.id()) || !published {
                continue;
            }
            fits &= may_omit > 0;
            may_omit = may_omit.saturating_sub(1);
        }
        if !fits && !self.forgets_removals {
            return Ok(Reply::Send(v1::SendResponse {
                outcome: Some(Sent::StaleDevices(v1::StaleDevices {
                    manifest: self.shown(&account),
                })),
            }));
        }
        for envelope in &request.envelopes {
            self.accepted += 1;
            self.newest_size = envelope.envelope.len();
            if self.loses.contains(&device(&envelope.device_id)) {
                continue;
            }
            let mailbox = self
                .mailboxes
                .entry(device(&envelope.device_id))
                .or_default();
            let envelope_id = EnvelopeId::try_from(envelope.envelope_id.as_ref()).unwrap();
            if mailbox.seen.insert(envelope_id) {
                mailbox.position += 1;
                mailbox.stored.push(v1::StoredEnvelope {
                    position: mailbox.position,
                    envelope_id: envelope.envelope_id.clone(),
                    delivery_id: request.delivery_id.clone(),
                    envelope: envelope.envelope.clone(),
                });
            }
        }
        Ok(Reply::Send(v1::SendResponse {
            outcome: Some(Sent::Accepted(v1::Accepted {})),
        }))
    }

    pub(crate) fn stored_after(&self, id: DeviceId, after: u64) -> Vec<v1::StoredEnvelope> {
        self.mailboxes
            .get(&id)
            .map(|mailbox| {
                mailbox
                    .stored
                    .iter()
                    .filter(|envelope| envelope.position > after)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default()
    }

    /// How many envelopes up to a position nobody has acknowledged.
    pub(crate) fn held_up_to(&self, id: DeviceId, position: u64) -> usize {
        let stored = self.mailboxes.get(&id).map(|mailbox| &mailbox.stored);
        let held = stored.into_iter().flatten();
        held.filter(|envelope| envelope.position <= position)
            .count()
    }

    /// `up_to` is at most what was handed over on the stream.
    pub(crate) fn acknowledge(&mut self, id: DeviceId, up_to: u64, positions: &[u64]) {
        if let Some(mailbox) = self.mailboxes.get_mut(&id) {
            let before = mailbox.stored.len();
            mailbox.stored.retain(|envelope| {
                envelope.position > up_to && !positions.contains(&envelope.position)
            });
            self.acknowledged += (before - mailbox.stored.len()) as u64;
        }
    }
}
