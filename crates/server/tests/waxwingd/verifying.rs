// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `verify`, and a server whose disk has changed what was written.

use std::fs;

use rustix::process::Signal;
use waxwing_identity::InviteLink;

use crate::client::{Network, Person, block_on};
use crate::process::Place;

const BODIES: [&[u8]; 3] = [
    b"the first of three envelopes",
    b"the second of three envelopes",
    b"the third of three envelopes",
];

#[test]
fn damage_is_found_said_and_passed_over() {
    let place = Place::new();
    place
        .run(&["verify", "--json"])
        .failed_with(1, "not_initialised");
    let server = place.up();
    let invite: InviteLink = server.text("invite").parse().unwrap();
    let alice = Person::new("alice", 10);
    block_on(async {
        let network = Network::new(invite.server().clone());
        alice.register(&network, &invite).await.unwrap();
        for (body, number) in BODIES.iter().zip(1..) {
            alice.send_to(&network, body, number).await;
        }
    });
    place
        .run(&["verify", "--json"])
        .failed_with(6, "data_folder_in_use");
    server.end_by(Signal::TERM);
    let verified = place.run(&["verify", "--json"]).json();
    assert_eq!(verified["whole"], true, "{verified}");
    assert!(verified["records"].as_u64().unwrap() > 5, "{verified}");
    assert!(verified["rows"].as_u64().unwrap() > 5, "{verified}");
    let people = place.run(&["verify"]);
    assert!(people.out.contains("nothing is damaged"), "{people:?}");

    let log = place.data().join("store/log");
    let mut hits = 0;
    for entry in fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let body = BODIES[1];
        if let Some(at) = bytes.windows(body.len()).position(|here| here == body) {
            bytes[at + 3] ^= 1;
            fs::write(&path, bytes).unwrap();
            hits += 1;
        }
    }
    assert_eq!(hits, 1);
    let said = place.run(&["verify", "--json"]);
    said.failed_with(6, "store_damaged");
    let verified: serde_json::Value = serde_json::from_str(said.out.trim()).unwrap();
    assert_eq!(verified["unreadable_envelopes"], 1, "{verified}");
    assert_eq!(verified["damage"].as_array().unwrap().len(), 1);
    // Also after an opening, which `doctor` tries.
    for _ in 0..2 {
        let said = place.run(&["doctor", "--json"]);
        said.failed_with(1, "doctor_found_problems");
        let report: serde_json::Value = serde_json::from_str(said.out.trim()).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let store = checks.iter().find(|check| check["name"] == "store");
        assert_eq!(store.unwrap()["code"], "store_damaged", "{report}");
    }

    let server = place.up();
    let received = block_on(async {
        let network = Network::new(invite.server().clone());
        alice.receive(&network).await
    });
    assert_eq!(received, [BODIES[0], BODIES[2]]);
    drop(server);
}
