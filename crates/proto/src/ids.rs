// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Identifiers: fixed-length byte strings, each with a type of its own.

use crate::WireError;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $length:literal, $field:literal) => {
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

            /// The bytes as a wire field. Whoever encodes it clones it: bytes that have an owner allocate
            /// nothing for that, others do.
            #[must_use]
            pub fn to_wire(self) -> bytes::Bytes {
                bytes::Bytes::from_owner(self.0)
            }

            /// Lower-case hexadecimal digits.
            #[must_use]
            pub fn to_hex(&self) -> String {
                data_encoding::HEXLOWER.encode(&self.0)
            }

            /// Reads lower-case or upper-case hexadecimal digits.
            ///
            /// # Errors
            /// [`WireError::Syntax`] or [`WireError::Length`].
            pub fn from_hex(text: &str) -> Result<Self, WireError> {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .map_err(|_| WireError::Syntax { field: $field })?;
                Self::try_from(bytes.as_slice())
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = WireError;

            fn try_from(bytes: &[u8]) -> Result<Self, WireError> {
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| WireError::Length { field: $field })
            }
        }
    };
}

macro_rules! shown {
    ($name:ident) => {
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_hex())
            }
        }
    };
}

/// Capabilities: whoever sees the bytes can use them, so `Debug` does not show them.
macro_rules! hidden {
    ($name:ident) => {
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

identifier!(
    /// An account: its Ed25519 account identity key, in the encoding of RFC 8032.
    AccountKey, 32, "account_key"
);
shown!(AccountKey);

identifier!(
    /// A device: random, never used again after the device is gone.
    DeviceId, 16, "device_id"
);
shown!(DeviceId);

identifier!(
    /// A capability of one contact to write to one account.
    DeliveryId, 16, "delivery_id"
);
hidden!(DeliveryId);

identifier!(
    /// One envelope for one device, chosen by the sender; the server deduplicates by it.
    EnvelopeId, 16, "envelope_id"
);
shown!(EnvelopeId);

identifier!(
    /// One content, the same for all its recipients and devices, only inside the encryption.
    MessageId, 16, "message_id"
);
shown!(MessageId);

identifier!(
    /// The right to register on a server.
    InviteToken, 16, "invite_token"
);
hidden!(InviteToken);

identifier!(
    /// Where two devices of one person meet: derived from the secret in a link code.
    RendezvousLocator, 16, "locator"
);
shown!(RendezvousLocator);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_length_is_refused() {
        assert_eq!(
            DeviceId::try_from([0_u8; 15].as_slice()),
            Err(WireError::Length { field: "device_id" })
        );
        assert!(DeviceId::try_from([0_u8; 16].as_slice()).is_ok());
    }

    #[test]
    fn hexadecimal_digits_round_trip() {
        let id = MessageId::new([0xa5; 16]);
        assert_eq!(MessageId::from_hex(&id.to_hex()), Ok(id));
        assert!(MessageId::from_hex("zz").is_err());
    }

    #[test]
    fn capabilities_are_not_shown() {
        assert_eq!(format!("{:?}", DeliveryId::new([7; 16])), "DeliveryId(..)");
    }
}
