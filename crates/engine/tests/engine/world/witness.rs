// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What holds of every call of every client in every test: looked at where it arrives, before the relay
//! decides anything.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use waxwing_identity::PrekeyPair;
use waxwing_proto::v1::request::Call;
use waxwing_proto::{DeviceId, EnvelopeId, v1};

use super::relay::device;

/// One envelope as it arrived first, and how often it arrived.
struct Sent {
    to: DeviceId,
    bytes: Bytes,
    times: u32,
}

#[derive(Default)]
pub(crate) struct Witness {
    sent: BTreeMap<EnvelopeId, Sent>,
    /// The ids of the pairs that each device has published, by their kind.
    pairs: BTreeMap<(DeviceId, bool), Vec<u32>>,
    /// The calls since somebody wanted them.
    calls: Option<Vec<Call>>,
}

impl Witness {
    pub(crate) fn hear(&mut self, call: &Call) {
        match call {
            Call::Send(request) => {
                assert!(request.admission.is_empty(), "[TRN-26]");
                for envelope in &request.envelopes {
                    self.hear_envelope(envelope);
                }
            }
            Call::TakePrekeys(request) => assert!(request.admission.is_empty(), "[TRN-26]"),
            Call::PublishPrekeys(request) => {
                let signed = core::iter::once(&request.signed_pair);
                for pair in signed.chain(&request.one_time_pairs) {
                    self.hear_pair(pair);
                }
            }
            _ => {}
        }
        if let Some(calls) = &mut self.calls {
            calls.push(call.clone());
        }
    }

    fn hear_envelope(&mut self, envelope: &v1::AddressedEnvelope) {
        let id = EnvelopeId::try_from(envelope.envelope_id.as_ref()).unwrap();
        let to = device(&envelope.device_id);
        let sent = self.sent.entry(id).or_insert_with(|| Sent {
            to,
            bytes: envelope.envelope.clone(),
            times: 0,
        });
        sent.times += 1;
        assert_eq!(sent.to, to, "[BOX-7]: one id for two devices");
        assert_eq!(sent.bytes, envelope.envelope, "[BOX-7]: other bytes");
    }

    fn hear_pair(&mut self, pair: &Bytes) {
        if pair.is_empty() {
            return;
        }
        let pair = PrekeyPair::decode(pair).unwrap();
        let ids = self
            .pairs
            .entry((pair.device(), pair.is_one_time()))
            .or_default();
        let newest = ids.last().copied().unwrap_or(0);
        assert!(pair.id() > newest, "[PRE-4]: {} after {newest}", pair.id());
        ids.push(pair.id());
    }

    /// How often each envelope for a device arrived, in the order of their ids.
    pub(crate) fn arrivals(&self, to: DeviceId) -> Vec<(EnvelopeId, u32)> {
        let sent = self.sent.iter().filter(|(_, sent)| sent.to == to);
        sent.map(|(id, sent)| (*id, sent.times)).collect()
    }

    /// The ids of one-time pairs that a device has published, in their order.
    pub(crate) fn one_time_pairs(&self, of: DeviceId) -> Vec<u32> {
        self.pairs.get(&(of, true)).cloned().unwrap_or_default()
    }

    /// From now on, what everybody asks for is kept.
    pub(crate) fn listen(&mut self) {
        self.calls = Some(Vec::new());
    }

    /// What was asked for since [`Witness::listen`].
    pub(crate) fn calls(&self) -> &[Call] {
        self.calls.as_ref().unwrap()
    }
}

/// Whether these bytes stand anywhere in a call as it goes over the wire.
pub(crate) fn names(call: &Call, wanted: &[u8]) -> bool {
    let request = v1::Request {
        call: Some(call.clone()),
        ..v1::Request::default()
    };
    contains(&request.encode_to_vec(), wanted)
}

/// Whether these bytes stand in others.
pub(crate) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
