// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every protobuf message that a client stores. Values are chosen so that no field has its default.

use waxwing_proto::v1;
use waxwing_proto::v1::progress_row::Step;

use crate::parts::{head, id, key, opaque, server};
use crate::{Sample, sample, samples};

fn held_expiry() -> v1::HeldExpiry {
    v1::HeldExpiry {
        day: 20_001,
        count: 3,
        acknowledged: true,
        shown: true,
    }
}

fn gap() -> v1::Gap {
    v1::Gap {
        device_id: id(4),
        own: true,
        ranges: vec![
            v1::SequenceRange { first: 3, last: 5 },
            v1::SequenceRange { first: 7, last: 7 },
        ],
        noticed_at_ms: 1_728_000_000_006,
        sent_at_ms: 1_728_000_000_007,
        cursor: 12,
        message_id: id(5),
    }
}

pub(crate) fn rows() -> Vec<Sample> {
    let mut samples = samples![
        AccountRow {
            phase: v1::account_row::Phase::Active.into(),
            account_key: key(1),
            device_id: id(2),
            server: server(),
            name: "alice".to_owned(),
            generation: 5,
            public_delivery_id: id(3),
            own_delivery_id: id(4),
            signed_pair_id: 6,
            signed_pair_made_at_ms: 1_728_000_000_000,
            signed_pair_manifest_version: 7,
            next_prekey_id: 108,
            receipts_off: true,
            alarm: 2,
            ..Default::default()
        },
        "-alarms" => AccountRow {
            phase: v1::account_row::Phase::Active.into(),
            account_key: key(1),
            alarms: 0b1_0100,
            expired: vec![held_expiry()],
            revoking_delivery_ids: vec![id(5), id(6)],
            ..Default::default()
        },
        HeldExpiry {
            day: 20_001,
            count: 3,
            acknowledged: true,
            shown: true,
        },
        "-receipts" => AccountRow {
            read_receipts_off: true,
            receipts_ride_only: true,
            ..Default::default()
        },
        "-keys" => AccountRow { former_key_pins: vec![key(1), key(2)], ..Default::default() },
        CountersRow {
            next_cursor: 12,
            next_shipment: 300
        },
        ContactRow {
            label: "The quiet one".to_owned(),
            address: "bob@chat.example.org".to_owned(),
            server: server(),
            delivery_id: id(1),
            public_delivery_id: id(2),
            given_delivery_id: id(3),
            given_active: true,
            given_used: true,
            request: v1::contact_state::Request::Pending.into(),
            blocked: true,
            verified: true,
            last_verified_head: head(4),
            alarm: 1,
            changed_at_ms: 1_728_000_000_001,
            sequence: 9,
            seen: vec![id(5), id(6)],
            own_head_told: head(7),
            peer_head_told: head(8),
            heads_told_day: 20_000,
            receipts_due: vec![id(9)],
            unanswered_envelopes: 31,
            answered: true,
            receipts_withheld: vec![id(10), id(11)],
            by_name: true,
            verified_device_ids: vec![id(12), id(13)],
            ..Default::default()
        },
        "-alarms" => ContactRow {
            label: "alice-0a1b2c".to_owned(),
            address: "alice@chat.example.org".to_owned(),
            request: v1::contact_state::Request::Pending.into(),
            alarms: 0b110,
            address_claimed: true,
            request_contents: 31,
            ..Default::default()
        },
        "-receipts-and-gaps" => ContactRow {
            read_due: vec![id(1), id(2)],
            read_withheld: vec![id(3)],
            receipts_leave_at_ms: 1_728_000_000_005,
            sequences: vec![v1::SenderSequence { device_id: id(4), highest: 9 }],
            gaps: vec![gap()],
            ..Default::default()
        },
        "-address" => ContactRow {
            address_due: true,
            address_leaves_at_ms: 1_728_000_000_008,
            ..Default::default()
        },
        SenderSequence { device_id: id(4), highest: 9 },
        SequenceRange { first: 3, last: 5 },
        DevicesChanged { added: 1, removed: 2, listed: 3 },
        Missing { ranges: vec![v1::SequenceRange { first: 3, last: 5 }] },
        ShipmentRow {
            account_key: key(1),
            kind: v1::shipment_row::Kind::Text.into(),
            message_id: id(2),
            cursor: 11,
            created_at_ms: 1_728_000_000_002,
            content: opaque(3),
            sealed: true,
            manifest_version: 4,
            envelopes: vec![
                v1::ShipmentEnvelope {
                    device_id: id(5),
                    envelope_id: id(6),
                    index: 1,
                    parts: 2
                },
                v1::ShipmentEnvelope {
                    device_id: id(7),
                    envelope_id: id(8),
                    index: 2,
                    parts: 1
                },
            ],
            awaited_device_id: id(9),
        },
        ShipmentEnvelope {
            device_id: id(5),
            envelope_id: id(6),
            index: 1,
            parts: 2
        },
        MessageIndexRow {
            account_key: key(1),
            cursor: 12,
            state: v1::message_index_row::State::Delivered.into()
        },
        Registration {
            invite_token: id(1),
            manifest: opaque(2),
            sent: true
        },
        Recovery {
            manifest: opaque(1),
            sent: true
        },
        Linking {
            account_key: key(2),
            address: "alice@chat.example.org".to_owned(),
            confirmed: true
        },
        DeviceChange {
            manifest: opaque(1),
            added_device_id: id(2)
        },
    ];
    samples.push(sample("Gap", "", gap()));
    let message = |body| v1::MessageRow {
        message_id: id(1),
        outgoing: true,
        device_id: id(2),
        sent_at_ms: 1_728_000_000_003,
        received_at_ms: 1_728_000_000_004,
        sequence: 3,
        seen: vec![id(3), id(4)],
        body: Some(body),
        verified: true,
    };
    let text = v1::message_row::Body::Text("on my way".to_owned());
    samples.push(sample("MessageRow", "-text", message(text)));
    samples.push(sample(
        "MessageRow",
        "-unknown",
        message(v1::message_row::Body::Unknown(opaque(5))),
    ));
    let missing = v1::message_row::Body::Missing(v1::Missing {
        ranges: vec![v1::SequenceRange { first: 3, last: 5 }],
    });
    samples.push(sample("MessageRow", "-missing", message(missing)));
    let devices = v1::message_row::Body::Devices(v1::DevicesChanged {
        added: 1,
        removed: 2,
        listed: 3,
    });
    samples.push(sample("MessageRow", "-devices", message(devices)));
    let steps = [
        (
            "-registration",
            Step::Registration(v1::Registration {
                sent: true,
                ..Default::default()
            }),
        ),
        (
            "-recovery",
            Step::Recovery(v1::Recovery {
                sent: true,
                ..Default::default()
            }),
        ),
        (
            "-linking",
            Step::Linking(v1::Linking {
                confirmed: true,
                ..Default::default()
            }),
        ),
        (
            "-device-change",
            Step::DeviceChange(v1::DeviceChange {
                added_device_id: id(1),
                ..Default::default()
            }),
        ),
    ];
    for (variant, step) in steps {
        samples.push(sample(
            "ProgressRow",
            variant,
            v1::ProgressRow { step: Some(step) },
        ));
    }
    samples
}
