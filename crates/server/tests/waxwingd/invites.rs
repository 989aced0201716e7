// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Invites, with and without a server that runs.

use waxwing_identity::InviteLink;
use waxwing_proto::v1::ErrorCode;

use crate::client::{Network, Person, block_on};
use crate::process::Place;

#[test]
fn invites_are_made_listed_and_revoked_while_the_server_runs() {
    let place = Place::new();
    let server = place.up();
    let made = place
        .run(&["invite", "new", "--json", "--uses", "1", "--expires", "2d"])
        .json();
    let revoked = place.run(&["invite", "new", "--json"]).json();
    let id = revoked["id"].as_str().unwrap();
    let said = place.run(&["invite", "revoke", "--json", &id[..6]]).json();
    assert_eq!(said["id"], revoked["id"]);
    place
        .run(&["invite", "revoke", "--json", id])
        .failed_with(7, "invite_unknown");
    place
        .run(&["invite", "revoke", "--json", "xyz"])
        .failed_with(7, "invite_unknown");

    let link = |value: &serde_json::Value| {
        value["invite"]
            .as_str()
            .unwrap()
            .parse::<InviteLink>()
            .unwrap()
    };
    block_on(async {
        let (good, bad) = (link(&made), link(&revoked));
        let network = Network::new(good.server().clone());
        let (alice, bob) = (Person::new("alice", 10), Person::new("bob", 20));
        alice.register(&network, &good).await.unwrap();
        assert_eq!(
            bob.register(&network, &good).await,
            Err(ErrorCode::InviteUsed)
        );
        assert_eq!(
            bob.register(&network, &bad).await,
            Err(ErrorCode::InviteUnknown)
        );
    });
    let listed = place.run(&["invite", "list", "--json"]).json();
    let invites = listed["invites"].as_array().unwrap();
    // That of `up`, and the used one.
    assert_eq!(invites.len(), 2);
    let used = invites
        .iter()
        .find(|invite| invite["id"] == made["id"])
        .unwrap();
    assert_eq!(used["uses_left"], 0);
    drop(server);
}

#[test]
fn invites_are_made_on_the_store_when_no_server_runs() {
    let place = Place::new();
    place.init();
    let none = place.run(&["invite", "list"]);
    assert!(none.out.contains("no invites"), "{none:?}");
    let text = place.run(&["invite", "new", "--expires", "never"]);
    assert!(
        text.out.contains("waxwing:invite/") && text.out.contains("for ever"),
        "{text:?}"
    );
    assert!(
        !text.out.contains('\u{2588}'),
        "no picture where nobody sees it"
    );
    let made = place.run(&["invite", "new", "--json"]).json();
    let listed = place.run(&["invite", "list", "--json"]).json();
    assert_eq!(listed["invites"].as_array().unwrap().len(), 2);
    // It is good once the server runs.
    let server = place.up();
    let invite: InviteLink = made["invite"].as_str().unwrap().parse().unwrap();
    block_on(async {
        let network = Network::new(invite.server().clone());
        Person::new("alice", 10)
            .register(&network, &invite)
            .await
            .unwrap();
    });
    drop(server);
}
