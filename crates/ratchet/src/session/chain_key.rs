// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A chain key (Double Ratchet, section 2.2): `mk_n = HMAC(CK, 0x01 || n)`, `CK = HMAC(CK, 0x02)`.

use waxwing_crypto::Secret;
use waxwing_crypto::kdf::HmacKey;

use super::message_key::MessageKey;

/// `CK`: gives the message keys of one chain, one after the other, and never one again. Shared
/// between the states before and after a message of another chain.
pub(crate) struct ChainKey(Secret<32>);

impl ChainKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// The message key of number `n`, which must be the number that this chain key stands at, and
    /// the chain key after it.
    pub(crate) fn advance(&self, n: u32) -> (MessageKey, Self) {
        // SES-31.
        let key = HmacKey::new(self.0.expose());
        let message = key.mac(&[&[0x01], &n.to_be_bytes()]);
        let next = key.mac(&[&[0x02]]);
        (MessageKey::new(message), Self::new(next))
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}
