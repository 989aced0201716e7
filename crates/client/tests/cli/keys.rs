// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that changes its key: who came by a link with both keys goes on, who did not is told.

use crate::support::{Person, Server, bodies};

#[test]
fn accounts_with_both_keys_of_a_server_outlive_its_switch() {
    let mut server = Server::start();
    let early = Person::registered(&server, "carol");
    server.kill();
    server.tool(&["key", "prepare"]);
    server.restart();
    let (alice, bob) = Person::pair(&server);
    alice.run(&["send", "bob", "before"]).ok();
    server.kill();
    server.tool(&["key", "switch"]);
    server.restart();
    // What waited at the server is there, and more goes both ways.
    alice.run(&["send", "bob", "after"]).ok();
    let received = bob.run(&["receive", "--json"]).ok();
    assert_eq!(bodies(&received), ["before", "after"]);
    bob.run(&["send", "alice", "and back"]).ok();
    let received = alice.run(&["receive", "--json"]).ok();
    assert_eq!(bodies(&received), ["and back"]);
    // Who knows the old key only does not take the new one for it.
    early
        .run(&["receive", "--json"])
        .fails("wrong_server_key", 4);
}
