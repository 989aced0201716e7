// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signing devices and accounts for this crate's tests, all made from small seeds.

use ed25519_dalek::{Signer as _, SigningKey};
use waxwing_proto::{AccountKey, DeviceId};

use crate::keys::{DeviceDhKey, DeviceSigningKey, Signature};
use crate::manifest::{
    CountersignedDevice, DeviceEntry, DeviceKeys, DeviceManifest, ManifestDraft, Signatory,
};

/// A secret key, which may stand for a device or for an account.
#[derive(Clone)]
pub(crate) struct TestDevice {
    seed: u8,
    secret: SigningKey,
}

impl TestDevice {
    pub(crate) fn new(seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        Self { seed, secret }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        Signature::new(self.secret.sign(message).to_bytes())
    }

    pub(crate) fn as_account(&self) -> AccountKey {
        AccountKey::new(self.secret.verifying_key().to_bytes())
    }

    pub(crate) fn id(&self) -> DeviceId {
        DeviceId::new([self.seed; 16])
    }

    pub(crate) fn keys(&self) -> DeviceKeys {
        DeviceKeys {
            id: self.id(),
            signing_key: DeviceSigningKey::new(self.secret.verifying_key().to_bytes()),
            dh_key: DeviceDhKey::new([self.seed ^ 0x80; 32]),
        }
    }

    pub(crate) fn signatory(&self) -> Signatory {
        self.keys().signatory()
    }

    pub(crate) fn join(&self, account: &AccountKey) -> CountersignedDevice {
        let signature = self.sign(&self.keys().membership_signable(account));
        self.keys().countersigned(account, signature).unwrap()
    }

    /// This device, admitted by another one.
    pub(crate) fn admitted_by(&self, account: &AccountKey, sponsor: &Self) -> DeviceEntry {
        let candidate = self.join(account);
        let by = sponsor.signatory();
        let signature = sponsor.sign(&candidate.admission_signable(20_000, &by));
        candidate.admit(20_000, by, signature).unwrap()
    }

    pub(crate) fn finish(&self, draft: ManifestDraft) -> DeviceManifest {
        let signature = self.sign(&draft.signable().unwrap());
        draft.finish(signature).unwrap()
    }

    /// A device-signed version that adds a device.
    pub(crate) fn adds(&self, previous: &DeviceManifest, device: &Self) -> DeviceManifest {
        let entry = device.admitted_by(previous.account(), self);
        let draft = ManifestDraft::after(previous, self.signatory()).unwrap();
        self.finish(draft.list(entry).unwrap())
    }

    /// A device-signed version that revokes a device.
    pub(crate) fn revokes(&self, previous: &DeviceManifest, device: &Self) -> DeviceManifest {
        let draft = ManifestDraft::after(previous, self.signatory()).unwrap();
        self.finish(draft.revoke(device.id()).unwrap())
    }
}

/// An account whose words the test knows.
pub(crate) struct TestAccount {
    pub(crate) secret: TestDevice,
    pub(crate) key: AccountKey,
}

impl TestAccount {
    pub(crate) fn new(seed: u8) -> Self {
        let secret = TestDevice::new(seed);
        let key = secret.as_account();
        Self { secret, key }
    }

    /// A device, admitted by the account key.
    pub(crate) fn admits(&self, device: &TestDevice) -> DeviceEntry {
        let candidate = device.join(&self.key);
        let by = Signatory::Account;
        let signature = self.secret.sign(&candidate.admission_signable(19_999, &by));
        candidate.admit(19_999, by, signature).unwrap()
    }

    /// Version 1 with one device.
    pub(crate) fn first(&self, device: &TestDevice) -> DeviceManifest {
        self.secret
            .finish(ManifestDraft::first(self.key, self.admits(device)))
    }

    pub(crate) fn finish(&self, draft: ManifestDraft) -> DeviceManifest {
        self.secret.finish(draft)
    }
}
