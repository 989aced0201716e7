// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The root key and its step, the only place of the ratchet where asymmetric keys enter.
//!
//! `RK', CK, NHK, CONT = KDF(RK, DH(new_X, remote) || PQ|z, "step", ctx)` with
//! `ctx = SHA256(th || step || mix || new_X || remote || [SHA256(ek) || SHA256(ct)])`,
//! the key of the side that makes the step first, on both sides.

use waxwing_crypto::{Scratch, Secret, kdf, labels, secret};

use super::chain_key::ChainKey;
use super::header::HeaderKeys;
use super::kem::EpochSecret;
use crate::SessionId;

/// `RK`. Each step replaces it.
pub(crate) struct RootKey(Secret<32>);

/// What distinguishes one step from every other.
pub(crate) struct StepContext<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) step: u32,
    /// The KEM epoch that is mixed in, and its secret; `None` where none is.
    pub(crate) mix: Option<(u32, &'a EpochSecret)>,
    /// The new ratchet key of the side that makes the step.
    pub(crate) new: &'a [u8; 32],
    /// The ratchet key of the other side.
    pub(crate) remote: &'a [u8; 32],
}

/// What one step yields.
pub(crate) struct Step {
    pub(crate) root: RootKey,
    pub(crate) chain: ChainKey,
    /// For the next chain of the side that makes this step.
    pub(crate) next_header: HeaderKeys,
    /// The continuity secret of this step.
    pub(crate) continuity: Secret<32>,
}

impl RootKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// Makes a step, or follows the peer's.
    pub(crate) fn step(&self, dh: &Secret<32>, context: &StepContext<'_>) -> Step {
        // SES-24, SES-97.
        let (epoch, secret) = context.mix.unzip();
        let hashes: [&[u8]; 2] = secret.map_or([&[], &[]], |secret| {
            [&secret.key_hash, &secret.ciphertext_hash]
        });
        let [key_hash, ciphertext_hash] = hashes;
        let digest = kdf::sha256(&[
            context.session.as_bytes(),
            &context.step.to_be_bytes(),
            &epoch.unwrap_or(0).to_be_bytes(),
            context.new,
            context.remote,
            key_hash,
            ciphertext_hash,
        ]);
        let kem = secret.map_or(&kdf::Z, |secret| secret.shared.expose());
        let ikm: [&[u8]; 2] = [dh.expose(), kem];
        let mut derived = Scratch::<128>::zeros();
        kdf::derive_into(self.0.expose(), &ikm, labels::STEP, &digest, &mut derived);
        let [root, chain, header, continuity] = secret::split(&derived);
        Step {
            root: Self::new(root),
            chain: ChainKey::new(chain),
            next_header: HeaderKeys::derive(&header),
            continuity,
        }
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}
