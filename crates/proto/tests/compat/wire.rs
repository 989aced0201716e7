// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every message that travels. Values are chosen so that no field has its default.

use waxwing_proto::v1::fetch_manifests_request::Account;
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Outcome;
use waxwing_proto::v1::{self, content, delivery, send_response, sending_outcome};

use crate::parts::{head, id, key, opaque, server, signature};
use crate::{Sample, sample, samples};

pub(crate) fn account() -> Vec<Sample> {
    samples![
        RegisterRequest {
            invite_token: id(1),
            name: "alice".to_owned(),
            manifest: opaque(2),
            public_delivery_id: id(3),
            own_delivery_id: id(4),
        },
        RegisterResponse {},
        AuthenticateRequest { account_key: key(1), device_id: id(2), signature: signature(3) },
        AuthenticateResponse {
            manifest_version: 7,
            generation: u64::MAX,
            expired: vec![v1::ExpiredCount { day: 20_000, count: 3 }, v1::ExpiredCount { day: 20_001, count: 300 }],
            name: "alice".to_owned(),
            public_delivery_id: id(3),
            own_delivery_id: id(4),
            ..Default::default()
        },
        "-keys" => AuthenticateResponse { key_pins: vec![key(1), key(2)], ..Default::default() },
        ExpiredCount { day: 20_000, count: 3 },
        ReplaceManifestRequest { manifest: opaque(5) },
        ReplaceManifestResponse {},
        AdvanceGenerationRequest { generation: 9, signature: signature(6), expired: vec![] },
        "-expired" => AdvanceGenerationRequest {
            generation: 9,
            signature: signature(6),
            expired: vec![v1::ExpiredCount { day: 20_001, count: 3 }],
        },
        AdvanceGenerationResponse {},
        ResolveNameRequest { name: "bob".to_owned() },
        ResolveNameResponse { account_key: key(1), public_delivery_id: id(2), proof: opaque(3) },
        "-by-account-key" => FetchManifestsRequest { account: Some(Account::AccountKey(key(1))), after_version: 2 },
        "-by-delivery-id" => FetchManifestsRequest { account: Some(Account::DeliveryId(id(1))), after_version: 0 },
        FetchManifestsResponse { manifests: vec![opaque(1), opaque(2)], more: true, proof: opaque(3) },
        CreateDeliveryIdsRequest { delivery_ids: vec![id(1), id(2)] },
        CreateDeliveryIdsResponse {},
        RevokeDeliveryIdsRequest { delivery_ids: vec![id(1), id(2)] },
        RevokeDeliveryIdsResponse {},
        CloseAccountRequest { signature: signature(1) },
        CloseAccountResponse {},
        PublishPrekeysRequest { signed_pair: opaque(1), one_time_pairs: vec![opaque(2), opaque(3)] },
        PublishPrekeysResponse { one_time_remaining: 100 },
        PrekeyStatusRequest {},
        PrekeyStatusResponse { one_time_remaining: 99, signed_pair_id: 12 },
        TakePrekeysRequest { delivery_id: id(1), device_ids: vec![id(2), id(3)], admission: opaque(4) },
        TakePrekeysResponse {
            manifest: opaque(1),
            bundles: vec![v1::PrekeyBundle {
                device_id: id(2),
                signed_pair: opaque(3),
                one_time_pair: opaque(4),
            }],
            proof: opaque(5),
        },
        PrekeyBundle { device_id: id(2), signed_pair: opaque(3), one_time_pair: opaque(4) },
        PutRendezvousRequest { locator: id(1), slot: 2, value: opaque(3) },
        PutRendezvousResponse {},
        FetchRendezvousRequest { locator: id(1), slot: 2, wait_ms: 20_000 },
        FetchRendezvousResponse { value: opaque(1) },
    ]
}

/// The names of the calls and of the results, which both have the same numbers in both messages.
macro_rules! calls {
    ($($name:literal: $variant:ident($request:ident, $response:ident)),* $(,)?) => {{
        let mut samples = Vec::new();
        $(
            let call = Some(Call::$variant(v1::$request::default()));
            samples.push(sample("Request", concat!("-", $name), v1::Request { deadline_ms: 15_000, call }));
            let result = Some(Outcome::$variant(v1::$response::default()));
            samples.push(sample("Response", concat!("-", $name), v1::Response { result }));
        )*
        samples
    }};
}

pub(crate) fn connection() -> Vec<Sample> {
    let mut samples = samples![
        Hello { protocol_min: 1, protocol_max: 2, features: 5, server_time_ms: 1_728_000_000_000 },
        Error { code: v1::ErrorCode::MailboxFull.into(), retry_after_ms: 60_000 },
        "-error" => Response {
            result: Some(Outcome::Error(v1::Error {
                code: v1::ErrorCode::RateLimited.into(),
                retry_after_ms: 1_000,
            })),
        },
    ];
    samples.extend(calls![
        "register": Register(RegisterRequest, RegisterResponse),
        "authenticate": Authenticate(AuthenticateRequest, AuthenticateResponse),
        "replace-manifest": ReplaceManifest(ReplaceManifestRequest, ReplaceManifestResponse),
        "publish-prekeys": PublishPrekeys(PublishPrekeysRequest, PublishPrekeysResponse),
        "prekey-status": PrekeyStatus(PrekeyStatusRequest, PrekeyStatusResponse),
        "create-delivery-ids": CreateDeliveryIds(CreateDeliveryIdsRequest, CreateDeliveryIdsResponse),
        "revoke-delivery-ids": RevokeDeliveryIds(RevokeDeliveryIdsRequest, RevokeDeliveryIdsResponse),
        "subscribe": Subscribe(SubscribeRequest, SubscribeResponse),
        "advance-generation": AdvanceGeneration(AdvanceGenerationRequest, AdvanceGenerationResponse),
        "close-account": CloseAccount(CloseAccountRequest, CloseAccountResponse),
        "resolve-name": ResolveName(ResolveNameRequest, ResolveNameResponse),
        "fetch-manifests": FetchManifests(FetchManifestsRequest, FetchManifestsResponse),
        "take-prekeys": TakePrekeys(TakePrekeysRequest, TakePrekeysResponse),
        "send": Send(SendRequest, SendResponse),
        "put-rendezvous": PutRendezvous(PutRendezvousRequest, PutRendezvousResponse),
        "fetch-rendezvous": FetchRendezvous(FetchRendezvousRequest, FetchRendezvousResponse),
        "open-sending": OpenSending(OpenSendingRequest, OpenSendingResponse),
    ]);
    samples
}

fn content_of(kind: content::Kind) -> v1::Content {
    v1::Content {
        message_id: id(1),
        sent_at_ms: 1_728_000_000_123,
        sequence: 4,
        seen: vec![id(2), id(3)],
        own_head: head(4),
        peer_head: head(5),
        return_address: Some(v1::ReturnAddress {
            address: "alice@chat.example.org".to_owned(),
            server: server(),
            delivery_id: id(6),
        }),
        manifests: vec![opaque(7), opaque(8)],
        receipts: Vec::new(),
        kind: Some(kind),
    }
}

pub(crate) fn content() -> Vec<Sample> {
    let text = v1::Text {
        body: "lunch at 1? \u{1f372} \u{5348}\u{9910}".to_owned(),
    };
    let receipt = v1::Receipt {
        kind: v1::receipt::Kind::Read.into(),
        message_ids: vec![id(1), id(2)],
    };
    let copy = v1::SentCopy {
        account_key: key(1),
        content: opaque(2),
    };
    let contact = v1::ContactState {
        account_key: key(1),
        label: "The quiet one".to_owned(),
        address: "bob@chat.example.org".to_owned(),
        server: server(),
        delivery_id: id(2),
        given_delivery_id: id(3),
        request: v1::contact_state::Request::Accepted.into(),
        blocked: true,
        verified: true,
        head: head(4),
        changed_at_ms: 1_728_000_000_456,
        manifest: opaque(5),
        address_claimed: false,
    };
    let claimed = v1::ContactState {
        address_claimed: true,
        ..contact.clone()
    };
    let state = v1::AccountState {
        address: "alice@chat.example.org".to_owned(),
        contacts: vec![contact.clone()],
        public_delivery_id: id(1),
        own_delivery_id: id(2),
    };
    vec![
        sample(
            "Content",
            "-text",
            content_of(content::Kind::Text(text.clone())),
        ),
        sample(
            "Content",
            "-receipt",
            content_of(content::Kind::Receipt(receipt.clone())),
        ),
        sample(
            "Content",
            "-text-with-receipts",
            v1::Content {
                receipts: vec![
                    receipt.clone(),
                    v1::Receipt {
                        kind: v1::receipt::Kind::Delivered.into(),
                        message_ids: vec![id(3)],
                    },
                ],
                ..content_of(content::Kind::Text(text.clone()))
            },
        ),
        sample(
            "Content",
            "-sent-copy",
            content_of(content::Kind::SentCopy(copy.clone())),
        ),
        sample(
            "Content",
            "-account-state",
            content_of(content::Kind::AccountState(state.clone())),
        ),
        sample(
            "Content",
            "-control",
            content_of(content::Kind::Control(v1::Control {})),
        ),
        sample("ManifestHead", "", head(1).unwrap_or_default()),
        sample(
            "ReturnAddress",
            "",
            content_of(content::Kind::Control(v1::Control {}))
                .return_address
                .unwrap_or_default(),
        ),
        sample("Server", "", server().unwrap_or_default()),
        sample("Text", "", text),
        sample("Receipt", "", receipt),
        sample("SentCopy", "", copy),
        sample("AccountState", "", state),
        sample("ContactState", "", contact),
        sample("ContactState", "-claimed", claimed),
        sample("Control", "", v1::Control {}),
    ]
}

pub(crate) fn mailbox() -> Vec<Sample> {
    let stored = v1::StoredEnvelope {
        position: u64::MAX,
        envelope_id: id(1),
        delivery_id: id(2),
        envelope: opaque(3),
    };
    let event = |event| v1::Delivery { event: Some(event) };
    let acknowledged = v1::Acknowledged {
        positions: vec![1, 300],
        up_to: 0,
    };
    let mut samples = samples![
        SendRequest {
            delivery_id: id(1),
            manifest_version: 3,
            envelopes: vec![v1::AddressedEnvelope { device_id: id(2), envelope_id: id(3), envelope: opaque(4) }],
            ephemeral: true,
            admission: opaque(5),
        },
        AddressedEnvelope { device_id: id(2), envelope_id: id(3), envelope: opaque(4) },
        "-accepted" => SendResponse { outcome: Some(send_response::Outcome::Accepted(v1::Accepted {})) },
        "-stale-devices" => SendResponse {
            outcome: Some(send_response::Outcome::StaleDevices(v1::StaleDevices { manifest: opaque(1) })),
        },
        Accepted {},
        StaleDevices { manifest: opaque(1) },
        OpenSendingRequest {},
        OpenSendingResponse {},
        Sending { number: 7, deadline_ms: 15_000, send: Some(v1::SendRequest::default()) },
        "-accepted" => Sent { accepted: vec![1, 300], others: Vec::new() },
        "-others" => Sent {
            accepted: Vec::new(),
            others: vec![v1::SendingOutcome { number: 2, outcome: None }],
        },
        "-error" => SendingOutcome {
            number: 2,
            outcome: Some(sending_outcome::Outcome::Error(v1::Error {
                code: v1::ErrorCode::MailboxFull.into(),
                retry_after_ms: 60_000,
            })),
        },
        "-stale-devices" => SendingOutcome {
            number: 2,
            outcome: Some(sending_outcome::Outcome::StaleDevices(v1::StaleDevices { manifest: opaque(1) })),
        },
        SubscribeRequest {},
        SubscribeResponse {},
        Drained {},
        Acknowledge { positions: vec![1, 2, 1_000_000], up_to: 0 },
        "-up-to" => Acknowledge { positions: vec![302], up_to: 300 },
        "-up-to" => Acknowledged { positions: vec![302], up_to: 300 },
    ];
    samples.extend([
        sample(
            "Delivery",
            "-envelope",
            event(delivery::Event::Envelope(stored.clone())),
        ),
        sample(
            "Delivery",
            "-drained",
            event(delivery::Event::Drained(v1::Drained {})),
        ),
        sample(
            "Delivery",
            "-acknowledged",
            event(delivery::Event::Acknowledged(acknowledged.clone())),
        ),
        sample("StoredEnvelope", "", stored),
        sample("Acknowledged", "", acknowledged),
    ]);
    samples
}
