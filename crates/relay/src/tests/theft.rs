// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A thief of a device hands in what he can sign. What he may use up ends before what the owner needs.

use bytes::Bytes;
use waxwing_identity::{DeviceManifest, ManifestDraft, Signatory};
use waxwing_proto::DeliveryId;
use waxwing_proto::limits::{ACCOUNT_REVOCATIONS_RESERVE, REVOKED_DEVICES_MAX};
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::{self, ErrorCode};

use super::people::{Person, TestDevice, sign};
use super::world::{Sent, World};

/// Where the signatory stands: after the label, the account, the number and the previous hash.
const SIGNATORY_AT: usize = 19 + 32 + 4 + 32;

fn replace(bytes: impl Into<Bytes>) -> Call {
    let manifest = bytes.into();
    Call::ReplaceManifest(v1::ReplaceManifestRequest { manifest })
}

/// What the account key would sign next, as the person's first device would forge it.
fn signed_by_device(person: &Person, draft: &ManifestDraft) -> Vec<u8> {
    let device = &person.devices[0];
    let mut signatory = vec![1];
    signatory.extend_from_slice(device.id().as_bytes());
    signatory.extend_from_slice(device.keys.signing_key.as_bytes());
    signatory.extend_from_slice(&person.manifest.anchor().to_bytes());
    let mut bytes = draft.signable().unwrap();
    assert_eq!(bytes[SIGNATORY_AT], 0);
    bytes.splice(SIGNATORY_AT..=SIGNATORY_AT, signatory);
    let signature = sign(&device.secret, &bytes);
    bytes.extend_from_slice(signature.as_bytes());
    bytes
}

/// [IDN-61].
#[tokio::test(start_paused = true)]
async fn room_for_revocations_is_kept_for_the_words() {
    let world = World::open().await;
    let mut alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let client = world.connect("thief").await;
    let for_devices = REVOKED_DEVICES_MAX - ACCOUNT_REVOCATIONS_RESERVE;
    for number in 0..for_devices {
        alice.link_device(u8::try_from(40 + number).unwrap());
        client
            .call(replace(alice.manifest.as_bytes().clone()))
            .await
            .unwrap();
        alice.remove_last_device();
        client
            .call(replace(alice.manifest.as_bytes().clone()))
            .await
            .unwrap();
        // Below the limit of signature checks.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    alice.link_device(240);
    let newest = alice.manifest.as_bytes().clone();
    client.call(replace(newest)).await.unwrap();
    let last = alice.devices[1].id();
    let draft = ManifestDraft::after(&alice.manifest, Signatory::Account)
        .unwrap()
        .revoke(last)
        .unwrap();
    let forged = signed_by_device(&alice, &draft);
    assert!(DeviceManifest::decode(&forged).is_ok());
    let refused = client.call(replace(forged)).await.unwrap_err();
    assert_eq!(refused, ErrorCode::ManifestInvalid);
    let signature = sign(&alice.secret, &draft.signable().unwrap());
    let by_account = draft.finish(signature).unwrap();
    client
        .call(replace(by_account.as_bytes().clone()))
        .await
        .unwrap();
}

/// [BOX-47]: a thief of a device knows every id that its account gave to a contact, and may have made as many as
/// there may be. The words end them all.
#[tokio::test(start_paused = true)]
async fn the_words_end_every_contact_id() {
    let world = World::open().await;
    let alice = Person::new("alice", 10);
    world.settle(&alice).await;
    let thief = world.connect_as(&alice, 0).await;
    let id = DeliveryId::new([77; 16]);
    let create = |id: DeliveryId| {
        let delivery_ids = vec![id.to_wire()];
        Call::CreateDeliveryIds(v1::CreateDeliveryIdsRequest { delivery_ids })
    };
    thief.call(create(id)).await.unwrap();
    let bob = world.connect("bob").await;
    bob.send(alice.send_request(id, 1)).await.unwrap();

    let fresh = TestDevice::new(17);
    let entry = fresh.admitted(alice.account(), Signatory::Account, &alice.secret);
    let draft = ManifestDraft::overriding(&alice.manifest, 1)
        .and_then(ManifestDraft::revoke_all)
        .and_then(|draft| draft.list(entry))
        .unwrap();
    let signature = sign(&alice.secret, &draft.signable().unwrap());
    let recovered = draft.finish(signature).unwrap();
    let owner = world.connect("alice").await;
    owner
        .call(replace(recovered.as_bytes().clone()))
        .await
        .unwrap();
    let gone = bob.send(alice.send_request(id, 2)).await.unwrap_err();
    assert_eq!(gone, ErrorCode::DeliveryIdGone);
    // Under the public id the new list of devices is told.
    let stale = bob.send(alice.send_request(alice.public_id, 3)).await;
    assert!(matches!(stale, Ok(Sent::Stale(manifest)) if manifest == *recovered.as_bytes()));
    // Handing the same version in again, as anybody can, ends no id that was made since.
    let recovered_alice = Person {
        manifest: recovered.clone(),
        devices: vec![fresh],
        ..alice
    };
    let new_phone = world.connect_as(&recovered_alice, 0).await;
    new_phone.call(create(id)).await.unwrap();
    let stranger = world.connect("stranger").await;
    stranger
        .call(replace(recovered.as_bytes().clone()))
        .await
        .unwrap();
    let still = bob.send(recovered_alice.send_request(id, 4)).await;
    assert!(still.is_ok(), "{still:?}");
}
