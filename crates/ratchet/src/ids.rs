// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The names of sessions, handshakes, routing tags and skipped keys.

use core::fmt;

macro_rules! public_name {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// The length in bytes.
            pub const LENGTH: usize = $length;

            /// Wraps the bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = crate::RatchetError;

            fn try_from(bytes: &[u8]) -> Result<Self, crate::RatchetError> {
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| crate::RatchetError::Corrupt)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                for byte in self.0.iter().take(8) {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str(")")
            }
        }
    };
}

public_name!(
    /// A session: `th`, the hash of its handshake's transcript. The same on both sides. It is not
    /// secret between the two devices, but never appears outside the encryption.
    SessionId, 32
);
public_name!(
    /// A handshake as the server can see it: `SHA256(EK || ct)`. By it a repeated prefix is found
    /// and a replayed one is dropped.
    HandshakeId, 32
);
public_name!(
    /// The routing tag of one envelope. The sender chooses it; who does not hold the session's tag
    /// key cannot tell two of them apart.
    Tag, 16
);

public_name!(
    /// The name of a continuity secret: `Name(CONT, "id", "", 8)`. Travels inside the encryption only.
    ContinuityId, 8
);

/// A skipped message key within its session: the step that began its chain, and its number there.
/// The order is the order of age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SkippedId {
    /// The step that began the chain.
    pub step: u32,
    /// The number in the chain.
    pub n: u32,
}

impl SkippedId {
    /// Eight bytes whose order is the order of age: a row key.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.step) << 32 | u64::from(self.n)).to_be_bytes()
    }

    /// Reads what [`SkippedId::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self {
            step: u32::from_be_bytes([a, b, c, d]),
            n: u32::from_be_bytes([e, f, g, h]),
        }
    }
}
