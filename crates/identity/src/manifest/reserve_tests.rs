// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A thief of one device cannot use up what the account key needs to take the account back, and a
//! server cannot pretend that somebody has.

use waxwing_proto::DeviceId;
use waxwing_proto::limits::{DEVICE_SIGNED_VERSIONS_MAX, MANIFEST_VERSIONS_MAX};

use super::reserve::{DEVICE_NUMBER_MAX, DEVICE_REVOCATIONS_MAX};
use super::tests::{account, devices, forge, next_body};
use super::*;
use crate::testing::{TestAccount, TestDevice};

fn ids(count: usize) -> Vec<DeviceId> {
    (0..count)
        .map(|number| {
            let mut id = [0xdd; 16];
            id[1..3].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
            DeviceId::new(id)
        })
        .collect()
}

/// A version that looks right by itself, with nothing before it.
fn unproved(
    base: &DeviceManifest,
    author: &TestDevice,
    version: u32,
) -> Result<DeviceManifest, ManifestError> {
    let mut body = next_body(base, author);
    body.version = version;
    body.previous = Digest::new([9; 32]);
    forge(&body, author)
}

/// [IDN-60]
#[test]
fn devices_sign_a_bounded_number_of_versions_after_one_of_the_account_key() {
    let account = account();
    let [phone] = devices();
    let v1 = account.first(&phone);
    let last = 1 + DEVICE_SIGNED_VERSIONS_MAX;
    let newest = unproved(&v1, &phone, last).unwrap();
    let refused = ManifestError::ReservedForAccount;
    assert_eq!(
        unproved(&v1, &phone, last.saturating_add(1)).unwrap_err(),
        refused
    );
    assert_eq!(
        ManifestDraft::after(&newest, phone.signatory()).unwrap_err(),
        refused.into()
    );
    // The account key goes on where devices may not, and then devices may again.
    let draft = ManifestDraft::overriding(&v1, last).unwrap();
    let by_account = account.finish(draft);
    assert_eq!(by_account.version(), last.saturating_add(1));
    assert!(ManifestDraft::after(&by_account, phone.signatory()).is_ok());
}

/// [IDN-60]
#[test]
fn the_highest_numbers_are_for_the_account_key() {
    let account = account();
    let [phone] = devices();
    let v1 = account.first(&phone);
    let anchored = |number: u32| {
        account.finish(ManifestDraft::overriding(&v1, number.saturating_sub(1)).unwrap())
    };
    let refused = ManifestError::ReservedForAccount;
    let anchor = anchored(DEVICE_NUMBER_MAX - 1);
    assert!(ManifestDraft::after(&anchor, phone.signatory()).is_ok());
    let anchor = anchored(DEVICE_NUMBER_MAX);
    assert_eq!(
        ManifestDraft::after(&anchor, phone.signatory()).unwrap_err(),
        refused.into()
    );
    let mut body = anchor.body.clone();
    body.version = body.version.saturating_add(1);
    body.previous = anchor.hash();
    body.signer = phone.signatory();
    body.anchor = Some(anchor.head());
    assert_eq!(forge(&body, &phone).unwrap_err(), refused);
    let highest = anchored(MANIFEST_VERSIONS_MAX);
    assert_eq!(highest.version(), MANIFEST_VERSIONS_MAX);
}

#[test]
fn room_for_revocations_is_kept_for_the_account_key() {
    let account = account();
    let [phone, stolen] = devices();
    let v2 = phone.adds(&account.first(&phone), &stolen);
    let mut body = v2.body.clone();
    body.revoked = ids(DEVICE_REVOCATIONS_MAX);
    let full = forge(&body, &phone).unwrap();
    let mut body = next_body(&full, &stolen);
    body.devices.remove(0);
    body.revoked.insert(0, phone.id());
    body.devices[0] = account.admits(&stolen);
    let evicts = forge(&body, &stolen).unwrap();
    assert_eq!(
        verify_successor(&full, &evicts),
        Err(ManifestError::ReservedForAccount)
    );
    assert_eq!(
        ManifestDraft::after(&full, phone.signatory())
            .unwrap()
            .revoke(stolen.id())
            .unwrap_err(),
        DraftError::TooManyRevocations
    );
    // What revokes nothing more is not held up, and neither is the account key.
    let laptop = TestDevice::new(9);
    assert!(verify_successor(&full, &phone.adds(&full, &laptop)).is_ok());
    let draft = ManifestDraft::after(&full, Signatory::Account).unwrap();
    let revoked = account.finish(draft.revoke(stolen.id()).unwrap());
    assert!(verify_successor(&full, &revoked).is_ok());
    // Without the versions between them the same holds.
    let mut later = next_body(&full, &phone);
    later.version = later.version.saturating_add(1);
    later.previous = Digest::new([9; 32]);
    later.revoked.insert(0, stolen.id());
    later.devices.truncate(1);
    assert_eq!(
        check_provisional(&full, &forge(&later, &phone).unwrap()),
        Err(ManifestError::ReservedForAccount)
    );
}

/// What the owner does with the words, given what a server handed out.
fn take_back(
    account: &TestAccount,
    versions: &[DeviceManifest],
    device: &TestDevice,
) -> DeviceManifest {
    let found = override_base(&account.key, versions).unwrap();
    let draft = ManifestDraft::overriding(found.base, found.newest_version)
        .unwrap()
        .revoke_all()
        .unwrap()
        .list(account.admits(device))
        .unwrap();
    account.finish(draft)
}

#[test]
fn the_words_override_a_thief_who_used_up_everything() {
    let account = account();
    let [phone, stolen, thief, new_phone] = devices();
    let v1 = account.first(&phone);
    let mut chain = vec![v1.clone(), phone.adds(&v1, &stolen)];
    // In and out again, until nothing is left for devices.
    for number in 0_u32.. {
        let newest = chain.last().unwrap();
        let mut keys = thief.keys();
        let mut id = [0xaa; 16];
        id[12..].copy_from_slice(&number.to_be_bytes());
        keys.id = DeviceId::new(id);
        let joined = keys
            .countersigned(
                &account.key,
                thief.sign(&keys.membership_signable(&account.key)),
            )
            .unwrap();
        let admission = stolen.sign(&joined.admission_signable(1, &stolen.signatory()));
        let entry = joined.admit(1, stolen.signatory(), admission).unwrap();
        let Ok(draft) = ManifestDraft::after(newest, stolen.signatory()) else {
            break;
        };
        let in_again = stolen.finish(draft.list(entry).unwrap());
        let revoked = ManifestDraft::after(&in_again, stolen.signatory())
            .and_then(|draft| draft.revoke(keys.id));
        chain.push(in_again);
        match revoked {
            Ok(draft) => chain.push(stolen.finish(draft)),
            Err(_) => break,
        }
    }
    let newest = chain.last().unwrap().clone();
    assert_eq!(newest.revoked().len(), DEVICE_REVOCATIONS_MAX);
    let recovered = take_back(&account, &chain, &new_phone);
    assert_eq!(recovered.version(), newest.version().saturating_add(1));
    assert_eq!(
        recovered.revoked(),
        [phone.id()],
        "only what the account key knows of"
    );
    // The server and every peer take it, wherever they are.
    assert!(
        verify_successor(&newest, &recovered)
            .unwrap()
            .account_signed
    );
    for pinned in [&chain[0], &chain[1], &newest] {
        assert!(matches!(
            judge(pinned, &recovered, &[]).unwrap(),
            PinVerdict::Extends(_) | PinVerdict::AccountOverride(_)
        ));
    }
}

#[test]
fn a_version_that_a_server_made_up_costs_no_numbers() {
    let account = account();
    let [phone, tablet, server, new_phone] = devices();
    let v1 = account.first(&phone);
    let v2 = phone.adds(&v1, &tablet);
    // The server has no key of the account: it claims that its device was admitted by a revoked one.
    let ghost = TestDevice::new(66);
    let mut body = next_body(&v2, &phone);
    body.version = 1 + DEVICE_SIGNED_VERSIONS_MAX;
    body.previous = Digest::new([7; 32]);
    body.devices = vec![server.admitted_by(&account.key, &ghost)];
    body.revoked = vec![ghost.id()];
    body.signer = server.signatory();
    let made_up = forge(&body, &server).unwrap();
    let chain = [made_up, v2.clone(), v1.clone()];
    let recovered = take_back(&account, &chain, &new_phone);
    assert_eq!(recovered.version(), v2.version().saturating_add(1));
    assert_eq!(*recovered.previous(), v1.hash());
    assert_eq!(
        override_base(&account.key, &[v2]).unwrap_err(),
        ManifestError::NoAccountSigned
    );
}
