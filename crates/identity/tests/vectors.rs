// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The known answers of `vectors/v1` for manifests, prekey pairs, links, proofs and what people
//! compare. The second implementation made them from the specification.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

#[path = "../../../vectors/replay.rs"]
mod replay;

use replay::{array, bytes, file, is_valid, list, number, text};
use serde_json::Value;
use waxwing_identity::manifest::verify_successor;
use waxwing_identity::{
    AccountKey, ContactLink, DeviceId, DeviceManifest, DeviceSigningKey, Fingerprint, InviteLink,
    LinkCode, PrekeyPair, SafetyNumber, ServerLink, Signature, VerificationPayload,
    VerifyingKey as _, authentication,
};
use waxwing_proto::ServerAddress;

fn account(value: &Value) -> AccountKey {
    AccountKey::new(array(value))
}

/// [IDN-8], [IDN-9], [IDN-10], [IDN-11], [IDN-12], [IDN-13], [IDN-14], [IDN-15], [IDN-16], [IDN-17],
/// [IDN-18], [IDN-19].
#[test]
fn manifest_versions_are_judged_alike() {
    let file = file("manifests");
    for case in list(&file["versions"]) {
        let read = DeviceManifest::decode(&bytes(&case["bytes"]));
        assert_eq!(read.is_ok(), is_valid(case), "{}: {read:?}", case["name"]);
        if let Ok(manifest) = read {
            assert_eq!(*manifest.account(), account(&file["account"]));
            assert_eq!(manifest.head().to_bytes(), array(&case["head"]));
        }
    }
}

/// [IDN-20], [IDN-21], [IDN-22], [IDN-23].
#[test]
fn steps_of_the_chain_are_judged_alike() {
    for case in list(&file("manifests")["steps"]) {
        let old = DeviceManifest::decode(&bytes(&case["old"])).unwrap();
        let step = DeviceManifest::decode(&bytes(&case["new"]))
            .and_then(|new| verify_successor(&old, &new));
        assert_eq!(step.is_ok(), is_valid(case), "{}: {step:?}", case["name"]);
    }
}

/// [PRE-1], [PRE-2], [PRE-3], [PRE-5]. The encapsulation key is checked where it is used ([PRE-7]).
#[test]
fn prekey_pairs_are_judged_alike() {
    let file = file("prekeys");
    let signing_key = DeviceSigningKey::new(array(&file["signing_key"]));
    let (account, device) = (
        account(&file["account"]),
        DeviceId::new(array(&file["device"])),
    );
    for case in list(&file["pairs"]) {
        let read = PrekeyPair::decode(&bytes(&case["bytes"]));
        let verified = read.is_ok_and(|pair| pair.verify(&signing_key, &account, &device).is_ok());
        let expected = is_valid(case) || text(&case["verdict"]) == "SES-2";
        assert_eq!(verified, expected, "{}", case["name"]);
    }
    let signed = PrekeyPair::decode(&bytes(&file["pairs"][0]["bytes"])).unwrap();
    assert_eq!(signed.id(), number::<u32>(&file["id"]));
    assert_eq!(signed.created(), number::<u32>(&file["day"]));
    assert_eq!(signed.head().unwrap().to_bytes(), array(&file["head"]));
    assert!(!signed.is_one_time());
}

/// [IDN-36], [IDN-37], [IDN-38], [IDN-39], [IDN-40]: each text is read, its fields are those of the case,
/// and it is written again to the same text.
#[test]
fn links_are_judged_alike() {
    for case in list(&file("links")["links"]) {
        let link = text(&case["text"]);
        if is_valid(case) {
            assert_eq!(written_again(link, case), link.trim(), "{}", case["name"]);
        } else {
            assert!(link.parse::<ContactLink>().is_err(), "{}", case["name"]);
            assert!(link.parse::<InviteLink>().is_err(), "{}", case["name"]);
            assert!(link.parse::<ServerLink>().is_err(), "{}", case["name"]);
            assert!(link.parse::<LinkCode>().is_err(), "{}", case["name"]);
            assert!(
                link.parse::<VerificationPayload>().is_err(),
                "{}",
                case["name"]
            );
        }
    }
}

fn written_again(link: &str, case: &Value) -> String {
    let fields = &case["fields"];
    match text(&case["kind"]) {
        "contact" => {
            let read: ContactLink = link.parse().unwrap();
            assert_server(read.server(), fields);
            assert_eq!(read.name().to_string(), text(&fields["name"]));
            assert_eq!(*read.account(), account(&fields["account"]));
            assert_eq!(
                read.delivery_id().as_bytes(),
                &array(&fields["delivery_id"])
            );
            read.to_string()
        }
        "invite" => {
            let read: InviteLink = link.parse().unwrap();
            assert_server(read.server(), fields);
            assert_eq!(read.token().as_bytes(), &array(&fields["token"]));
            read.to_string()
        }
        "server" => {
            let read: ServerLink = link.parse().unwrap();
            assert_server(read.server(), fields);
            read.to_string()
        }
        "link" => {
            let read: LinkCode = link.parse().unwrap();
            assert_server(read.server(), fields);
            assert_eq!(read.secret().as_bytes(), &array(&fields["secret"]));
            read.to_string()
        }
        "verify" => {
            let read: VerificationPayload = link.parse().unwrap();
            assert_eq!(read.account, account(&fields["account"]));
            assert_eq!(read.head.to_bytes(), array(&fields["head"]));
            assert_eq!(read.peer, account(&fields["peer"]));
            assert_eq!(read.peer_head.to_bytes(), array(&fields["peer_head"]));
            read.to_string()
        }
        kind => panic!("{kind}"),
    }
}

/// [IDN-38].
fn assert_server(server: &ServerAddress, fields: &Value) {
    assert_eq!(server.host.to_string(), text(&fields["host"]));
    assert_eq!(server.port, number::<u16>(&fields["port"]));
    let pins: Vec<_> = server.key_pins.iter().map(|pin| pin.0.to_vec()).collect();
    let expected: Vec<_> = list(&fields["pins"]).iter().map(bytes).collect();
    assert_eq!(pins, expected);
}

/// [IDN-33], [IDN-35], [TRN-13].
#[test]
fn proofs_to_a_server_agree() {
    let file = file("proofs");
    let (account, device) = (
        account(&file["account"]),
        DeviceId::new(array(&file["device"])),
    );
    let exporter = array(&file["exporter"]);
    for case in list(&file["proofs"]) {
        let made = match text(&case["name"]) {
            "authentication" => {
                authentication::authentication_signable(&exporter, &account, &device)
            }
            "generation" => {
                authentication::generation_signable(&account, &device, number(&file["generation"]))
            }
            _ => authentication::close_account_signable(&exporter, &account),
        };
        assert_eq!(made, bytes(&case["bytes"]), "{}", case["name"]);
        let key = DeviceSigningKey::new(array(&case["key"]));
        let signature = Signature::new(array(&case["signature"]));
        assert_eq!(key.verify(&made, &signature), Ok(()));
    }
}

/// [IDN-46], [IDN-47].
#[test]
fn what_people_compare_agrees() {
    let file = file("safety_numbers");
    for case in list(&file["numbers"]) {
        let number = SafetyNumber::between(&account(&case["one"]), &account(&case["other"]));
        let groups: Vec<_> = number
            .groups()
            .iter()
            .map(|group| format!("{group:05}"))
            .collect();
        assert_eq!(groups.join(" "), text(&case["number"]));
    }
    for case in list(&file["fingerprints"]) {
        let digits = text(&case["fingerprint"]);
        let fingerprint: Fingerprint = digits.parse().unwrap();
        assert!(fingerprint.fits(&account(&case["account"])));
    }
}
