// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An account and its devices, made from small seeds.

use ed25519_dalek::{Signer as _, SigningKey};
use waxwing_identity::{
    AccountKey, DeviceDhKey, DeviceEntry, DeviceId, DeviceKeys, DeviceSigningKey, Signatory,
    Signature,
};

pub(crate) const DAY: u32 = 20_000;
/// The key of the account; other numbers are devices.
pub(crate) const OWNER: u8 = 1;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn account() -> AccountKey {
    AccountKey::new(key(OWNER).verifying_key().to_bytes())
}

pub(crate) fn device(seed: u8) -> DeviceKeys {
    DeviceKeys {
        id: DeviceId::new([seed; 16]),
        signing_key: DeviceSigningKey::new(key(seed).verifying_key().to_bytes()),
        dh_key: DeviceDhKey::new([seed; 32]),
    }
}

pub(crate) fn sign(seed: u8, message: &[u8]) -> Signature {
    Signature::new(key(seed).sign(message).to_bytes())
}

/// A device that the account key admits.
pub(crate) fn entry(seed: u8) -> DeviceEntry {
    let keys = device(seed);
    let membership = sign(seed, &keys.membership_signable(&account()));
    let device = keys.countersigned(&account(), membership).unwrap();
    let admission = sign(OWNER, &device.admission_signable(DAY, &Signatory::Account));
    device.admit(DAY, Signatory::Account, admission).unwrap()
}
