// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The short names by which mailboxes know envelopes.

use std::hash::Hasher;

use sha2::{Digest, Sha256};
use waxwing_proto::{DeliveryId, EnvelopeId};

/// Names an envelope for deduplication: 64 bits under a key that nobody outside knows, so that two
/// envelopes of one mailbox collide once in 2^50 at its bounds and nobody can make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u64);

/// The key of fingerprints.
pub(crate) type FingerprintKey = [u8; 16];

impl Fingerprint {
    pub(crate) fn new(key: &FingerprintKey, delivery: &DeliveryId, envelope: &EnvelopeId) -> Self {
        // One block of SHA-256 with fixed lengths; truncated, so it cannot be extended.
        let digest = Sha256::new()
            .chain_update(key)
            .chain_update(delivery.as_bytes())
            .chain_update(envelope.as_bytes())
            .finalize();
        let first = digest.first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_le_bytes(first))
    }
}

/// Fingerprints are uniform already.
#[derive(Default)]
pub(super) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
