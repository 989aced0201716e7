// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Golden files of the fixed layouts: read, every value compared, written again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

#[path = "../../../vectors/compat/golden.rs"]
mod golden;

use core::fmt::{Debug, Display};
use core::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey};
use golden::Golden;
use waxwing_identity::authentication::{
    authentication_signable, close_account_signable, generation_signable, verify_authentication,
};
use waxwing_identity::{
    AccountKey, ContactLink, DeliveryId, DeviceDhKey, DeviceEntry, DeviceId, DeviceKeys,
    DeviceManifest, DeviceSigningKey, Digest, Fingerprint, InviteLink, InviteToken, KeyPin,
    LinkCode, ManifestDraft, ManifestHead, PrekeyKind, PrekeyPair, RendezvousSecret, SafetyNumber,
    ServerAddress, ServerLink, Signatory, Signature, UnsignedPrekeyPair, VerificationPayload,
    verify_chain,
};

const DAY: u32 = 20_000;

/// A secret key from a small seed: of a device, or of an account.
struct Key(u8, SigningKey);

impl Key {
    fn new(seed: u8) -> Self {
        Self(seed, SigningKey::from_bytes(&[seed; 32]))
    }

    fn sign(&self, signable: &[u8]) -> Signature {
        Signature::new(self.1.sign(signable).to_bytes())
    }

    fn account(&self) -> AccountKey {
        AccountKey::new(self.1.verifying_key().to_bytes())
    }

    fn device(&self) -> DeviceKeys {
        DeviceKeys {
            id: DeviceId::new([self.0; 16]),
            signing_key: DeviceSigningKey::new(self.1.verifying_key().to_bytes()),
            dh_key: DeviceDhKey::new([self.0 ^ 0x80; 32]),
        }
    }

    fn joins(&self, account: &AccountKey, by: Signatory, sponsor: &Self) -> DeviceEntry {
        let membership = self.sign(&self.device().membership_signable(account));
        let device = self.device().countersigned(account, membership).unwrap();
        let admission = sponsor.sign(&device.admission_signable(DAY, &by));
        device.admit(DAY, by, admission).unwrap()
    }

    fn finish(&self, draft: ManifestDraft) -> DeviceManifest {
        let signature = self.sign(&draft.signable().unwrap());
        draft.finish(signature).unwrap()
    }
}

/// A first version, one that a device signed, and one by which the account key overrides.
fn manifests() -> [DeviceManifest; 3] {
    let (account, laptop, phone, new) = (Key::new(1), Key::new(2), Key::new(3), Key::new(4));
    let (aik, by_account) = (account.account(), Signatory::Account);
    let entry = laptop.joins(&aik, by_account, &account);
    let first = account.finish(ManifestDraft::first(aik, entry));
    let by = laptop.device().signatory();
    let draft = ManifestDraft::after(&first, by).unwrap();
    let second = laptop.finish(draft.list(phone.joins(&aik, by, &laptop)).unwrap());
    let draft = ManifestDraft::overriding(&second, 2)
        .unwrap()
        .revoke_all()
        .unwrap();
    let third = account.finish(draft.list(new.joins(&aik, by_account, &account)).unwrap());
    [first, second, third]
}

fn server() -> ServerAddress {
    ServerAddress {
        host: "chat.example.org".parse().unwrap(),
        port: 4747,
        key_pins: vec![KeyPin([0xb1; 32]), KeyPin([0xb2; 32])],
    }
}

const fn head(version: u32, byte: u8) -> ManifestHead {
    ManifestHead {
        version,
        hash: Digest::new([byte; 32]),
    }
}

#[test]
fn manifests_are_read_for_ever() {
    let mut golden = Golden::open("layouts/manifests");
    let mut read = Vec::new();
    for (number, manifest) in (1_u32..).zip(&manifests()) {
        let name = format!("manifest-{number}");
        let stored = golden.bytes(&name, "device manifest", || manifest.as_bytes().to_vec());
        let decoded = DeviceManifest::decode(&stored).unwrap();
        assert_eq!(decoded.version(), number);
        assert_eq!(decoded.head(), manifest.head());
        assert_eq!(decoded.devices(), manifest.devices());
        assert_eq!(decoded.revoked(), manifest.revoked());
        assert_eq!(decoded.signer(), manifest.signer());
        assert_eq!(
            manifest.as_bytes().as_ref(),
            stored,
            "made again, it differs"
        );
        read.push(decoded);
    }
    assert!(verify_chain(&read).is_ok());
    let keys = Key::new(2).device();
    let what = "the keys of a device, as a rendezvous carries them";
    let stored = golden.bytes("device-keys", what, || keys.encode());
    assert_eq!(DeviceKeys::decode(&stored).unwrap(), keys);
    assert_eq!(keys.encode(), stored);
    let head = head(307, 7).to_bytes();
    let what = "manifest head, as transcripts hold it";
    assert_eq!(
        head.as_slice(),
        golden.bytes("manifest-head", what, || head.to_vec())
    );
    golden.finish();
}

#[test]
fn prekey_pairs_are_read_for_ever() {
    let mut golden = Golden::open("layouts/prekeys");
    let (account, device) = (Key::new(1).account(), Key::new(2));
    let signed = PrekeyKind::Signed { head: head(301, 1) };
    for (name, kind) in [("signed", signed), ("one-time", PrekeyKind::OneTime)] {
        let unsigned = UnsignedPrekeyPair {
            account,
            device: device.device().id,
            kind,
            id: 70_000,
            created: DAY,
            dh_key: [5; 32],
            kem_key: Box::new([6; 1568]),
        };
        let signature = device.sign(&unsigned.signable());
        let key = device.device().signing_key;
        let made = unsigned.clone().finish(&key, signature).unwrap();
        let stored = golden.bytes(name, "prekey pair", || made.as_bytes().to_vec());
        let read = PrekeyPair::decode(&stored).unwrap();
        read.verify(&key, &account, &unsigned.device).unwrap();
        assert_eq!(read, made, "{name}");
        assert_eq!(
            (read.id(), read.created(), *read.kind()),
            (70_000, DAY, kind)
        );
        assert_eq!(made.as_bytes().as_ref(), stored, "made again, it differs");
    }
    golden.finish();
}

/// A text that stands for a value: read, compared, written again.
fn text<T>(golden: &mut Golden, name: &str, what: &str, value: &T)
where
    T: Display + FromStr + PartialEq + Debug,
    T::Err: Debug,
{
    let stored = golden.bytes(name, what, || value.to_string().into_bytes());
    let stored = String::from_utf8(stored).unwrap();
    assert_eq!(stored.parse::<T>().unwrap(), *value, "{name}");
    assert_eq!(value.to_string(), stored, "{name}");
}

#[test]
fn links_and_codes_are_read_for_ever() {
    let mut golden = Golden::open("layouts/links");
    let (alice, bob) = (Key::new(1).account(), Key::new(9).account());
    let id = DeliveryId::new([7; 16]);
    let contact = ContactLink::new(server(), "alice".parse().unwrap(), alice, id).unwrap();
    text(&mut golden, "contact", "contact link", &contact);
    let invite = InviteLink::new(server(), InviteToken::new([8; 16])).unwrap();
    text(&mut golden, "invite", "invite link", &invite);
    text(
        &mut golden,
        "server",
        "server link",
        &ServerLink::new(server()).unwrap(),
    );
    let secret = RendezvousSecret::new([10; 16]);
    let code = LinkCode::new(server(), secret, &Key::new(2).device()).unwrap();
    text(&mut golden, "device", "link code of a device", &code);
    let locator = code.locator();
    let what = "rendezvous locator of that link code";
    let stored = golden.bytes("locator", what, || locator.as_bytes().to_vec());
    assert_eq!(locator.as_bytes().as_slice(), stored);
    let payload = VerificationPayload {
        account: alice,
        head: head(301, 1),
        peer: bob,
        peer_head: head(302, 2),
    };
    text(&mut golden, "verify", "verification code", &payload);
    text(
        &mut golden,
        "fingerprint",
        "fingerprint",
        &Fingerprint::of(&alice),
    );
    let number = SafetyNumber::between(&alice, &bob).to_string();
    let what = "safety number of two accounts";
    let stored = golden.bytes("safety-number", what, || number.clone().into_bytes());
    assert_eq!(number.as_bytes(), stored);
    golden.finish();
}

#[test]
fn what_is_signed_is_the_same_for_ever() {
    let mut golden = Golden::open("layouts/signed");
    let (account, device) = (Key::new(1).account(), Key::new(2));
    let (keys, by) = (device.device(), Signatory::Account);
    let membership = keys.membership_signable(&account);
    let joined = keys
        .countersigned(&account, device.sign(&membership))
        .unwrap();
    let authentication = authentication_signable(&[3; 32], &account, &keys.id);
    for (name, signable) in [
        ("authentication", authentication.clone()),
        ("generation", generation_signable(&account, &keys.id, 300)),
        ("close-account", close_account_signable(&[3; 32], &account)),
        ("membership", membership),
        ("admission-by-account", joined.admission_signable(DAY, &by)),
        (
            "admission-by-device",
            joined.admission_signable(DAY, &keys.signatory()),
        ),
    ] {
        let stored = golden.bytes(name, "what is signed", || signable.clone());
        assert_eq!(signable, stored, "{name}");
    }
    let stored = golden.bytes(
        "authentication-proof",
        "signature over `authentication`",
        || device.sign(&authentication).as_bytes().to_vec(),
    );
    let proof = Signature::new(stored.try_into().unwrap());
    verify_authentication(&[3; 32], &account, &keys.id, &keys.signing_key, &proof).unwrap();
    golden.finish();
}
