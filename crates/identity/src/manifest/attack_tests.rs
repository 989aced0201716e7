// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attacks on the authority of manifests, and what a peer that has pinned a version makes of them.

use super::tests::{account, devices, forge, next_body};
use super::*;
use crate::testing::TestDevice;

fn verdict(
    pinned: &DeviceManifest,
    served: &DeviceManifest,
    known: &[DeviceManifest],
) -> PinVerdict {
    ManifestPin::new(pinned.clone())
        .judge(served, known)
        .unwrap()
}

#[test]
fn a_thief_who_evicts_the_others_is_told_apart() {
    let account = account();
    let [phone, stolen, laptop, thief] = devices();
    let v3 = phone.adds(&phone.adds(&account.first(&phone), &stolen), &laptop);
    // The thief of the second device evicts the first and adds his own.
    let v4 = stolen.revokes(&v3, &phone);
    let v5 = stolen.adds(&v4, &thief);
    assert!(verify_successor(&v3, &v4).unwrap().younger_revokes_older);
    let PinVerdict::Extends(facts) = verdict(&v3, &v5, std::slice::from_ref(&v4)) else {
        panic!("the versions are valid");
    };
    assert!(facts.younger_revokes_older && !facts.account_signed);
    assert_eq!(facts.added, [thief.id()]);
    assert_eq!(facts.revoked, [phone.id()]);
    // Revoking a younger one is what an owner does.
    let owner = phone.revokes(&v3, &stolen);
    assert!(!verify_successor(&v3, &owner).unwrap().younger_revokes_older);
    // So is revoking a younger one and itself together, but not an older one beside it.
    let draft = ManifestDraft::after(&v3, stolen.signatory()).unwrap();
    let draft = draft.revoke(stolen.id()).unwrap();
    let leaves = stolen.finish(draft.clone().revoke(laptop.id()).unwrap());
    assert!(
        !verify_successor(&v3, &leaves)
            .unwrap()
            .younger_revokes_older
    );
    let evicts = stolen.finish(draft.revoke(phone.id()).unwrap());
    assert!(
        verify_successor(&v3, &evicts)
            .unwrap()
            .younger_revokes_older
    );
}

/// [IDN-26]
#[test]
fn the_account_key_voids_what_a_thief_did() {
    let account = account();
    let [phone, stolen, thief] = devices();
    let v1 = account.first(&phone);
    let v2 = phone.adds(&v1, &stolen);
    let v3 = stolen.revokes(&v2, &phone);
    let v4 = stolen.adds(&v3, &thief);
    // The owner builds on version 2, as if 3 and 4 had never been; the phone is back.
    let draft = ManifestDraft::overriding(&v2, 4).unwrap();
    let v5 = account.finish(draft.revoke(stolen.id()).unwrap());
    assert!(v5.device(&phone.id()).is_some());

    for pinned in [&v3, &v4] {
        let PinVerdict::AccountOverride(facts) = verdict(pinned, &v5, &[]) else {
            panic!("the account key overrides");
        };
        assert!(facts.account_signed && !facts.younger_revokes_older);
        assert_eq!(facts.added, [phone.id()]);
        assert!(facts.revoked.contains(&stolen.id()));
    }
    // The server sees the same as a step on the newest version.
    assert!(verify_successor(&v4, &v5).unwrap().account_signed);
    // For whoever had pinned version 2 it is an ordinary continuation.
    assert!(matches!(verdict(&v2, &v5, &[]), PinVerdict::Extends(_)));
    // Through everything that the server handed out, the override settles the eviction.
    let all = [v3.clone(), v4.clone()];
    let PinVerdict::Extends(facts) = verdict(&v1, &v5, &[v2.clone(), v3, v4.clone()]) else {
        panic!("every step is there");
    };
    assert!(!facts.younger_revokes_older);

    // The thief goes on all the same: nobody follows.
    let v5_of_thief = thief.adds(&v4, &TestDevice::new(8));
    let v6_of_thief = thief.adds(&v5_of_thief, &TestDevice::new(9));
    assert_eq!(verdict(&v5, &v5_of_thief, &all), PinVerdict::Voided);
    assert_eq!(verdict(&v5, &v6_of_thief, &all), PinVerdict::Voided);
    assert_eq!(verdict(&v5, &v4, &all), PinVerdict::Older);
    assert_eq!(
        check_extension(&v5, &v6_of_thief, &[v5_of_thief]),
        Err(ManifestError::NotOnPrevious)
    );
}

/// [IDN-26]
#[test]
fn an_override_wins_also_over_higher_numbers() {
    let account = account();
    let [phone, stolen] = devices();
    let v2 = phone.adds(&account.first(&phone), &stolen);
    // A server that helps the thief shows peers a long branch, and hides it from the owner.
    let mut branch = stolen.revokes(&v2, &phone);
    for seed in 20..25 {
        branch = stolen.adds(&branch, &TestDevice::new(seed));
    }
    let draft = ManifestDraft::overriding(&v2, 2).unwrap();
    let v3 = account.finish(draft.revoke(stolen.id()).unwrap());
    assert!(branch.version() > v3.version());
    assert!(matches!(
        verdict(&branch, &v3, &[]),
        PinVerdict::AccountOverride(_)
    ));
    assert_eq!(verdict(&v3, &branch, &[]), PinVerdict::Voided);
    // What devices did after the override counts again, and needs the override itself.
    let young = TestDevice::new(30);
    let v4 = phone.adds(&v3, &young);
    let v5 = young.revokes(&v4, &phone);
    assert_eq!(
        verdict(&branch, &v5, std::slice::from_ref(&v4)),
        PinVerdict::MissingVersions { after: 2 }
    );
    let PinVerdict::AccountOverride(facts) = verdict(&branch, &v5, &[v3.clone(), v4.clone()])
    else {
        panic!("the account key overrides");
    };
    assert!(facts.younger_revokes_older);
    let mut body = next_body(&v4, &phone);
    body.devices.pop();
    let unlawful = forge(&body, &phone).unwrap();
    assert_eq!(
        judge(&branch, &unlawful, &[v3, v4]),
        Err(ManifestError::EntryAltered)
    );
}

#[test]
fn an_account_signed_version_on_top_settles_an_eviction() {
    let account = account();
    let [phone, laptop] = devices();
    let v2 = phone.adds(&account.first(&phone), &laptop);
    let evicted = laptop.revokes(&v2, &phone);
    let draft = ManifestDraft::after(&evicted, Signatory::Account).unwrap();
    let confirmed = account.finish(draft);
    let facts = check_extension(&v2, &confirmed, &[evicted]).unwrap();
    assert!(facts.account_signed && !facts.younger_revokes_older);
    assert_eq!(facts.revoked, [phone.id()]);
}

#[test]
fn an_old_account_signed_version_overrides_nothing() {
    let account = account();
    let [one, two] = devices();
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    let draft = ManifestDraft::after(&v2, Signatory::Account).unwrap();
    let v3 = account.finish(draft.revoke(two.id()).unwrap());
    let v4 = one.adds(&v3, &TestDevice::new(9));
    for old in [&v1, &v2, &v3] {
        assert_eq!(verdict(&v4, old, &[]), PinVerdict::Older);
    }
    assert_eq!(verdict(&v4, &v4, &[]), PinVerdict::Same);
}

#[test]
fn two_versions_of_one_number_are_an_equivocation() {
    let account = account();
    let [one, two, three, four] = devices();
    let v2 = one.adds(&account.first(&one), &two);
    let left = one.adds(&v2, &three);
    let right = two.adds(&v2, &four);
    assert_eq!(verdict(&left, &right, &[]), PinVerdict::Equivocation);
    assert_eq!(verdict(&right, &left, &[]), PinVerdict::Equivocation);
    // Also where the other branch has grown, and whoever signed its end is new.
    let right_grown = four.adds(&right, &TestDevice::new(9));
    assert_eq!(
        verdict(&left, &right_grown, std::slice::from_ref(&right)),
        PinVerdict::Equivocation
    );
    // Its end alone proves nothing: anybody could have made it up, so the chain has to be shown.
    assert_eq!(
        verdict(&left, &right_grown, &[]),
        PinVerdict::MissingVersions { after: 0 }
    );
    // An account-signed version on either branch ends the matter.
    let draft = ManifestDraft::after(&right, Signatory::Account).unwrap();
    let settled = account.finish(draft.revoke(two.id()).unwrap());
    assert!(matches!(
        verdict(&left, &settled, &[right]),
        PinVerdict::AccountOverride(_)
    ));
}

#[test]
fn a_revoked_device_that_forks_is_found_out_by_the_chain() {
    let account = account();
    let [phone, stolen, thief] = devices();
    let v1 = account.first(&phone);
    let v2 = phone.adds(&v1, &stolen);
    let pinned = phone.revokes(&v2, &stolen);
    let fork = stolen.adds(&v2, &thief);
    // The pinned version no longer tells the revoked device's key, so the chain has to be shown:
    // otherwise anybody could make up a revoked device and raise the alarm.
    assert_eq!(
        verdict(&pinned, &fork, &[]),
        PinVerdict::MissingVersions { after: 0 }
    );
    assert_eq!(
        verdict(&pinned, &fork, &[v1.clone(), v2.clone()]),
        PinVerdict::Equivocation
    );

    // Made up by a stranger, who knows public bytes only.
    let stranger = TestDevice::new(66);
    let mut body = next_body(&v2, &phone);
    body.signer = Signatory::Device {
        id: stolen.id(),
        signing_key: stranger.keys().signing_key,
    };
    body.devices.pop();
    body.revoked = vec![stolen.id()];
    let made_up = forge(&body, &stranger).unwrap();
    assert_eq!(
        verdict(&pinned, &made_up, &[]),
        PinVerdict::MissingVersions { after: 0 }
    );
    assert_eq!(
        judge(&pinned, &made_up, &[v1, v2.clone()]),
        Err(ManifestError::SignerNotListed)
    );
    // On the version that it names it is no successor either.
    assert_eq!(
        judge(&v2, &made_up, &[]),
        Err(ManifestError::SignerNotListed)
    );
}

#[test]
fn the_account_key_equivocates_too() {
    let account = account();
    let [one, two, three] = devices();
    let v1 = account.first(&one);
    let other_v1 = account.first(&two);
    assert_eq!(verdict(&v1, &other_v1, &[]), PinVerdict::Equivocation);
    // A later version on the other beginning proves it only with that beginning.
    let other_v2 = two.adds(&other_v1, &three);
    assert_eq!(
        verdict(&v1, &other_v2, &[]),
        PinVerdict::MissingVersions { after: 0 }
    );
    // Some other account-signed version does not prove it.
    assert_eq!(
        verdict(&v1, &other_v2, std::slice::from_ref(&v1)),
        PinVerdict::MissingVersions { after: 0 }
    );
    assert_eq!(
        verdict(&v1, &other_v2, &[other_v1]),
        PinVerdict::Equivocation
    );
}

#[test]
fn a_lost_way_back_is_asked_for_and_then_walked() {
    let account = account();
    let [one, two, three, four] = devices();
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    let v3 = one.adds(&v2, &three);
    let v4 = one.adds(&v3, &four);
    assert_eq!(
        verdict(&v1, &v4, &[]),
        PinVerdict::MissingVersions { after: 1 }
    );
    assert_eq!(
        check_extension(&v1, &v4, std::slice::from_ref(&v3)),
        Err(ManifestError::VersionsMissing)
    );
    // The order in which they come does not matter, and superfluous ones do no harm.
    let known = [v3.clone(), v4.clone(), v2.clone(), v1.clone()];
    let facts = check_extension(&v1, &v4, &known).unwrap();
    assert_eq!(facts.added, [two.id(), three.id(), four.id()]);
    assert_eq!(check_extension(&v4, &v4, &[]), Err(ManifestError::NoChange));

    // An account-signed version in a gap is asked for from its own number on.
    let draft = ManifestDraft::overriding(&v2, 4).unwrap();
    let v5 = account.finish(draft.revoke(two.id()).unwrap());
    let v6 = one.adds(&v5, &TestDevice::new(9));
    assert_eq!(
        verdict(&v4, &v6, &[]),
        PinVerdict::MissingVersions { after: 4 }
    );
    assert!(matches!(
        verdict(&v4, &v6, &[v5]),
        PinVerdict::AccountOverride(_)
    ));
}

#[test]
fn an_unlawful_step_on_the_way_is_refused() {
    let account = account();
    let [one, two, three] = devices();
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    // A version that forgets the second device, and a lawful one on top of it.
    let mut body = next_body(&v2, &one);
    body.devices.pop();
    let unlawful = forge(&body, &one).unwrap();
    let above = one.adds(&unlawful, &three);
    assert_eq!(
        judge(&v1, &above, &[v2, unlawful]),
        Err(ManifestError::EntryAltered)
    );
    let other = crate::testing::TestAccount::new(101).first(&one);
    assert_eq!(judge(&v1, &other, &[]), Err(ManifestError::OtherAccount));
}

#[test]
fn mallory_cannot_list_the_keys_of_bob() {
    let (mallory, bob) = (crate::testing::TestAccount::new(102), account());
    let [device_of_bob, device_of_mallory] = devices();
    // Bob's own signature is about Bob's account.
    let signature = device_of_bob.sign(&device_of_bob.keys().membership_signable(&bob.key));
    assert_eq!(
        device_of_bob.keys().countersigned(&mallory.key, signature),
        Err(ManifestError::MembershipSignature)
    );
    // Taking Bob's whole entry into an own manifest fails as well.
    let mut body = mallory.first(&device_of_mallory).body;
    body.devices.push(bob.admits(&device_of_bob));
    assert_eq!(
        forge(&body, &mallory.secret).unwrap_err(),
        ManifestError::MembershipSignature
    );
    // And so does Bob's X25519 key under a signing key of Mallory's, which signs for both keys.
    let mut keys = device_of_mallory.keys();
    let own_word = device_of_mallory.sign(&keys.membership_signable(&mallory.key));
    keys.dh_key = device_of_bob.keys().dh_key;
    assert!(keys.countersigned(&mallory.key, own_word).is_err());
}

#[test]
fn an_admission_signed_in_advance_is_worth_nothing_after_revocation() {
    let account = account();
    let [phone, stolen, thief] = devices();
    let v2 = phone.adds(&account.first(&phone), &stolen);
    let in_advance = thief.admitted_by(&account.key, &stolen);
    let v3 = phone.revokes(&v2, &stolen);
    let mut body = next_body(&v3, &phone);
    body.devices.push(in_advance);
    // Even the phone could not bring it in.
    assert_eq!(
        verify_successor(&v3, &forge(&body, &phone).unwrap()),
        Err(ManifestError::AdmissionAuthority)
    );
}

#[test]
fn a_handshake_brings_a_later_version_alone() {
    let account = account();
    let [one, two, three, four] = devices();
    let v1 = account.first(&one);
    let v2 = one.adds(&v1, &two);
    let v3 = two.adds(&v2, &three);
    let v4 = one.revokes(&v3, &two);
    let provisional = check_provisional(&v1, &v3).unwrap();
    assert_eq!(provisional.added, [two.id(), three.id()]);
    assert_eq!(check_provisional(&v2, &v4).unwrap().revoked, [two.id()]);
    // The third device's sponsor came and went between the two.
    assert_eq!(
        check_provisional(&v1, &v4),
        Err(ManifestError::AdmissionAuthority)
    );
    assert_eq!(
        check_provisional(&v3, &v2),
        Err(ManifestError::NotOnPrevious)
    );
    // The signer itself came and went.
    let gone = two.revokes(&v2, &two);
    assert_eq!(
        check_provisional(&v1, &gone),
        Err(ManifestError::SignerNotListed)
    );
    let other = crate::testing::TestAccount::new(101).first(&one);
    assert_eq!(
        check_provisional(&other, &v3),
        Err(ManifestError::OtherAccount)
    );
    // A pinned revocation that is missing.
    let mut hidden = next_body(&v3, &one);
    hidden.version = 6;
    hidden.devices.push(four.admitted_by(&account.key, &one));
    let hidden = forge(&hidden, &one).unwrap();
    assert_eq!(
        check_provisional(&v4, &hidden),
        Err(ManifestError::RevocationMissing)
    );
    // A fork in place of the direct successor.
    let fork = two.adds(&v2, &four);
    let above_fork = two.adds(&fork, &TestDevice::new(9));
    assert_eq!(
        check_provisional(&v3, &above_fork),
        Err(ManifestError::NotOnPrevious)
    );
    // The account key has signed in between.
    let draft = ManifestDraft::after(&v4, Signatory::Account).unwrap();
    let v5 = account.finish(draft.revoke(three.id()).unwrap());
    assert_eq!(
        check_provisional(&v3, &v5),
        Err(ManifestError::VersionsMissing)
    );
}
