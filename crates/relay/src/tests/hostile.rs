// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Frames that nobody's client sends: every one is answered or ends its stream; nothing panics,
//! and the relay serves on.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use waxwing_proto::limits;
use waxwing_proto::v1;
use waxwing_proto::v1::request::Call;

use waxwing_storage::embedded::ServerLimits;

use super::people::Person;
use super::world::World;
use crate::{Rates, Settings};

fn field() -> impl Strategy<Value = Bytes> {
    let lengths = prop_oneof![Just(0), Just(16), Just(32), Just(64), 0..200_usize];
    lengths
        .prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length))
        .prop_map(Bytes::from)
}

fn call() -> impl Strategy<Value = Call> {
    let fields = || proptest::collection::vec(field(), 0..12);
    prop_oneof![
        (field(), field(), field(), field(), ".*").prop_map(|(a, b, c, d, name)| {
            Call::Register(v1::RegisterRequest {
                invite_token: a,
                name,
                manifest: b,
                public_delivery_id: c,
                own_delivery_id: d,
            })
        }),
        (field(), field(), field()).prop_map(|(account_key, device_id, signature)| {
            Call::Authenticate(v1::AuthenticateRequest {
                account_key,
                device_id,
                signature,
            })
        }),
        field().prop_map(|manifest| Call::ReplaceManifest(v1::ReplaceManifestRequest { manifest })),
        (field(), fields()).prop_map(|(signed_pair, one_time_pairs)| {
            Call::PublishPrekeys(v1::PublishPrekeysRequest {
                signed_pair,
                one_time_pairs,
            })
        }),
        fields().prop_map(|delivery_ids| {
            Call::CreateDeliveryIds(v1::CreateDeliveryIdsRequest { delivery_ids })
        }),
        (any::<u64>(), field(), any::<u32>()).prop_map(|(generation, signature, day)| {
            Call::AdvanceGeneration(v1::AdvanceGenerationRequest {
                generation,
                signature,
                expired: vec![v1::ExpiredCount { day, count: day }; 1000],
            })
        }),
        (field(), fields()).prop_map(|(delivery_id, device_ids)| {
            let admission = Bytes::new();
            Call::TakePrekeys(v1::TakePrekeysRequest {
                delivery_id,
                device_ids,
                admission,
            })
        }),
        (field(), any::<u32>(), fields(), any::<bool>()).prop_map(
            |(delivery_id, manifest_version, fields, ephemeral)| {
                let addressed = |field: Bytes| v1::AddressedEnvelope {
                    device_id: field.clone(),
                    envelope_id: field.clone(),
                    envelope: field,
                };
                Call::Send(v1::SendRequest {
                    delivery_id,
                    manifest_version,
                    envelopes: fields.into_iter().map(addressed).collect(),
                    ephemeral,
                    admission: Bytes::new(),
                })
            }
        ),
        (field(), any::<u32>(), field()).prop_map(|(locator, slot, value)| {
            Call::PutRendezvous(v1::PutRendezvousRequest {
                locator,
                slot,
                value,
            })
        }),
        (field(), any::<u32>()).prop_map(|(locator, slot)| {
            Call::FetchRendezvous(v1::FetchRendezvousRequest {
                locator,
                slot,
                wait_ms: 0,
            })
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn hostile_calls_are_answered_and_hurt_nobody() {
    // Limits that are never reached: every call gets to where its fields are read.
    let settings = Settings {
        open_registration: true,
        rates: Rates::unlimited(),
        ..Settings::default()
    };
    let world = World::new(settings, ServerLimits::default()).await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let owner = world.connect_as(&alice, 0).await;
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(Config::default().rng_algorithm),
    );
    let strategy = call();
    let mut attacker = world.connect("mallory").await;
    for round in 0..400 {
        if round % 40 == 0 {
            attacker = world.connect("mallory").await;
        }
        let hostile = strategy.new_tree(&mut runner).unwrap().current();
        for client in [&attacker, &owner] {
            // Anything but a lost link is an answer.
            let answer = client.call_within(hostile.clone(), 0).await;
            assert!(client.0.link().close_reason().is_none(), "{answer:?}");
        }
    }
    let sender = world.connect("bob").await;
    sender
        .send(alice.send_request(alice.own_id, 1))
        .await
        .unwrap();
    assert_eq!(
        owner.subscribe().await.envelope().await.envelope,
        "sealed 1".as_bytes()
    );
}

#[tokio::test(start_paused = true)]
async fn raw_bytes_on_streams_are_survived() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("mallory").await;
    let link = client.0.link();
    let junk: [&'static [u8]; 6] = [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x05hello",
        b"\0\0\0\x10short",
        b"\0\x10\0\x01x",
    ];
    for bytes in junk {
        let (mut send, mut recv) = link.open().await.unwrap();
        // A raw message is a frame of its own: its payload is the junk.
        let _ = send.send(&Raw::of(bytes), limits::FRAME_SIZE_MAX).await;
        let _ = send.finish().await;
        let _ = recv.receive_frame(limits::FRAME_SIZE_MAX).await;
    }
    let sender = world.connect("bob").await;
    sender
        .send(alice.send_request(alice.own_id, 1))
        .await
        .unwrap();
}

/// A message whose encoding is arbitrary bytes.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) bytes: Bytes,
    /// So many more bytes are announced than come.
    pub(super) missing: usize,
}

impl Raw {
    pub(super) fn of(bytes: &'static [u8]) -> Self {
        Self {
            bytes: Bytes::from_static(bytes),
            missing: 0,
        }
    }
}

impl prost::Message for Raw {
    fn encode_raw(&self, buf: &mut impl bytes::BufMut) {
        buf.put_slice(&self.bytes);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buf: &mut impl bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buf, context)
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len() + self.missing
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }
}
