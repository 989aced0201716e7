// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every label of key derivation, in one file. One label, one use.
//!
//! The labels of signatures are in `waxwing-identity`, beside the structs that are signed.

/// A label that separates one derivation from all others. At most 255 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label(&'static str);

impl Label {
    /// The bytes that enter the derivation.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Label = Label($text);)*

        #[cfg(test)]
        const ALL: &[Label] = &[$($name),*];
    };
}

// SES-5.
labels! {
    // The pairwise protocol.
    /// The key of the initiator's hidden identity and the first chaining secret.
    HANDSHAKE_ID = "hs-id";
    /// The second chaining secret and the confirmation key.
    HANDSHAKE = "hs";
    /// The first root key and the first header keys.
    HANDSHAKE_ROOT = "hs-root";
    /// One Diffie-Hellman step of the root.
    STEP = "step";
    /// A header key's tag key and encryption key.
    HEADER = "header";
    /// A message key's cipher key and nonce.
    MESSAGE = "msg";
    /// The salt of one envelope.
    SALT = "salt";
    /// The name of a continuity secret.
    CONTINUITY_ID = "id";
    /// The confirmation of an encapsulated epoch secret.
    KEM_CONFIRMATION = "kem";

    // Accounts and devices.
    /// The account identity key, from the recovery words.
    ACCOUNT_KEY = "waxwing/account-key/ed25519";

    // The client's store at rest.
    /// The key that seals values.
    STORE_RECORD = "waxwing/store/record";
    /// The key that hides scope names.
    STORE_SCOPE = "waxwing/store/scope";
    /// The single key of one sealed value.
    STORE_VALUE = "waxwing/store/value";
    /// A hidden scope name.
    STORE_SCOPE_NAME = "waxwing/store/scope-name";

    // Linking a device.
    /// The key that seals the slots of a rendezvous.
    RENDEZVOUS_KEY = "waxwing/rendezvous/key";
    /// The single key of one sealed slot value.
    RENDEZVOUS_VALUE = "waxwing/rendezvous/value";
}

/// The first bytes of the two handshake transcripts, which are hashed and not framed.
pub const TRANSCRIPT_0: &[u8] = b"hs0";
/// See [`TRANSCRIPT_0`].
pub const TRANSCRIPT_1: &[u8] = b"hs1";

#[cfg(test)]
mod tests {
    use super::*;

    /// [SES-5].
    #[test]
    fn no_two_labels_are_equal_and_all_fit_their_length_byte() {
        for (at, label) in ALL.iter().enumerate() {
            assert!(label.as_bytes().len() <= 255);
            assert!(!ALL[..at].contains(label));
        }
    }
}
