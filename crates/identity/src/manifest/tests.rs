// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every rule of a version and of a step, with an example that keeps it and one that breaks it.

use waxwing_proto::DeviceId;
use waxwing_proto::limits::MANIFEST_VERSIONS_MAX;

use super::*;
use crate::testing::{TestAccount, TestDevice};

pub(super) fn devices<const N: usize>() -> [TestDevice; N] {
    core::array::from_fn(|index| TestDevice::new(u8::try_from(index).unwrap().saturating_add(1)))
}

pub(super) fn account() -> TestAccount {
    TestAccount::new(100)
}

/// Signs a body without the care that a draft takes.
pub(super) fn forge(body: &Body, author: &TestDevice) -> Result<DeviceManifest, ManifestError> {
    let mut bytes = body.write().unwrap();
    let signature = author.sign(&bytes);
    bytes.extend_from_slice(signature.as_bytes());
    DeviceManifest::decode(&bytes)
}

/// The body of the version after `previous`, as `author` would write it.
pub(super) fn next_body(previous: &DeviceManifest, author: &TestDevice) -> Body {
    ManifestDraft::after(previous, author.signatory())
        .unwrap()
        .body
}

#[test]
fn a_chain_grows_by_additions_and_revocations() {
    let account = account();
    let [one, two, three] = devices();
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    let v3 = two.adds(&v2, &three);
    let v4 = one.revokes(&v3, &two);

    let step = verify_successor(&v3, &v4).unwrap();
    assert_eq!(step.revoked, [two.id()]);
    assert_eq!(step.added, []);
    assert!(!step.account_signed && !step.younger_revokes_older);
    assert_eq!(v4.revoked(), [two.id()]);
    assert_eq!(v4.anchor(), v1.head());
    assert_eq!(v4.seniority(&three.id()), Some(1));
    // The third device was admitted by one that is gone: only the chain shows that it may stay.
    assert!(!v4.leads_to_account() && v3.leads_to_account());
    let whole = verify_chain([&v1, &v2, &v3, &v4]).unwrap();
    assert_eq!(whole.added, [three.id()]);
    assert_eq!(
        verify_chain([&v2, &v3]),
        Err(ManifestError::NoAccountSigned)
    );
    assert_eq!(verify_chain([]), Err(ManifestError::VersionsMissing));
    assert_eq!(verify_chain([&v1, &v3]), Err(ManifestError::NotOnPrevious));
}

#[test]
fn a_version_keeps_its_own_rules() {
    let account = account();
    let [one, two] = devices();
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    let refused = |change: &dyn Fn(&mut Body), error: ManifestError| {
        let mut body = v2.body.clone();
        change(&mut body);
        assert_eq!(forge(&body, &one).unwrap_err(), error);
    };
    let value = ManifestError::from(LayoutError::Value);
    refused(&|body| body.version = 0, value);
    refused(&|body| body.version = MANIFEST_VERSIONS_MAX + 1, value);
    refused(&|body| body.previous = Digest::ZERO, value);
    refused(&|body| body.devices.clear(), LayoutError::Limit.into());
    refused(
        &|body| body.devices.swap(0, 1),
        ManifestError::AdmissionAuthority,
    );
    refused(
        &|body| body.devices.push(body.devices[1]),
        ManifestError::DuplicateDevice,
    );
    refused(
        &|body| body.revoked = vec![one.id()],
        ManifestError::DuplicateDevice,
    );
    let (high, low) = (DeviceId::new([9; 16]), DeviceId::new([8; 16]));
    let not_canonical = ManifestError::from(LayoutError::NotCanonical);
    refused(&|body| body.revoked = vec![high, low], not_canonical);
    refused(&|body| body.revoked = vec![low, low], not_canonical);
    // Directly after its anchor, the anchor is the previous version; later, it is not.
    refused(
        &|body| body.anchor.as_mut().unwrap().hash = Digest::ZERO,
        ManifestError::WrongAnchor,
    );
    refused(&|body| body.anchor.as_mut().unwrap().version = 2, value);
    refused(&|body| body.version = 3, ManifestError::WrongAnchor);
    // The first version has nothing before it, and only the account key signs it.
    let mut body = v1.body.clone();
    body.previous = v1.hash();
    assert_eq!(forge(&body, &account.secret).unwrap_err(), value);
    let mut body = v1.body.clone();
    body.signer = one.signatory();
    assert!(forge(&body, &one).is_err());
}

#[test]
fn only_a_listed_device_signs() {
    let account = account();
    let [one, two, stranger] = devices();
    let v2 = one.adds(&account.first(&one), &two);
    assert_eq!(
        ManifestDraft::after(&v2, stranger.signatory()).unwrap_err(),
        ManifestError::SignerNotListed.into()
    );
    // Under its own name it is not listed even in the version itself.
    let mut body = next_body(&v2, &one);
    body.signer = stranger.signatory();
    assert_eq!(
        forge(&body, &stranger).unwrap_err(),
        ManifestError::SignerNotListed
    );
    // Under the name of a listed device the key is another one.
    body.signer = Signatory::Device {
        id: one.id(),
        signing_key: stranger.keys().signing_key,
    };
    assert_eq!(
        forge(&body, &stranger).unwrap_err(),
        ManifestError::SignerNotListed
    );
    body.signer = one.signatory();
    assert_eq!(
        forge(&body, &stranger).unwrap_err(),
        ManifestError::Signature
    );
    // Having listed itself with the help of a listed device does not make the signature lawful.
    body.devices.push(stranger.admitted_by(&account.key, &one));
    body.signer = stranger.signatory();
    let forged = forge(&body, &stranger).unwrap();
    assert_eq!(
        verify_successor(&v2, &forged),
        Err(ManifestError::SignerNotListed)
    );
}

/// An entry for any keys, signed by `secret`, admitted by the account.
fn entry(account: &TestAccount, keys: DeviceKeys, secret: &TestDevice) -> DeviceEntry {
    let word = secret.sign(&keys.membership_signable(&account.key));
    let candidate = keys.countersigned(&account.key, word).unwrap();
    let signable = candidate.admission_signable(20_000, &Signatory::Account);
    candidate
        .admit(20_000, Signatory::Account, account.secret.sign(&signable))
        .unwrap()
}

/// [IDN-16].
#[test]
fn one_key_stands_under_one_id() {
    let account = account();
    let [one, two] = devices();
    let v1 = account.first(&one);
    let listed = |keys: DeviceKeys, secret: &TestDevice| {
        let mut body = next_body(&v1, &one);
        body.devices.push(entry(&account, keys, secret));
        forge(&body, &one)
    };
    assert!(listed(two.keys(), &two).is_ok());
    let mut same_signing_key = two.keys();
    same_signing_key.signing_key = one.keys().signing_key;
    let mut same_dh_key = two.keys();
    same_dh_key.dh_key = one.keys().dh_key;
    let account_as_device = account.secret.keys();
    for (keys, secret) in [
        (same_signing_key, &one),
        (same_dh_key, &two),
        (account_as_device, &account.secret),
    ] {
        assert_eq!(
            listed(keys, secret).unwrap_err(),
            ManifestError::DuplicateDevice
        );
    }
}

/// [IDN-18].
#[test]
fn a_device_may_revoke_itself() {
    let account = account();
    let [one, two] = devices();
    let v2 = one.adds(&account.first(&one), &two);
    let v3 = two.revokes(&v2, &two);
    let step = verify_successor(&v2, &v3).unwrap();
    assert_eq!(step.revoked, [two.id()]);
    assert!(!step.younger_revokes_older);
    // But then it is gone.
    assert!(ManifestDraft::after(&v3, two.signatory()).is_err());
}

#[test]
fn numbers_and_hashes_are_consecutive() {
    let account = account();
    let [one, two, three] = devices();
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    let v3 = one.adds(&v2, &three);
    for (previous, next) in [(&v1, &v3), (&v2, &v2), (&v3, &v2), (&v2, &v1)] {
        assert_eq!(
            verify_successor(previous, next),
            Err(ManifestError::NotOnPrevious)
        );
    }
    let fork = one.adds(&v1, &three);
    assert_eq!(
        verify_successor(&fork, &v3),
        Err(ManifestError::NotOnPrevious)
    );
    let other = TestAccount::new(101).first(&one);
    assert_eq!(
        verify_successor(&v1, &other),
        Err(ManifestError::OtherAccount)
    );
}

/// [IDN-21].
#[test]
fn a_device_only_adds_and_revokes() {
    let account = account();
    let [one, two, three] = devices();
    let v3 = one.adds(&one.adds(&account.first(&one), &two), &three);
    let refused = |change: &dyn Fn(&mut Body), error: ManifestError| {
        let mut body = next_body(&v3, &one);
        change(&mut body);
        let next = forge(&body, &one).unwrap();
        assert_eq!(verify_successor(&v3, &next), Err(error));
    };
    refused(&|_| (), ManifestError::NoChange);
    refused(
        &|body| {
            body.devices.pop();
        },
        ManifestError::EntryAltered,
    );
    refused(&|body| body.devices.swap(1, 2), ManifestError::EntryAltered);
    // The same keys with a new admission are not the same entry.
    refused(
        &|body| body.devices[2] = account.admits(&three),
        ManifestError::EntryAltered,
    );
    refused(
        &|body| body.revoked = vec![DeviceId::new([77; 16])],
        ManifestError::RevokedUnknown,
    );
    refused(
        &|body| body.anchor.as_mut().unwrap().hash = Digest::new([7; 32]),
        ManifestError::WrongAnchor,
    );
}

/// [IDN-21], [IDN-23].
#[test]
fn revocations_only_grow() {
    let account = account();
    let [one, two, three] = devices();
    let v2 = one.adds(&account.first(&one), &two);
    let v3 = one.revokes(&v2, &two);
    let taken_back = |signer: &TestDevice, change: &dyn Fn(&mut Body)| {
        let mut body = next_body(&v3, &one);
        if signer.id() == account.secret.id() {
            body.signer = Signatory::Account;
            body.anchor = None;
        }
        body.revoked.clear();
        change(&mut body);
        verify_successor(&v3, &forge(&body, signer).unwrap())
    };
    let returns = |body: &mut Body| body.devices.push(two.admitted_by(&account.key, &one));
    let forgets = |body: &mut Body| body.devices.push(three.admitted_by(&account.key, &one));
    for signer in [&one, &account.secret] {
        assert_eq!(
            taken_back(signer, &returns),
            Err(ManifestError::RevocationMissing)
        );
        assert_eq!(
            taken_back(signer, &forgets),
            Err(ManifestError::RevocationMissing)
        );
    }
    let draft = ManifestDraft::after(&v3, one.signatory()).unwrap();
    assert_eq!(
        draft.revoke(two.id()).unwrap_err(),
        DraftError::UnknownDevice
    );
}

/// [IDN-17], [IDN-21].
#[test]
fn admissions_lead_to_the_account_key() {
    let account = account();
    let [one, two, three, stranger] = devices();
    let v2 = one.adds(&account.first(&one), &two);
    // By the account key itself, signed into the chain by a device.
    let mut body = next_body(&v2, &two);
    body.devices.push(account.admits(&three));
    assert!(verify_successor(&v2, &forge(&body, &two).unwrap()).is_ok());
    // By somebody who is not listed.
    let mut body = next_body(&v2, &one);
    body.devices
        .push(three.admitted_by(&account.key, &stranger));
    assert_eq!(
        forge(&body, &one).unwrap_err(),
        ManifestError::AdmissionAuthority
    );
    // By a device that comes in with the same version.
    let mut body = next_body(&v2, &one);
    body.devices.push(three.admitted_by(&account.key, &one));
    body.devices
        .push(stranger.admitted_by(&account.key, &three));
    assert_eq!(
        verify_successor(&v2, &forge(&body, &one).unwrap()),
        Err(ManifestError::AdmissionAuthority)
    );
    // By a device in a circle with itself.
    let own = three.admitted_by(&account.key, &three);
    let mut body = next_body(&v2, &one);
    body.devices.push(own);
    assert_eq!(
        forge(&body, &one).unwrap_err(),
        ManifestError::AdmissionAuthority
    );
}

/// [IDN-22], [IDN-23].
#[test]
fn the_account_key_may_rebuild_but_not_forget() {
    let account = account();
    let [one, two, three] = devices();
    let v2 = one.adds(&account.first(&one), &two);
    // Everybody revoked, one new device: a recovery.
    let draft = ManifestDraft::overriding(&v2, 7).unwrap();
    let draft = draft.revoke_all().unwrap();
    let v8 = account.finish(draft.list(account.admits(&three)).unwrap());
    let step = verify_successor(&v2, &v8).unwrap();
    assert_eq!(v8.version(), 8);
    assert_eq!(step.added, [three.id()]);
    assert_eq!(step.revoked, [one.id(), two.id()]);
    assert!(step.account_signed && !step.younger_revokes_older);
    assert!(v8.leads_to_account());
    assert_eq!(v8.anchor(), v8.head());
    // A device goes on from there.
    let v9 = three.adds(&v8, &TestDevice::new(9));
    assert_eq!(v9.anchor(), v8.head());
    assert!(verify_successor(&v8, &v9).is_ok());

    // A listed device neither disappears without being revoked nor gets other keys.
    let mut body = ManifestDraft::overriding(&v2, 2).unwrap().body;
    body.devices.pop();
    let forgets = forge(&body, &account.secret).unwrap();
    assert_eq!(
        verify_successor(&v2, &forgets),
        Err(ManifestError::EntryAltered)
    );
    let mut body = ManifestDraft::overriding(&v2, 2).unwrap().body;
    let mut keys = three.keys();
    keys.id = two.id();
    body.devices[1] = entry(&account, keys, &three);
    let swapped = forge(&body, &account.secret).unwrap();
    assert_eq!(
        verify_successor(&v2, &swapped),
        Err(ManifestError::EntryAltered)
    );
    // To admit the same keys anew is allowed.
    let mut body = ManifestDraft::overriding(&v2, 2).unwrap().body;
    body.devices[1] = account.admits(&two);
    let anew = forge(&body, &account.secret).unwrap();
    assert!(verify_successor(&v2, &anew).unwrap().added.is_empty());
    assert_eq!(
        ManifestDraft::overriding(&v2, MANIFEST_VERSIONS_MAX).unwrap_err(),
        DraftError::VersionsUsedUp
    );
}

#[test]
fn a_step_that_a_signature_does_not_fit_is_not_finished() {
    let account = account();
    let [one, two] = devices();
    let draft = ManifestDraft::first(account.key, account.admits(&one));
    let wrong = two.sign(&draft.signable().unwrap());
    assert_eq!(
        draft.finish(wrong).unwrap_err(),
        ManifestError::Signature.into()
    );
}
