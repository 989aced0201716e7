// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fast backend: aws-lc-rs, whose X25519 and ML-KEM are assembly. Its keys, ciphertexts and
//! secrets are those of [`PureRust`]; only its encapsulation draws its own randomness.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::kem::{
    Algorithm, AlgorithmId, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768, ML_KEM_1024,
};

use super::{Backend, CryptoError, DhKey, KemKey, ParameterSet, PureRust, Secret, pure_rust};

/// aws-lc-rs, with [`PureRust`] for what it does not offer: a KEM key from its seed.
#[derive(Debug, Clone, Copy)]
pub struct Fast;

struct FastDhKey(PrivateKey);

impl DhKey for FastDhKey {
    fn public(&self) -> [u8; 32] {
        let public = self.0.compute_public_key().ok();
        public
            .and_then(|public| public.as_ref().try_into().ok())
            .unwrap_or_default()
    }

    fn agree(&self, public: &[u8; 32]) -> Result<Secret<32>, CryptoError> {
        // The only failure for 32 bytes is a result of all zeros (RFC 7748, section 6.1).
        let failed = CryptoError::NonContributory;
        agreement::agree(
            &self.0,
            UnparsedPublicKey::new(&X25519, public),
            failed,
            |shared| Secret::from_slice(shared).ok_or(failed),
        )
    }
}

/// The encapsulation key stands beside, because the library gives none for a key from bytes.
struct FastKemKey {
    key: DecapsulationKey,
    encapsulation_key: Vec<u8>,
}

impl KemKey for FastKemKey {
    fn encapsulation_key(&self) -> Vec<u8> {
        self.encapsulation_key.clone()
    }

    fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret<32>, CryptoError> {
        let malformed = CryptoError::Malformed("a KEM ciphertext");
        let shared = self
            .key
            .decapsulate(Ciphertext::from(ciphertext))
            .map_err(|_| malformed)?;
        Secret::from_slice(shared.as_ref()).ok_or(malformed)
    }
}

const fn algorithm(set: ParameterSet) -> &'static Algorithm<AlgorithmId> {
    match set {
        ParameterSet::MlKem768 => &ML_KEM_768,
        ParameterSet::MlKem1024 => &ML_KEM_1024,
    }
}

impl Backend for Fast {
    fn takes_randomness(&self) -> bool {
        false
    }

    fn x25519_key(&self, secret: &Secret<32>) -> Box<dyn DhKey> {
        match PrivateKey::from_private_key(&X25519, secret.expose()) {
            Ok(key) => Box::new(FastDhKey(key)),
            Err(_) => PureRust.x25519_key(secret),
        }
    }

    fn kem_key(&self, set: ParameterSet, seed: &Secret<64>) -> Box<dyn KemKey> {
        let key = pure_rust::expand(set, seed, |secret, public| {
            DecapsulationKey::new(algorithm(set), secret).map(|key| FastKemKey {
                key,
                encapsulation_key: public.to_vec(),
            })
        });
        match key {
            Ok(key) => Box::new(key),
            Err(_) => PureRust.kem_key(set, seed),
        }
    }

    fn kem_encapsulate(
        &self,
        set: ParameterSet,
        encapsulation_key: &[u8],
        _: &Secret<32>,
    ) -> Result<(Vec<u8>, Secret<32>), CryptoError> {
        let bad = CryptoError::BadKemKey;
        let key = EncapsulationKey::new(algorithm(set), encapsulation_key).map_err(|_| bad)?;
        let (ciphertext, shared) = key.encapsulate().map_err(|_| bad)?;
        let shared = Secret::from_slice(shared.as_ref()).ok_or(bad)?;
        Ok((ciphertext.as_ref().to_vec(), shared))
    }
}
