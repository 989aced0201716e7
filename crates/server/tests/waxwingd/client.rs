// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client over the real QUIC link, with an account and one device.

use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use waxwing_identity::authentication::{EXPORTER_LABEL, authentication_signable};
use waxwing_identity::{
    DeviceDhKey, DeviceKeys, DeviceManifest, DeviceSigningKey, InviteLink, ManifestDraft,
    Signatory, Signature,
};
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Answer;
use waxwing_proto::v1::{self, ErrorCode};
use waxwing_proto::{AccountKey, DeliveryId, DeviceId, ServerAddress};
use waxwing_transport::platform::SystemClock;
use waxwing_transport::quic::{DialerSettings, QuicDialer};
use waxwing_transport::{CallError, Connection, Dialer as _, KeyExchange, Plane};

/// Runs a test's asynchronous part.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let value = runtime.block_on(future);
    runtime.shutdown_background();
    value
}

/// Connections to one server.
pub(crate) struct Network {
    dialer: QuicDialer,
    server: ServerAddress,
}

impl Network {
    pub(crate) fn new(server: ServerAddress) -> Self {
        Self {
            dialer: QuicDialer::new(DialerSettings::default()),
            server,
        }
    }

    pub(crate) async fn connect(&self, plane: Plane) -> Connection {
        let link = self.dialer.dial(&self.server, plane).await.unwrap();
        assert_eq!(link.negotiated_group(), KeyExchange::X25519MlKem768);
        Connection::establish(link, Arc::new(SystemClock::new()))
            .await
            .unwrap()
    }
}

/// A person with one device, made from a small seed.
pub(crate) struct Person {
    name: &'static str,
    device_secret: SigningKey,
    keys: DeviceKeys,
    manifest: DeviceManifest,
    delivery_id: DeliveryId,
    own_id: DeliveryId,
}

fn sign(secret: &SigningKey, message: &[u8]) -> Signature {
    Signature::new(secret.sign(message).to_bytes())
}

impl Person {
    pub(crate) fn new(name: &'static str, seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let device_secret = SigningKey::from_bytes(&[seed + 1; 32]);
        let account = AccountKey::new(secret.verifying_key().to_bytes());
        let keys = DeviceKeys {
            id: DeviceId::new([seed; 16]),
            signing_key: DeviceSigningKey::new(device_secret.verifying_key().to_bytes()),
            dh_key: DeviceDhKey::new([seed; 32]),
        };
        let membership = sign(&device_secret, &keys.membership_signable(&account));
        let candidate = keys.countersigned(&account, membership).unwrap();
        let admission = sign(
            &secret,
            &candidate.admission_signable(20_000, &Signatory::Account),
        );
        let entry = candidate
            .admit(20_000, Signatory::Account, admission)
            .unwrap();
        let draft = ManifestDraft::first(account, entry);
        let signature = sign(&secret, &draft.signable().unwrap());
        Self {
            name,
            device_secret,
            keys,
            manifest: draft.finish(signature).unwrap(),
            delivery_id: DeliveryId::new([seed; 16]),
            own_id: DeliveryId::new([seed + 1; 16]),
        }
    }

    pub(crate) async fn register(
        &self,
        network: &Network,
        invite: &InviteLink,
    ) -> Result<(), ErrorCode> {
        let connection = network.connect(Plane::Account).await;
        let request = v1::RegisterRequest {
            invite_token: invite.token().to_wire(),
            name: self.name.to_owned(),
            manifest: self.manifest.as_bytes().clone(),
            public_delivery_id: self.delivery_id.to_wire(),
            own_delivery_id: self.own_id.to_wire(),
        };
        call(&connection, Call::Register(request)).await.map(drop)
    }

    pub(crate) async fn authenticate(&self, network: &Network) -> Connection {
        let connection = network.connect(Plane::Account).await;
        let exporter = connection.link().exporter(EXPORTER_LABEL, &[]).unwrap();
        let (account, device) = (self.manifest.account(), self.keys.id);
        let signable = authentication_signable(&exporter, account, &device);
        let request = v1::AuthenticateRequest {
            account_key: account.to_wire(),
            device_id: device.to_wire(),
            signature: bytes::Bytes::copy_from_slice(
                sign(&self.device_secret, &signable).as_bytes(),
            ),
        };
        call(&connection, Call::Authenticate(request))
            .await
            .unwrap();
        connection
    }

    /// Leaves an envelope in the person's mailbox.
    pub(crate) async fn send_to(&self, network: &Network, envelope: &[u8], number: u8) {
        let connection = network.connect(Plane::Anonymous).await;
        assert!(self.try_send(&connection, envelope, number).await);
    }

    /// The same; `false` when it was not accepted, for whatever reason.
    pub(crate) async fn try_send(
        &self,
        connection: &Connection,
        envelope: &[u8],
        number: u8,
    ) -> bool {
        let request = v1::SendRequest {
            delivery_id: self.own_id.to_wire(),
            manifest_version: 1,
            envelopes: vec![v1::AddressedEnvelope {
                device_id: self.keys.id.to_wire(),
                envelope_id: bytes::Bytes::copy_from_slice(&[number; 16]),
                envelope: bytes::Bytes::copy_from_slice(envelope),
            }],
            ephemeral: false,
            admission: bytes::Bytes::new(),
        };
        let request = v1::Request {
            deadline_ms: 0,
            call: Some(Call::Send(request)),
        };
        match connection.call(request, 0).await {
            Ok(response) => {
                let accepted = v1::send_response::Outcome::Accepted(v1::Accepted {});
                let outcome = Some(accepted);
                response.result == Some(Answer::Send(v1::SendResponse { outcome }))
            }
            Err(_) => false,
        }
    }

    /// Everything that waits in the person's mailbox, acknowledged.
    pub(crate) async fn receive(&self, network: &Network) -> Vec<Vec<u8>> {
        let connection = self.authenticate(network).await;
        let (mut sink, mut stream) = connection.subscribe(0).await.unwrap();
        let mut envelopes = Vec::new();
        let (mut waiting, mut drained) = (0_usize, false);
        // Acknowledged one by one: the server hands over no more than its window allows.
        while !drained || waiting > 0 {
            match stream.receive().await.unwrap().unwrap().event.unwrap() {
                v1::delivery::Event::Envelope(stored) => {
                    envelopes.push(stored.envelope.to_vec());
                    let positions = vec![stored.position];
                    sink.send(&v1::Acknowledge {
                        positions,
                        ..v1::Acknowledge::default()
                    })
                    .await
                    .unwrap();
                    waiting += 1;
                }
                v1::delivery::Event::Drained(_) => drained = true,
                v1::delivery::Event::Acknowledged(_) => waiting -= 1,
            }
        }
        envelopes
    }
}

async fn call(connection: &Connection, call: Call) -> Result<Answer, ErrorCode> {
    let request = v1::Request {
        deadline_ms: 0,
        call: Some(call),
    };
    match connection.call(request, 0).await {
        Ok(response) => Ok(response.result.unwrap()),
        Err(CallError::Refused { code, .. }) => Err(code),
        Err(other) => panic!("{other}"),
    }
}
