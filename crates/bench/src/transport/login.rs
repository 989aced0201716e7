// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device's login as the real server checks it: an Ed25519 signature over what the two ends of a
//! connection export (TRN-13). Both servers check it by the same function.

use anyhow::{Context as _, Result};
use ed25519_dalek::{Signer as _, SigningKey};
use waxwing_identity::authentication::{
    EXPORTER_LENGTH, authentication_signable, verify_authentication,
};
use waxwing_identity::{AccountKey, DeviceId, DeviceSigningKey, Signature};
use waxwing_proto::v1;

pub(super) use waxwing_identity::authentication::EXPORTER_LABEL;

/// The size of a login without its frame: a signature.
pub(super) const LOGIN_SIZE: usize = 64;

const ACCOUNT: AccountKey = AccountKey::new([5; 32]);
const DEVICE: DeviceId = DeviceId::new([6; DeviceId::LENGTH]);

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// What the device signs on this connection.
pub(super) fn sign(exporter: &[u8; EXPORTER_LENGTH]) -> [u8; LOGIN_SIZE] {
    let signable = authentication_signable(exporter, &ACCOUNT, &DEVICE);
    key().sign(&signable).to_bytes()
}

/// The same as a call.
pub(super) fn request(exporter: &[u8; EXPORTER_LENGTH]) -> v1::Request {
    v1::Request {
        deadline_ms: 0,
        call: Some(v1::request::Call::Authenticate(v1::AuthenticateRequest {
            account_key: ACCOUNT.as_bytes().to_vec().into(),
            device_id: DEVICE.as_bytes().to_vec().into(),
            signature: sign(exporter).to_vec().into(),
        })),
    }
}

/// Whether it is the device.
///
/// # Errors
/// It is not.
pub(super) fn verify(exporter: &[u8; EXPORTER_LENGTH], signature: &[u8]) -> Result<()> {
    let signature = signature
        .first_chunk::<LOGIN_SIZE>()
        .context("no signature")?;
    let known = DeviceSigningKey::new(key().verifying_key().to_bytes());
    let signature = Signature::new(*signature);
    verify_authentication(exporter, &ACCOUNT, &DEVICE, &known, &signature)
        .map_err(|_| anyhow::anyhow!("another signature"))
}
