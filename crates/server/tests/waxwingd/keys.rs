// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Another key for a server: who knows both goes on, and nobody is locked out by accident.

use rustix::process::Signal;
use serde_json::Value;
use waxwing_identity::ServerLink;
use waxwing_proto::ServerAddress;
use waxwing_transport::quic::{DialerSettings, QuicDialer};
use waxwing_transport::{Dialer as _, LinkError, Plane};

use crate::client::block_on;
use crate::process::{Place, Server};

fn address(said: &Value) -> ServerAddress {
    let link: ServerLink = said["server"].as_str().unwrap().parse().unwrap();
    link.server().clone()
}

/// Whether the server that runs is the one that a link names.
async fn dial(server: &ServerAddress) -> Result<(), LinkError> {
    let dialer = QuicDialer::new(DialerSettings::default());
    dialer.dial(server, Plane::Account).await.map(drop)
}

fn stop(server: Server) {
    let (status, errors) = server.end_by(Signal::TERM);
    assert!(status.success(), "{errors}");
}

#[test]
fn who_has_a_link_with_both_keys_goes_on_after_the_switch() {
    let place = Place::new();
    let made = place.init();
    let before = address(&made);
    assert_eq!(before.key_pins.len(), 1);
    let prepared = place.run(&["key", "prepare", "--json"]).json();
    let both = address(&prepared);
    assert_eq!(prepared["key_pin"], made["key_pin"]);
    assert_eq!(both.key_pins.len(), 2);
    assert_eq!(both.key_pins[0], before.key_pins[0]);

    // While it is prepared, the server shows the key that it had, and its links carry both.
    let server = Server::start(&place.data(), &["serve"]);
    assert_eq!(address(&server.ready), both);
    block_on(async {
        assert_eq!(dial(&before).await, Ok(()));
        assert_eq!(dial(&both).await, Ok(()));
    });
    stop(server);
    assert!(place.data().join("tickets").exists());

    let switched = place.run(&["key", "switch", "--json"]).json();
    let after = address(&switched);
    assert_eq!(switched["previous_key_pin"], made["key_pin"]);
    assert_eq!(switched["key_pin"], prepared["next_key_pin"]);
    assert_eq!(after.key_pins, both.key_pins[1..]);
    assert!(!place.data().join("next.key").exists());
    assert!(!place.data().join("tickets").exists());

    let server = Server::start(&place.data(), &["serve"]);
    block_on(async {
        assert_eq!(dial(&both).await, Ok(()));
        assert_eq!(dial(&after).await, Ok(()));
        assert_eq!(dial(&before).await, Err(LinkError::ServerKeyMismatch));
    });
    stop(server);
}

#[test]
fn keys_are_neither_replaced_by_accident_nor_under_a_server() {
    let place = Place::new();
    let made = place.init();
    let refused = |command: &str, exit: i32, code: &str| {
        let said = place.run(&["key", command, "--json"]);
        said.failed_with(exit, code);
    };
    refused("switch", 1, "no_next_key");
    // Sessions that prove no key are no way to tell of another one.
    stop(Server::start(&place.data(), &["serve"]));
    assert!(place.data().join("tickets").exists());
    let prepared = place.run(&["key", "prepare", "--json"]).json();
    refused("prepare", 1, "key_prepared");
    assert!(!place.data().join("tickets").exists());
    let server = Server::start(&place.data(), &["serve"]);
    refused("switch", 6, "data_folder_in_use");
    assert_eq!(server.ready["key_pin"], made["key_pin"]);
    assert_eq!(address(&server.ready), address(&prepared));
    stop(server);
    // A key that cannot be read is no reason to drop it from the links without a word.
    std::fs::write(place.data().join("next.key"), b"no key").unwrap();
    refused("switch", 6, "next_key_unreadable");
    let served = place.run(&["serve", "--json"]);
    served.failed_with(6, "next_key_unreadable");
}
