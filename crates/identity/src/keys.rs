// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Public keys, signatures and digests as types of their own, and the one way in which a signature
//! is verified (RFC 8032 with the strict rules of `verify_strict`: no small-order key, no small-order
//! `R`, `S` below the group order; and here also no key in a second encoding).

use core::fmt;

use sha2::{Digest as _, Sha256};
use waxwing_proto::AccountKey;

use crate::encoding::{LayoutError, Reader};

macro_rules! public_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// The length in bytes.
            pub const LENGTH: usize = $length;

            /// Wraps the bytes; nothing is checked until they are used.
            #[must_use]
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
                reader.array().map(Self)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = LayoutError;

            fn try_from(bytes: &[u8]) -> Result<Self, LayoutError> {
                bytes.try_into().map(Self).map_err(|_| LayoutError::Limit)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = data_encoding::HEXLOWER.encode(&self.0);
                write!(f, concat!(stringify!($name), "({})"), digits)
            }
        }
    };
}

public_bytes!(
    /// `IKs`: the Ed25519 key by which a device signs prekeys, manifests and proofs to its server.
    DeviceSigningKey, 32
);
public_bytes!(
    /// `IKd`: the X25519 identity key of a device. A contributory check belongs to its use.
    DeviceDhKey, 32
);
public_bytes!(
    /// An Ed25519 signature (RFC 8032).
    Signature, 64
);
public_bytes!(
    /// A SHA-256 digest of public bytes.
    Digest, 32
);

impl Digest {
    /// Stands where there is nothing to hash, as before the first version of a manifest.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 over the parts, one after the other. The parts must delimit themselves.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Whether all bytes are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

/// A key or a signature that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The key is no point of the curve, is in a second encoding, or is of small order.
    #[error("a signing key is not acceptable")]
    Key,
    /// The signature does not belong to this key and message.
    #[error("a signature does not verify")]
    Signature,
}

impl SignatureError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Key => "signing_key_unacceptable",
            Self::Signature => "signature_invalid",
        }
    }
}

/// A public key that verifies signatures: an account key or a device's signing key.
pub trait VerifyingKey {
    /// The key in the encoding of RFC 8032.
    fn key_bytes(&self) -> &[u8; 32];

    /// Checks that the key is acceptable at all.
    ///
    /// # Errors
    /// [`SignatureError::Key`].
    fn check(&self) -> Result<(), SignatureError> {
        parse(self.key_bytes()).map(drop)
    }

    /// Verifies a signature over a message that begins with a label of [`crate::labels`].
    ///
    /// Time depends on public values only. An attacker may control all three inputs.
    ///
    /// # Errors
    /// [`SignatureError`].
    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        // IDN-5.
        parse(self.key_bytes())?
            .verify_strict(
                message,
                &ed25519_dalek::Signature::from_bytes(signature.as_bytes()),
            )
            .map_err(|_| SignatureError::Signature)
    }
}

impl VerifyingKey for AccountKey {
    fn key_bytes(&self) -> &[u8; 32] {
        self.as_bytes()
    }
}

impl VerifyingKey for DeviceSigningKey {
    fn key_bytes(&self) -> &[u8; 32] {
        self.as_bytes()
    }
}

fn parse(bytes: &[u8; 32]) -> Result<ed25519_dalek::VerifyingKey, SignatureError> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| SignatureError::Key)?;
    if key.is_weak() || !is_canonical(bytes) {
        return Err(SignatureError::Key);
    }
    Ok(key)
}

/// Whether the y coordinate is below the field prime 2^255 - 19. Decompression reduces it silently,
/// so one key could otherwise stand under two encodings, that is, two account ids.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    !(*lowest >= 0xed && middle.iter().all(|byte| *byte == 0xff) && highest & 0x7f == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    #[test]
    fn a_known_signature_verifies() {
        // RFC 8032, section 7.1, test 2.
        let key = AccountKey::from_hex(
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        )
        .unwrap();
        let signature = data_encoding::HEXLOWER
            .decode(
                b"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                  085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            )
            .unwrap();
        let signature = Signature::try_from(signature.as_slice()).unwrap();
        assert_eq!(key.verify(&[0x72], &signature), Ok(()));
        assert_eq!(
            key.verify(&[0x73], &signature),
            Err(SignatureError::Signature)
        );
    }

    #[test]
    fn small_order_and_second_encodings_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        // p + 1, a second encoding of the identity, and p + 3, a second encoding of y = 3.
        let mut identity_again = [0xff; 32];
        identity_again[0] = 0xee;
        identity_again[31] = 0x7f;
        let mut three_again = identity_again;
        three_again[0] = 0xf0;
        for bytes in [[0; 32], identity, identity_again, three_again] {
            assert_eq!(
                DeviceSigningKey::new(bytes).check(),
                Err(SignatureError::Key)
            );
            assert!(
                AccountKey::new(bytes)
                    .verify(b"", &Signature::new([0; 64]))
                    .is_err()
            );
        }
    }

    #[test]
    fn a_signature_with_s_above_the_order_is_refused() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let key = DeviceSigningKey::new(secret.verifying_key().to_bytes());
        let good = secret.sign(b"message").to_bytes();
        assert_eq!(key.verify(b"message", &Signature::new(good)), Ok(()));
        // The group order, little-endian (RFC 8032, section 5.1).
        let order = data_encoding::HEXLOWER
            .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
            .unwrap();
        let mut bad = good;
        let mut carry = 0_u16;
        for (byte, add) in bad[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        assert!(key.verify(b"message", &Signature::new(bad)).is_err());
    }

    #[test]
    fn a_digest_is_sha_256() {
        assert_eq!(
            format!("{:?}", Digest::of(&[b"a", b"bc"])),
            "Digest(ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad)"
        );
        assert!(Digest::try_from([0_u8; 31].as_slice()).is_err());
    }
}
