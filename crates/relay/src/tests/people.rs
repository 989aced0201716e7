// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People with accounts and devices, all made from small seeds.

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use waxwing_identity::authentication::{authentication_signable, generation_signable};
use waxwing_identity::{
    DeviceDhKey, DeviceEntry, DeviceKeys, DeviceManifest, DeviceSigningKey, ManifestDraft,
    PrekeyKind, PrekeyPair, Signatory, Signature, UnsignedPrekeyPair,
};
use waxwing_proto::v1;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId};

const TODAY: u32 = 20_000;

pub(super) fn sign(secret: &SigningKey, message: &[u8]) -> Signature {
    Signature::new(secret.sign(message).to_bytes())
}

/// A device with its secret.
pub(super) struct TestDevice {
    pub(super) secret: SigningKey,
    pub(super) keys: DeviceKeys,
}

impl TestDevice {
    pub(super) fn new(seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let keys = DeviceKeys {
            id: DeviceId::new([seed; 16]),
            signing_key: DeviceSigningKey::new(secret.verifying_key().to_bytes()),
            dh_key: DeviceDhKey::new([seed; 32]),
        };
        Self { secret, keys }
    }

    pub(super) fn id(&self) -> DeviceId {
        self.keys.id
    }

    pub(super) fn admitted(
        &self,
        account: AccountKey,
        by: Signatory,
        signer: &SigningKey,
    ) -> DeviceEntry {
        let membership = sign(&self.secret, &self.keys.membership_signable(&account));
        let candidate = self.keys.countersigned(&account, membership).unwrap();
        let admission = sign(signer, &candidate.admission_signable(TODAY, &by));
        candidate.admit(TODAY, by, admission).unwrap()
    }
}

/// A person: an account with its devices and its newest manifest.
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) secret: SigningKey,
    pub(super) devices: Vec<TestDevice>,
    pub(super) manifest: DeviceManifest,
    pub(super) public_id: DeliveryId,
    pub(super) own_id: DeliveryId,
}

impl Person {
    /// A person with one device. Seeds of different people must be 10 apart.
    pub(super) fn new(name: &'static str, seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let account = AccountKey::new(secret.verifying_key().to_bytes());
        let device = TestDevice::new(seed + 1);
        let entry = device.admitted(account, Signatory::Account, &secret);
        let draft = ManifestDraft::first(account, entry);
        let signature = sign(&secret, &draft.signable().unwrap());
        Self {
            name,
            manifest: draft.finish(signature).unwrap(),
            secret,
            devices: vec![device],
            public_id: DeliveryId::new([seed; 16]),
            own_id: DeliveryId::new([seed + 1; 16]),
        }
    }

    pub(super) fn account(&self) -> AccountKey {
        *self.manifest.account()
    }

    pub(super) fn register_request(&self) -> v1::RegisterRequest {
        v1::RegisterRequest {
            invite_token: Bytes::new(),
            name: self.name.to_owned(),
            manifest: self.manifest.as_bytes().clone(),
            public_delivery_id: self.public_id.to_wire(),
            own_delivery_id: self.own_id.to_wire(),
        }
    }

    /// The next version, with one more device, signed by the first one.
    pub(super) fn link_device(&mut self, seed: u8) {
        let device = TestDevice::new(seed);
        let first = &self.devices[0];
        let by = first.keys.signatory();
        let entry = device.admitted(self.account(), by, &first.secret);
        let draft = ManifestDraft::after(&self.manifest, by)
            .unwrap()
            .list(entry)
            .unwrap();
        let signature = sign(&first.secret, &draft.signable().unwrap());
        self.manifest = draft.finish(signature).unwrap();
        self.devices.push(device);
    }

    /// The next version, without the last device, signed by the first one.
    pub(super) fn remove_last_device(&mut self) -> TestDevice {
        let device = self.devices.pop().unwrap();
        let first = &self.devices[0];
        let by = first.keys.signatory();
        let draft = ManifestDraft::after(&self.manifest, by).unwrap();
        let draft = draft.revoke(device.id()).unwrap();
        let signature = sign(&first.secret, &draft.signable().unwrap());
        self.manifest = draft.finish(signature).unwrap();
        device
    }

    pub(super) fn authenticate_request(
        &self,
        device: usize,
        exporter: [u8; 32],
    ) -> v1::AuthenticateRequest {
        let device = &self.devices[device];
        let signable = authentication_signable(&exporter, &self.account(), &device.id());
        v1::AuthenticateRequest {
            account_key: self.account().to_wire(),
            device_id: device.id().to_wire(),
            signature: wire(&sign(&device.secret, &signable)),
        }
    }

    pub(super) fn generation_request(
        &self,
        device: usize,
        generation: u64,
    ) -> v1::AdvanceGenerationRequest {
        let device = &self.devices[device];
        let signable = generation_signable(&self.account(), &device.id(), generation);
        v1::AdvanceGenerationRequest {
            generation,
            signature: wire(&sign(&device.secret, &signable)),
            expired: Vec::new(),
        }
    }

    /// A prekey pair of one of the devices. `id` 0 is replaced by a signed pair with id 1.
    pub(super) fn prekey(&self, device: usize, kind: PrekeyKind, id: u32) -> PrekeyPair {
        let device = &self.devices[device];
        let unsigned = UnsignedPrekeyPair {
            account: self.account(),
            device: device.id(),
            kind,
            id,
            created: TODAY,
            dh_key: [9; 32],
            kem_key: Box::new([id.to_be_bytes()[3]; 1568]),
        };
        let signature = sign(&device.secret, &unsigned.signable());
        unsigned
            .finish(&device.keys.signing_key, signature)
            .unwrap()
    }

    pub(super) fn publication(
        &self,
        device: usize,
        one_time: core::ops::RangeInclusive<u32>,
    ) -> v1::PublishPrekeysRequest {
        let head = self.manifest.head();
        v1::PublishPrekeysRequest {
            signed_pair: self
                .prekey(device, PrekeyKind::Signed { head }, 1)
                .as_bytes()
                .clone(),
            one_time_pairs: one_time
                .map(|id| {
                    self.prekey(device, PrekeyKind::OneTime, id)
                        .as_bytes()
                        .clone()
                })
                .collect(),
        }
    }

    /// One envelope for each device, with ids that follow from `number`.
    pub(super) fn send_request(&self, delivery_id: DeliveryId, number: u64) -> v1::SendRequest {
        let envelope = |device: &TestDevice| {
            let mut envelope_id = [0; 16];
            envelope_id[..8].copy_from_slice(&number.to_be_bytes());
            envelope_id[8] = device.id().as_bytes()[0];
            v1::AddressedEnvelope {
                device_id: device.id().to_wire(),
                envelope_id: Bytes::copy_from_slice(&envelope_id),
                envelope: Bytes::from(format!("sealed {number}")),
            }
        };
        v1::SendRequest {
            delivery_id: delivery_id.to_wire(),
            manifest_version: self.manifest.version(),
            envelopes: self.devices.iter().map(envelope).collect(),
            ephemeral: false,
            admission: Bytes::new(),
        }
    }
}

pub(super) fn wire(signature: &Signature) -> Bytes {
    Bytes::copy_from_slice(signature.as_bytes())
}
