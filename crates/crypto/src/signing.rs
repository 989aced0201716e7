// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ed25519 secrets (RFC 8032): the account identity key and a device's signing key.
//!
//! Neither signs bytes as such: a signable begins with a label of `waxwing_identity::labels`, and
//! each key accepts only the labels that are its own. So no server, link or peer can obtain a
//! signature that means something else.

use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRng;
use waxwing_identity::{DeviceKeys, DeviceSigningKey, Signature, labels};
use waxwing_proto::{AccountKey, DeviceId};

use crate::device::DeviceSecrets;
use crate::error::CryptoError;
use crate::secret::Secret;

/// What the account identity key signs.
const ACCOUNT_LABELS: &[&[u8]] = &[labels::MANIFEST, labels::ADMISSION, labels::CLOSE_ACCOUNT];

// IDN-6, IDN-7.
/// What a device's signing key signs.
const DEVICE_LABELS: &[&[u8]] = &[
    labels::MANIFEST,
    labels::ADMISSION,
    labels::MEMBERSHIP,
    labels::PREKEY_PAIR,
    labels::AUTHENTICATION,
    labels::GENERATION,
];

/// `AIK`: the account identity key. Made from the recovery words when it is needed, wiped when
/// dropped, kept on no device.
pub struct AccountSecret(Box<SigningKey>);

impl AccountSecret {
    pub(crate) fn from_seed(seed: &Secret<32>) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed.expose())))
    }

    /// The public key, which is the account's id.
    #[must_use]
    pub fn account_key(&self) -> AccountKey {
        // IDN-1.
        AccountKey::new(self.0.verifying_key().to_bytes())
    }

    /// Signs a labelled struct of `waxwing-identity`: a manifest, an admission, the closing of the
    /// account.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for a message that does not begin with one of those labels.
    pub fn sign(&self, signable: &[u8]) -> Result<Signature, CryptoError> {
        sign_labelled(&self.0, ACCOUNT_LABELS, signable)
    }
}

/// `IKs`: the signing key of one device.
pub struct DeviceSigningSecret(Box<SigningKey>);

impl DeviceSigningSecret {
    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_seed(&Secret::generate(rng))
    }

    pub(crate) fn from_seed(seed: &Secret<32>) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed.expose())))
    }

    pub(crate) fn expose_seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public key.
    #[must_use]
    pub fn device_key(&self) -> DeviceSigningKey {
        DeviceSigningKey::new(self.0.verifying_key().to_bytes())
    }

    /// Signs a labelled struct of `waxwing-identity`: a manifest, an admission, the own
    /// membership, a prekey pair, a proof to the server, a generation.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] for a message that does not begin with one of those labels.
    pub fn sign(&self, signable: &[u8]) -> Result<Signature, CryptoError> {
        sign_labelled(&self.0, DEVICE_LABELS, signable)
    }
}

impl DeviceSecrets {
    /// The public half, under a device id.
    #[must_use]
    pub fn public_keys(&self, id: DeviceId) -> DeviceKeys {
        DeviceKeys {
            id,
            signing_key: self.signing.device_key(),
            dh_key: self.dh.device_key(),
        }
    }
}

fn sign_labelled(
    key: &SigningKey,
    allowed: &[&[u8]],
    signable: &[u8],
) -> Result<Signature, CryptoError> {
    if !allowed.iter().any(|label| signable.starts_with(label)) {
        return Err(CryptoError::Malformed("a signable"));
    }
    Ok(Signature::new(key.sign(signable).to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng as _;
    use waxwing_identity::VerifyingKey as _;

    /// [IDN-6].
    #[test]
    fn signatures_verify_and_need_a_label_of_the_key() {
        let account = AccountSecret::from_seed(&Secret::copy_of(&[1; 32]));
        let device = DeviceSigningSecret::from_seed(&Secret::copy_of(&[2; 32]));

        let manifest = [labels::MANIFEST, b"body"].concat();
        let signature = account.sign(&manifest).unwrap();
        assert!(account.account_key().verify(&manifest, &signature).is_ok());
        let signature = device.sign(&manifest).unwrap();
        assert!(device.device_key().verify(&manifest, &signature).is_ok());

        let prekey = [labels::PREKEY_PAIR, b"body"].concat();
        assert!(device.sign(&prekey).is_ok());
        for refused in [prekey.as_slice(), b"", b"body", &manifest[1..]] {
            assert!(account.sign(refused).is_err());
        }
        assert!(device.sign(labels::DEVICE_KEYS).is_err());
    }

    /// A device that is offered to an account by its own keys.
    #[test]
    fn a_device_counter_signs_its_membership() {
        let mut seeds = rand_chacha::ChaCha20Rng::from_seed([3; 32]);
        let device = DeviceSecrets::generate(&mut seeds);
        let account = AccountSecret::from_seed(&Secret::copy_of(&[1; 32])).account_key();
        let keys = device.public_keys(DeviceId::new([7; 16]));
        let membership = device
            .signing
            .sign(&keys.membership_signable(&account))
            .unwrap();
        assert!(keys.countersigned(&account, membership).is_ok());
    }
}
