// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People with an account and one device each, made from numbers, and what they send.

use std::sync::OnceLock;

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use waxwing_identity::authentication::authentication_signable;
use waxwing_identity::{
    DeviceDhKey, DeviceKeys, DeviceManifest, DeviceSigningKey, ManifestDraft, Signatory, Signature,
};
use waxwing_proto::v1;
use waxwing_proto::{AccountKey, DeliveryId, DeviceId};

use super::frames::{Address, address_of};

const TODAY: u32 = 20_000;
/// An envelope around a content that is padded to 1 KiB ([ENV-1], [ENV-5]): version and kind, tag, salt,
/// sealed header, sealed content.
pub(super) const ENVELOPE: usize = 2 + 16 + 16 + (44 + 16) + (1024 + 16);
/// Time and number at the beginning of an envelope.
const STAMP: usize = 16;

/// A person who receives.
pub(super) struct Person {
    number: u32,
    device_secret: SigningKey,
    device: DeviceId,
    manifest: DeviceManifest,
    /// What a contact of theirs sends to.
    contact_id: DeliveryId,
    /// The same at the bare relay.
    pub(super) address: Address,
}

fn secret(number: u32, kind: u8) -> SigningKey {
    let mut seed = [kind; 32];
    for (to, from) in seed.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    SigningKey::from_bytes(&seed)
}

fn id(number: u32, kind: u8) -> [u8; 16] {
    let mut id = [kind; 16];
    for (to, from) in id.iter_mut().zip(number.to_be_bytes()) {
        *to = from;
    }
    id
}

fn sign(secret: &SigningKey, message: &[u8]) -> Signature {
    Signature::new(secret.sign(message).to_bytes())
}

fn wire(signature: &Signature) -> Bytes {
    Bytes::copy_from_slice(signature.as_bytes())
}

impl Person {
    pub(super) fn new(number: u32) -> anyhow::Result<Self> {
        let (account_secret, device_secret) = (secret(number, 1), secret(number, 2));
        let account = AccountKey::new(account_secret.verifying_key().to_bytes());
        let keys = DeviceKeys {
            id: DeviceId::new(id(number, 3)),
            signing_key: DeviceSigningKey::new(device_secret.verifying_key().to_bytes()),
            dh_key: DeviceDhKey::new([3; 32]),
        };
        let membership = sign(&device_secret, &keys.membership_signable(&account));
        let candidate = keys.countersigned(&account, membership)?;
        let by = Signatory::Account;
        let admission = sign(&account_secret, &candidate.admission_signable(TODAY, &by));
        let draft = ManifestDraft::first(account, candidate.admit(TODAY, by, admission)?);
        let signature = sign(&account_secret, &draft.signable()?);
        Ok(Self {
            number,
            device: keys.id,
            manifest: draft.finish(signature)?,
            contact_id: DeliveryId::new(id(number, 4)),
            address: address_of(&device_secret.verifying_key()),
            device_secret,
        })
    }

    /// The key that proves who receives.
    pub(super) const fn device_secret(&self) -> &SigningKey {
        &self.device_secret
    }

    pub(super) fn register(&self, invite_token: Bytes) -> v1::RegisterRequest {
        v1::RegisterRequest {
            invite_token,
            name: format!("user-{}", self.number),
            manifest: self.manifest.as_bytes().clone(),
            public_delivery_id: DeliveryId::new(id(self.number, 5)).to_wire(),
            own_delivery_id: DeliveryId::new(id(self.number, 6)).to_wire(),
        }
    }

    /// The delivery id that a contact is given.
    pub(super) fn create_delivery_ids(&self) -> v1::CreateDeliveryIdsRequest {
        v1::CreateDeliveryIdsRequest {
            delivery_ids: vec![self.contact_id.to_wire()],
        }
    }

    pub(super) fn authenticate(&self, exporter: &[u8; 32]) -> v1::AuthenticateRequest {
        let account = self.manifest.account();
        let signable = authentication_signable(exporter, account, &self.device);
        v1::AuthenticateRequest {
            account_key: account.to_wire(),
            device_id: self.device.to_wire(),
            signature: wire(&sign(&self.device_secret, &signable)),
        }
    }

    /// How somebody who holds the contact's delivery id sends an envelope.
    pub(super) fn send(&self, envelope: Vec<u8>) -> v1::SendRequest {
        let number = Stamp::of(&envelope).map_or(0, |stamp| stamp.number);
        let mut envelope_id = id(self.number, 7);
        for (to, from) in envelope_id.iter_mut().rev().zip(number.to_le_bytes()) {
            *to = from;
        }
        v1::SendRequest {
            delivery_id: self.contact_id.to_wire(),
            manifest_version: self.manifest.version(),
            envelopes: vec![v1::AddressedEnvelope {
                device_id: self.device.to_wire(),
                envelope_id: Bytes::copy_from_slice(&envelope_id),
                envelope: envelope.into(),
            }],
            ephemeral: false,
            admission: Bytes::new(),
        }
    }
}

/// What an envelope says to this benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When it was to be sent, in nanoseconds of the monotonic clock.
    pub(super) sent_ns: u64,
    /// Which one of this recipient it is.
    pub(super) number: u64,
}

impl Stamp {
    /// An envelope with this stamp. The rest is what no engine can compress.
    pub(super) fn envelope(self) -> Vec<u8> {
        let mut envelope = Vec::with_capacity(ENVELOPE);
        envelope.extend_from_slice(&self.sent_ns.to_le_bytes());
        envelope.extend_from_slice(&self.number.to_le_bytes());
        // Another piece for each: two of them lie in one block of an engine.
        let from = usize::try_from(self.sent_ns ^ self.number).unwrap_or(0) % (NOISE - ENVELOPE);
        envelope.extend(noise().iter().skip(from).take(ENVELOPE - STAMP));
        envelope
    }

    /// What stands in an envelope; `None` where it was not whole.
    pub(super) fn of(envelope: &[u8]) -> Option<Self> {
        if envelope.len() != ENVELOPE {
            return None;
        }
        let (sent, number) = envelope.get(..STAMP)?.split_at_checked(8)?;
        Some(Self {
            sent_ns: u64::from_le_bytes(sent.try_into().ok()?),
            number: u64::from_le_bytes(number.try_into().ok()?),
        })
    }
}

/// Bytes that no engine can compress, to take the rest of envelopes from.
const NOISE: usize = 1024 * 1024;

fn noise() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = (0..NOISE / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_from_a_whole_envelope_only() {
        let stamp = Stamp {
            sent_ns: 5,
            number: 6,
        };
        let envelope = stamp.envelope();
        assert_eq!(envelope.len(), ENVELOPE);
        assert_eq!(Stamp::of(&envelope), Some(stamp));
        assert_eq!(Stamp::of(&envelope[1..]), None);
    }
}
