// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chains that only a hostile server, device or number of versions makes.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod common;

use common::{OWNER, account, device, entry, sign};
use waxwing_identity::{
    DeviceId, DeviceManifest, LayoutError, ManifestDraft, ManifestError, PinVerdict, Signatory,
    Signature, check_provisional, judge,
};
use waxwing_proto::limits;

fn first() -> DeviceManifest {
    signed(OWNER, ManifestDraft::first(account(), entry(2)))
}

fn signed(by: u8, draft: ManifestDraft) -> DeviceManifest {
    let signature = sign(by, &draft.signable().unwrap());
    draft.finish(signature).unwrap()
}

/// The next version, by the account key or a device, with one device more.
fn next(previous: &DeviceManifest, by: u8, added: u8) -> DeviceManifest {
    let signer = if by == OWNER {
        Signatory::Account
    } else {
        device(by).signatory()
    };
    let draft = ManifestDraft::after(previous, signer).unwrap();
    signed(by, draft.list(entry(added)).unwrap())
}

#[test]
fn as_many_versions_are_looked_at_as_there_can_be() {
    let v1 = first();
    let v2 = next(&v1, 2, 3);
    let most = usize::try_from(limits::MANIFEST_VERSIONS_MAX).unwrap();
    let mut known = vec![v1.clone(); most];
    assert!(matches!(
        judge(&v1, &v2, &known),
        Ok(PinVerdict::Extends(_))
    ));
    known.push(v1.clone());
    assert_eq!(
        judge(&v1, &v2, &known),
        Err(ManifestError::Layout(LayoutError::Limit))
    );
}

/// [IDN-25], [IDN-28]: a device can name any account-signed version as its anchor. That there are two of one number
/// is believed when the other one is shown, and not because a device says so.
#[test]
fn a_device_alone_makes_no_second_account_signed_version() {
    let v1 = first();
    let (ours, theirs) = (next(&v1, OWNER, 3), next(&v1, OWNER, 4));
    let after_theirs = next(&theirs, 2, 5);
    assert_eq!(
        judge(&ours, &after_theirs, &[]),
        Ok(PinVerdict::MissingVersions { after: 1 })
    );
    assert_eq!(
        judge(&ours, &after_theirs, &[theirs]),
        Ok(PinVerdict::Equivocation)
    );
    let later = next(&after_theirs, 2, 6);
    assert_eq!(
        check_provisional(&ours, &later).unwrap_err(),
        ManifestError::VersionsMissing
    );
}

/// A version that names one of its own number as its predecessor continues nothing.
#[test]
fn numbers_fall_on_the_way_back() {
    let v1 = first();
    let v2 = next(&v1, 2, 3);
    let v3 = next(&v2, 2, 4);
    let v4 = next(&v3, 2, 5);
    let mut bytes = v4.as_bytes().to_vec();
    bytes.truncate(bytes.len() - Signature::LENGTH);
    let account = account();
    let at = bytes
        .windows(32)
        .position(|part| part == account.as_bytes())
        .unwrap();
    let number = bytes.get_mut(at + 32..at + 36).unwrap();
    assert_eq!(number, 4_u32.to_be_bytes());
    number.copy_from_slice(&3_u32.to_be_bytes());
    let signature = sign(2, &bytes);
    bytes.extend_from_slice(signature.as_bytes());
    let odd = DeviceManifest::decode(&bytes).unwrap();
    assert_eq!(odd.previous(), &v3.hash());
    assert_eq!(
        judge(&v1, &odd, &[v2, v3]),
        Ok(PinVerdict::MissingVersions { after: 1 })
    );
}

/// [IDN-61]: where the account key has used the room that is kept for it, devices go on: they add no revocation.
#[test]
fn devices_go_on_after_the_account_has_revoked_much() {
    let draft = ManifestDraft::after(&first(), Signatory::Account).unwrap();
    let gone = (0..limits::REVOKED_DEVICES_MAX).map(|number| {
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        DeviceId::new(id)
    });
    let draft = gone.fold(draft, |draft, id| draft.revoke(id).unwrap());
    let v2 = signed(OWNER, draft);
    assert_eq!(v2.revoked().len(), limits::REVOKED_DEVICES_MAX);
    let v3 = next(&v2, 2, 3);
    assert!(matches!(judge(&v2, &v3, &[]), Ok(PinVerdict::Extends(_))));
}
