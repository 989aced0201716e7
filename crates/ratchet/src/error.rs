// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong, by fault. On every error the state is as it was before.

use waxwing_crypto::CryptoError;

/// An error of this crate. Holds no secret and no bytes chosen by a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RatchetError {
    // Whoever made the envelope.
    /// No key of this session opens the header.
    #[error("no key opens the header of this envelope")]
    UnknownTag,
    /// The message key of this envelope was used before, or its skipped key is gone.
    #[error("this envelope was opened before")]
    Replay,
    /// The header counts further than a chain may be long.
    #[error("the envelope counts further than a chain is long")]
    TooFarAhead,
    /// A ciphertext, a header or a confirmation is not authentic.
    #[error("authentication failed")]
    AuthFailed,
    /// Bytes that break their layout, or values that contradict each other.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A suite that this version does not speak. There is no downgrade.
    #[error("the suite is not supported")]
    UnsupportedSuite,
    /// A version of the envelope that this version does not know.
    #[error("the envelope's version is not supported")]
    UnsupportedVersion,
    /// A public key of low order.
    #[error("a public key contributes nothing to the shared secret")]
    NonContributory,
    /// An encapsulation key fails the check of FIPS 203, section 7.2.
    #[error("an encapsulation key is not valid")]
    BadKemKey,
    /// The handshake names a prekey that this device does not have (any more).
    #[error("the prekey is not known")]
    PrekeyUnknown,
    /// The signed prekey is older than the mailbox retention: the device is inactive.
    #[error("the device has been inactive for too long")]
    PrekeyStale,
    /// The initiator's manifest is not valid in itself, or of another account.
    #[error("the initiator's manifest is not valid")]
    ManifestInvalid,
    /// The initiator's manifest does not list the initiating device.
    #[error("the initiating device is not listed in its manifest")]
    DeviceNotListed,
    /// Alarm: the peer made one step twice. It is cloned or was restored from a copy.
    #[error("the peer device has diverged: it is cloned or was restored")]
    PeerDiverged,
    /// Alarm: a handshake without continuity from a device whose session is established.
    #[error("the peer device opened a session that does not continue the known one")]
    ContinuityMissing,
    /// Alarm: a handshake names a session or a continuity secret that this device does not hold. The
    /// peer device is cloned or was restored from a copy, or this one was.
    #[error("the peer device continues a session that is not known")]
    ContinuityUnknown,
    /// A handshake that lost against one that has replaced it long ago. Dropped; its contents are
    /// sent again in the session that won.
    #[error("the handshake was superseded")]
    Superseded,
    /// A handshake counts its attempt too far above the last one.
    #[error("the handshake's attempt counts too far ahead")]
    AttemptTooHigh,

    // The caller.
    /// The sending chain has reached its end; a new session is needed.
    #[error("the sending chain has reached its end")]
    ChainExhausted,
    /// The content is larger than an envelope may hold.
    #[error("the content is too large")]
    TooLarge,
    /// The session is in the set already.
    #[error("the session is known already")]
    DuplicateSession,
    /// The session is not in the set.
    #[error("the session is not known")]
    SessionUnknown,
    /// The skipped key that was passed belongs to another envelope.
    #[error("the skipped key belongs to another envelope")]
    WrongSkippedKey,

    // The local machine.
    /// A stored row cannot be decoded.
    #[error("a stored row is damaged")]
    Corrupt,
    /// A stored row has a format that this version does not know.
    #[error("stored format {0} is not known to this version")]
    UnsupportedFormat(u8),
    /// A cryptographic operation refused its input.
    #[error(transparent)]
    Crypto(CryptoError),
}

impl RatchetError {
    /// A stable name for logs, tests and machine-readable output.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownTag => "unknown_tag",
            Self::Replay => "replay",
            Self::TooFarAhead => "too_far_ahead",
            Self::AuthFailed => "auth_failed",
            Self::Malformed(_) => "malformed",
            Self::UnsupportedSuite => "unsupported_suite",
            Self::UnsupportedVersion => "unsupported_version",
            Self::NonContributory => "non_contributory",
            Self::BadKemKey => "bad_kem_key",
            Self::PrekeyUnknown => "prekey_unknown",
            Self::PrekeyStale => "prekey_stale",
            Self::ManifestInvalid => "manifest_invalid",
            Self::DeviceNotListed => "device_not_listed",
            Self::PeerDiverged => "peer_diverged",
            Self::ContinuityMissing => "continuity_missing",
            Self::ContinuityUnknown => "continuity_unknown",
            Self::Superseded => "superseded",
            Self::AttemptTooHigh => "attempt_too_high",
            Self::ChainExhausted => "chain_exhausted",
            Self::TooLarge => "too_large",
            Self::DuplicateSession => "duplicate_session",
            Self::SessionUnknown => "session_unknown",
            Self::WrongSkippedKey => "wrong_skipped_key",
            Self::Corrupt => "store_corrupt",
            Self::UnsupportedFormat(_) => "unsupported_format",
            Self::Crypto(error) => error.code(),
        }
    }

    /// Whether this is evidence that the peer device exists twice. Shown to the user; never
    /// answered, and the established session stays as it is.
    #[must_use]
    pub const fn is_alarm(&self) -> bool {
        matches!(
            self,
            Self::PeerDiverged | Self::ContinuityMissing | Self::ContinuityUnknown
        )
    }
}

impl From<CryptoError> for RatchetError {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::AuthFailed => Self::AuthFailed,
            CryptoError::NonContributory => Self::NonContributory,
            CryptoError::BadKemKey => Self::BadKemKey,
            CryptoError::TooLong => Self::TooLarge,
            other => Self::Crypto(other),
        }
    }
}
