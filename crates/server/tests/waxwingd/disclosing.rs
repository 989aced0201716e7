// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an operator can hand over: before, while and after a server runs.

use waxwing_identity::InviteLink;

use crate::client::{Network, Person, block_on};
use crate::process::Place;

const CANARY: &str = "a canary that nobody else would write";

#[test]
fn disclose_shows_what_is_stored_and_nothing_of_others() {
    let place = Place::new();
    let server = place.up();
    let invite: InviteLink = server.text("invite").parse().unwrap();
    place
        .run(&["disclose", "alice", "--json"])
        .failed_with(7, "account_unknown");
    let empty = place.run(&["disclose", "--json", "--grep", CANARY]).json();
    assert_eq!(empty["matches"], 0);
    assert!(empty["files"].as_u64().unwrap() > 3 && empty["bytes"].as_u64().unwrap() > 100);

    let (alice, bob) = (Person::new("alice", 10), Person::new("bob", 20));
    block_on(async {
        let network = Network::new(invite.server().clone());
        alice.register(&network, &invite).await.unwrap();
        bob.register(&network, &invite).await.unwrap();
        alice.send_to(&network, CANARY.as_bytes(), 1).await;
        bob.send_to(&network, b"for bob alone", 1).await;
    });
    let hex = |text: &str| data_encoding::HEXLOWER.encode(text.as_bytes());
    let running = place.run(&["disclose", "alice", "--json"]).json();
    assert_eq!(running["type"], "disclosure");
    assert_eq!(running["name"], "alice");
    let text = running.to_string();
    assert!(text.contains(&hex(CANARY)), "{text}");
    assert!(
        !text.contains(&hex("for bob alone")) && !text.contains("bob"),
        "{text}"
    );
    let by_key = place
        .run(&["disclose", running["account"].as_str().unwrap(), "--json"])
        .json();
    assert_eq!(by_key["name"], "alice");
    let by_address = place.run(&["disclose", "alice@127.0.0.1", "--json"]).json();
    assert_eq!(by_address["account"], running["account"]);
    let people = place.run(&["disclose", "alice"]);
    assert!(
        people.out.contains("Not stored: message text"),
        "{people:?}"
    );
    assert!(people.err.is_empty(), "{people:?}");
    // The planted leak: an "envelope" that is no ciphertext is found.
    let found = place.run(&["disclose", "--json", "--grep", CANARY]).json();
    assert!(found["matches"].as_u64().unwrap() > 0);
    assert_eq!(found["findings"][0]["form"], "utf-8");

    drop(server);
    let stopped = place.run(&["disclose", "alice", "--json"]).json();
    assert_eq!(stopped, running);
}

#[test]
fn every_stored_field_is_in_the_reviewed_list() {
    let place = Place::new();
    let server = place.up();
    let invite: InviteLink = server.text("invite").parse().unwrap();
    let alice = Person::new("alice", 10);
    block_on(async {
        let network = Network::new(invite.server().clone());
        alice.register(&network, &invite).await.unwrap();
        alice.send_to(&network, b"sealed", 1).await;
    });
    let listed = place.run(&["disclose", "--fields", "--json"]).json();
    let fields: Vec<&str> = listed["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["field"].as_str().unwrap())
        .collect();
    let disclosed = place.run(&["disclose", "alice", "--json"]).json();
    let mut count = 0;
    for table in disclosed["tables"].as_array().unwrap() {
        for field in table["rows"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_array().unwrap())
        {
            let name = format!(
                "{}.{}",
                table["table"].as_str().unwrap(),
                field["field"].as_str().unwrap()
            );
            assert!(fields.contains(&name.as_str()), "{name} is not in the list");
            count += 1;
        }
    }
    assert!(count > 10, "{disclosed}");
    let text = place.run(&["disclose", "--fields"]);
    assert!(text.out.contains("Every field"), "{text:?}");
}

#[test]
fn what_to_disclose_must_be_said_once() {
    let place = Place::new();
    place.init();
    assert_eq!(place.run(&["disclose"]).code, 2);
    assert_eq!(place.run(&["disclose", "alice", "--fields"]).code, 2);
    place
        .run(&["disclose", "--json", "--grep", "abc"])
        .failed_with(1, "text_too_short");
}
