// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a manifest, or a step from one to the next, is refused.

use crate::encoding::LayoutError;

/// A manifest that breaks a rule: the fault of its author, or of whoever hands it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The bytes do not follow the layout.
    #[error("the manifest cannot be read: {0}")]
    Layout(#[from] LayoutError),
    /// The version's own signature does not verify.
    #[error("the manifest's signature does not verify")]
    Signature,
    /// A device did not sign that it belongs to this account.
    #[error("a device did not agree to belong to this account")]
    MembershipSignature,
    /// The admission of a device does not verify.
    #[error("the admission of a device does not verify")]
    AdmissionSignature,
    /// An id or a key stands twice, or an id is both listed and revoked.
    #[error("a device stands in the manifest twice")]
    DuplicateDevice,
    /// Devices are admitted by a device that is neither listed before them nor revoked.
    #[error("the admission of a device does not lead to the account key")]
    AdmissionAuthority,
    /// The two manifests belong to different accounts.
    #[error("the manifest belongs to another account")]
    OtherAccount,
    /// A version number or hash does not continue the previous version.
    #[error("the manifest does not continue the previous version")]
    NotOnPrevious,
    /// The signer is not a device that the previous version lists.
    #[error("the manifest is signed by a device that was not listed")]
    SignerNotListed,
    /// A device-signed version names another account-signed version than its previous does.
    #[error("the manifest names another account-signed version than its predecessor")]
    WrongAnchor,
    /// A revocation of the previous version is missing.
    #[error("a revocation was taken back")]
    RevocationMissing,
    /// An id is revoked that was not listed.
    #[error("a device is revoked that was not listed")]
    RevokedUnknown,
    /// An entry that stays was altered, moved, or left out without being revoked.
    #[error("the entry of a device was altered")]
    EntryAltered,
    /// A device-signed version that neither adds nor revokes.
    #[error("the manifest changes nothing")]
    NoChange,
    /// A device-signed version takes a number or room for revocations that is kept for the account key.
    #[error("only the account key may sign this version: devices have used up their share")]
    ReservedForAccount,
    /// Versions between two manifests are needed to judge the later one.
    #[error("manifest versions are missing")]
    VersionsMissing,
    /// The chain does not begin with a version that the account key signed.
    #[error("the chain does not begin with the account key")]
    NoAccountSigned,
}

impl ManifestError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Layout(error) => error.code(),
            Self::Signature => "manifest_signature",
            Self::MembershipSignature => "manifest_membership_signature",
            Self::AdmissionSignature => "manifest_admission_signature",
            Self::DuplicateDevice => "manifest_duplicate_device",
            Self::AdmissionAuthority => "manifest_admission_authority",
            Self::OtherAccount => "manifest_other_account",
            Self::NotOnPrevious => "manifest_not_on_previous",
            Self::SignerNotListed => "manifest_signer_not_listed",
            Self::WrongAnchor => "manifest_wrong_anchor",
            Self::RevocationMissing => "manifest_revocation_missing",
            Self::RevokedUnknown => "manifest_revoked_unknown",
            Self::EntryAltered => "manifest_entry_altered",
            Self::NoChange => "manifest_no_change",
            Self::ReservedForAccount => "manifest_reserved_for_account",
            Self::VersionsMissing => "manifest_versions_missing",
            Self::NoAccountSigned => "manifest_no_account_signed",
        }
    }
}
