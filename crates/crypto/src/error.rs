// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong, by fault. No variant holds a secret or bytes chosen by a peer.

/// An error of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    // The peer's fault.
    /// A Diffie-Hellman result was all zeros: the public key is of low order (RFC 7748, 6.1).
    #[error("a public key contributes nothing to the shared secret")]
    NonContributory,
    /// An encapsulation key fails the check of FIPS 203, section 7.2.
    #[error("an encapsulation key is not valid")]
    BadKemKey,
    /// A ciphertext or its associated data is not what was sealed.
    #[error("authentication failed")]
    AuthFailed,
    /// A byte string has another length or shape than its type demands.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A plaintext is longer than the cipher or the caller's bound allows.
    #[error("a plaintext is too long")]
    TooLong,

    // The user's fault.
    /// The text is not a set of recovery words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// The passphrase is wrong, or the header was changed: the two cannot be told apart.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// A passphrase is needed to open this header.
    #[error("a passphrase is needed")]
    PassphraseNeeded,

    // The local machine's fault.
    /// A stored value fails its authentication or cannot be decoded.
    #[error("a stored value is damaged")]
    Corrupt,
    /// A stored value has a format that this version does not know.
    #[error("stored format {0} is not known to this version")]
    UnsupportedFormat(u8),
    /// There is not enough memory for the passphrase hash.
    #[error("not enough memory for the passphrase hash")]
    OutOfMemory,
}

impl CryptoError {
    /// A stable name for logs, tests and machine-readable output.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NonContributory => "non_contributory",
            Self::BadKemKey => "bad_kem_key",
            Self::AuthFailed => "auth_failed",
            Self::Malformed(_) => "malformed",
            Self::TooLong => "too_long",
            Self::Words(_) => "recovery_words_invalid",
            Self::WrongPassphrase => "wrong_passphrase",
            Self::PassphraseNeeded => "passphrase_needed",
            Self::Corrupt => "store_corrupt",
            Self::UnsupportedFormat(_) => "unsupported_format",
            Self::OutOfMemory => "out_of_memory",
        }
    }
}

/// Why a text is not a set of recovery words. Never holds a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordsError {
    /// There are not exactly 24 words.
    #[error("there are {found} words, 24 are needed")]
    Count {
        /// How many words the text has.
        found: usize,
    },
    /// A word is not in the list of BIP-39.
    #[error("word {position} is not in the word list")]
    UnknownWord {
        /// Which word, counted from 1.
        position: usize,
    },
    /// Every word is in the list, but the checksum does not fit: a word was swapped or misread.
    #[error("every word is known, but they do not belong together")]
    Checksum,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are stable: whoever changes one breaks scripts.
    #[test]
    fn codes_are_what_they_always_were() {
        let codes = [
            CryptoError::NonContributory,
            CryptoError::BadKemKey,
            CryptoError::AuthFailed,
            CryptoError::Malformed("x"),
            CryptoError::TooLong,
            CryptoError::Words(WordsError::Checksum),
            CryptoError::WrongPassphrase,
            CryptoError::PassphraseNeeded,
            CryptoError::Corrupt,
            CryptoError::UnsupportedFormat(9),
            CryptoError::OutOfMemory,
        ]
        .map(|error| error.code());
        let expected = [
            "non_contributory",
            "bad_kem_key",
            "auth_failed",
            "malformed",
            "too_long",
            "recovery_words_invalid",
            "wrong_passphrase",
            "passphrase_needed",
            "store_corrupt",
            "unsupported_format",
            "out_of_memory",
        ];
        assert_eq!(codes, expected);
    }
}
