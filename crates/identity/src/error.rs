// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All errors of this crate under one roof. Each family lives beside what it is about; every one
//! is the fault of whoever made the bytes, except [`DraftError`], which is the caller's.

use crate::{
    BundleError, DraftError, FingerprintError, LayoutError, LinkError, ManifestError, PrekeyError,
    SignatureError,
};

/// Anything that this crate refuses. Holds no secret and no text of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Bytes that do not follow their layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A key or a signature that does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A manifest, or a chain of them, that breaks a rule.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A prekey pair that breaks a rule.
    #[error(transparent)]
    Prekey(#[from] PrekeyError),
    /// A prekey bundle that does not fit its manifest.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A link that cannot be read.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A fingerprint that cannot be read.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The caller tried to build a manifest that nobody would accept.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl IdentityError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Layout(error) => error.code(),
            Self::Signature(error) => error.code(),
            Self::Manifest(error) => error.code(),
            Self::Prekey(error) => error.code(),
            Self::Bundle(error) => error.code(),
            Self::Link(error) => error.code(),
            Self::Fingerprint(error) => error.code(),
            Self::Draft(error) => error.code(),
        }
    }
}
