// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a device proves to its server: who it is, on this connection and no other, and how far its
//! own store has come. The TLS exporter covers the handshake with the server's key (RFC 8446,
//! section 7.5), so a proof cannot be carried to another server or connection.

use waxwing_proto::{AccountKey, DeviceId};

use crate::encoding::Writer;
use crate::keys::{DeviceSigningKey, Signature, SignatureError, VerifyingKey as _};
use crate::labels;

/// The length of the exporter value, in bytes.
pub const EXPORTER_LENGTH: usize = 32;
/// The exporter label (RFC 8446, section 7.5), with an empty context.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-waxwing/1 authentication";

/// What a device signs to authenticate on the connection with this exporter value.
#[must_use]
pub fn authentication_signable(
    exporter: &[u8; EXPORTER_LENGTH],
    account: &AccountKey,
    device: &DeviceId,
) -> Vec<u8> {
    // TRN-13.
    Writer::labelled(labels::AUTHENTICATION)
        .raw(exporter)
        .raw(account.as_bytes())
        .raw(device.as_bytes())
        .into_bytes()
}

/// Verifies the signature over [`authentication_signable`], with the key from the newest manifest.
///
/// # Errors
/// [`SignatureError`].
pub fn verify_authentication(
    exporter: &[u8; EXPORTER_LENGTH],
    account: &AccountKey,
    device: &DeviceId,
    signing_key: &DeviceSigningKey,
    signature: &Signature,
) -> Result<(), SignatureError> {
    signing_key.verify(
        &authentication_signable(exporter, account, device),
        signature,
    )
}

/// What a device signs to leave its generation counter with the server.
#[must_use]
pub fn generation_signable(account: &AccountKey, device: &DeviceId, generation: u64) -> Vec<u8> {
    // IDN-33.
    Writer::labelled(labels::GENERATION)
        .raw(account.as_bytes())
        .raw(device.as_bytes())
        .u64(generation)
        .into_bytes()
}

/// Verifies the signature over [`generation_signable`].
///
/// # Errors
/// [`SignatureError`].
pub fn verify_generation(
    account: &AccountKey,
    device: &DeviceId,
    generation: u64,
    signing_key: &DeviceSigningKey,
    signature: &Signature,
) -> Result<(), SignatureError> {
    signing_key.verify(&generation_signable(account, device, generation), signature)
}

/// What the account key signs to close the account, on the connection with this exporter value.
#[must_use]
pub fn close_account_signable(exporter: &[u8; EXPORTER_LENGTH], account: &AccountKey) -> Vec<u8> {
    // IDN-35.
    Writer::labelled(labels::CLOSE_ACCOUNT)
        .raw(exporter)
        .raw(account.as_bytes())
        .into_bytes()
}

/// Verifies the signature over [`close_account_signable`].
///
/// # Errors
/// [`SignatureError`].
pub fn verify_close_account(
    exporter: &[u8; EXPORTER_LENGTH],
    account: &AccountKey,
    signature: &Signature,
) -> Result<(), SignatureError> {
    account.verify(&close_account_signable(exporter, account), signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;

    #[test]
    fn a_proof_holds_for_one_connection_and_device_only() {
        let device = TestDevice::new(1);
        let key = device.keys().signing_key;
        let account = AccountKey::new([9; 32]);
        let id = device.keys().id;
        let proof = device.sign(&authentication_signable(&[1; 32], &account, &id));
        let verify = |exporter: [u8; 32], account: &AccountKey, id: &DeviceId| {
            verify_authentication(&exporter, account, id, &key, &proof)
        };
        assert_eq!(verify([1; 32], &account, &id), Ok(()));
        assert!(verify([2; 32], &account, &id).is_err());
        assert!(verify([1; 32], &AccountKey::new([8; 32]), &id).is_err());
        assert!(verify([1; 32], &account, &DeviceId::new([0; 16])).is_err());
    }

    #[test]
    fn a_signature_for_one_purpose_serves_no_other() {
        let device = TestDevice::new(1);
        let keys = device.keys();
        let account = AccountKey::new([9; 32]);
        let signature = device.sign(&generation_signable(&account, &keys.id, 5));
        let key = keys.signing_key;
        let verify =
            |generation| verify_generation(&account, &keys.id, generation, &key, &signature);
        assert_eq!(verify(5), Ok(()));
        assert!(verify(6).is_err());
        assert!(verify_authentication(&[0; 32], &account, &keys.id, &key, &signature).is_err());
        let account_secret = TestDevice::new(2);
        let account = account_secret.as_account();
        let closing = account_secret.sign(&close_account_signable(&[3; 32], &account));
        assert_eq!(verify_close_account(&[3; 32], &account, &closing), Ok(()));
        assert!(verify_close_account(&[4; 32], &account, &closing).is_err());
    }
}
