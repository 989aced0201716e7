// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The names that programs know errors by: they do not change, and no two errors share one.

use std::collections::BTreeSet;

use waxwing_identity::manifest::DraftError;
use waxwing_identity::prekey::PrekeyError;
use waxwing_identity::{
    BundleError, FingerprintError, IdentityError, LayoutError, LinkError, LinkKind, ManifestError,
    SignatureError,
};

const LAYOUT: [(LayoutError, &str); 6] = [
    (LayoutError::Truncated, "layout_truncated"),
    (LayoutError::Trailing, "layout_trailing"),
    (LayoutError::Label, "layout_label"),
    (LayoutError::Limit, "layout_limit"),
    (LayoutError::Value, "layout_value"),
    (LayoutError::NotCanonical, "layout_not_canonical"),
];

const MANIFEST: [(ManifestError, &str); 16] = [
    (ManifestError::Signature, "manifest_signature"),
    (
        ManifestError::MembershipSignature,
        "manifest_membership_signature",
    ),
    (
        ManifestError::AdmissionSignature,
        "manifest_admission_signature",
    ),
    (ManifestError::DuplicateDevice, "manifest_duplicate_device"),
    (
        ManifestError::AdmissionAuthority,
        "manifest_admission_authority",
    ),
    (ManifestError::OtherAccount, "manifest_other_account"),
    (ManifestError::NotOnPrevious, "manifest_not_on_previous"),
    (ManifestError::SignerNotListed, "manifest_signer_not_listed"),
    (ManifestError::WrongAnchor, "manifest_wrong_anchor"),
    (
        ManifestError::RevocationMissing,
        "manifest_revocation_missing",
    ),
    (ManifestError::RevokedUnknown, "manifest_revoked_unknown"),
    (ManifestError::EntryAltered, "manifest_entry_altered"),
    (ManifestError::NoChange, "manifest_no_change"),
    (
        ManifestError::ReservedForAccount,
        "manifest_reserved_for_account",
    ),
    (ManifestError::VersionsMissing, "manifest_versions_missing"),
    (ManifestError::NoAccountSigned, "manifest_no_account_signed"),
];

fn own() -> Vec<(IdentityError, &'static str)> {
    let wrong_kind = LinkError::WrongKind {
        expected: LinkKind::Contact,
        found: LinkKind::Invite,
    };
    let rollback = BundleError::RollbackEvidence {
        served: 1,
        named: 2,
    };
    let equivocation = BundleError::EquivocationEvidence { version: 1 };
    let mut all: Vec<(IdentityError, &'static str)> = vec![
        (SignatureError::Key.into(), "signing_key_unacceptable"),
        (SignatureError::Signature.into(), "signature_invalid"),
        (PrekeyError::Suite.into(), "prekey_suite"),
        (PrekeyError::OtherDevice.into(), "prekey_other_device"),
        (PrekeyError::Signature.into(), "prekey_signature"),
        (BundleError::DeviceId.into(), "bundle_device_id"),
        (BundleError::NotListed.into(), "bundle_not_listed"),
        (BundleError::Kind.into(), "bundle_kind"),
        (rollback.into(), "manifest_rollback"),
        (equivocation.into(), "manifest_equivocation"),
        (LinkError::NotALink.into(), "not_a_link"),
        (wrong_kind.into(), "link_wrong_kind"),
        (LinkError::Checksum.into(), "link_checksum"),
        (
            LinkError::UnsupportedVersion.into(),
            "link_unsupported_version",
        ),
        (FingerprintError::Syntax.into(), "fingerprint_syntax"),
        (DraftError::TooManyDevices.into(), "too_many_devices"),
        (
            DraftError::TooManyRevocations.into(),
            "too_many_revocations",
        ),
        (DraftError::UnknownDevice.into(), "unknown_device"),
        (DraftError::VersionsUsedUp.into(), "versions_used_up"),
    ];
    all.extend(LAYOUT.map(|(error, code)| (error.into(), code)));
    all.extend(MANIFEST.map(|(error, code)| (error.into(), code)));
    all
}

#[test]
fn every_error_has_a_name_of_its_own_that_stays() {
    let all = own();
    for (error, code) in &all {
        assert_eq!(error.code(), *code, "{error}");
    }
    let names: BTreeSet<&str> = all.iter().map(|(_, code)| *code).collect();
    assert_eq!(names.len(), all.len());
}

/// What an error is about keeps its name in the errors around it.
#[test]
fn an_error_inside_another_one_keeps_its_name() {
    for (error, code) in LAYOUT {
        let around: [IdentityError; 3] = [
            ManifestError::Layout(error).into(),
            PrekeyError::Layout(error).into(),
            LinkError::Layout(error).into(),
        ];
        for error in around {
            assert_eq!(error.code(), code);
        }
    }
    let inside: IdentityError = BundleError::Prekey(PrekeyError::Suite).into();
    assert_eq!(inside.code(), "prekey_suite");
    let inside: IdentityError = DraftError::Refused(ManifestError::NoChange).into();
    assert_eq!(inside.code(), "manifest_no_change");
}
