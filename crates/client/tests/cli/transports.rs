// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One session over QUIC, over TCP, and through a proxy.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{Person, Server, bodies, pause};

fn status(person: &Person) -> Value {
    let text = person.run(&["status", "--json"]).ok();
    serde_json::from_str(&text).unwrap()
}

/// Waits until the profile's host is connected over `transport`.
fn until_over(person: &Person, transport: &str) {
    // A server that was killed takes no leave: a host that waits for mail notices by silence.
    for _ in 0..6000 {
        if status(person)["transport"] == transport {
            return;
        }
        pause();
    }
    panic!("not over {transport}: {}", status(person));
}

/// [TRN-41]: a session moves from QUIC to TCP and back while somebody follows: everything arrives, in order
/// and once.
#[test]
fn a_session_moves_from_quic_to_tcp_and_back_with_nothing_lost_or_doubled() {
    let mut server = Server::start();
    let (alice, bob) = Person::pair(&server);
    let mut follows = bob.follow();
    let mut sent = Vec::new();
    for (stage, (offered, transport)) in [
        ("[\"quic\", \"tcp\"]", "quic"),
        ("[\"tcp\"]", "tcp"),
        ("[\"quic\"]", "quic"),
    ]
    .into_iter()
    .enumerate()
    {
        if stage > 0 {
            server.offer(offered);
            // What is sent while the server is away waits in the outbox.
            server.kill();
            let text = format!("{stage} while away");
            alice
                .run(&["send", "bob", &text, "--timeout", "300ms"])
                .ok();
            sent.push(text);
            server.restart();
        }
        until_over(&bob, transport);
        assert_eq!(status(&bob)["key_exchange"], "X25519MLKEM768");
        for round in 0..3 {
            let text = format!("{stage} over {transport}, {round}");
            alice.run(&["send", "bob", &text, "--wait"]).ok();
            sent.push(text);
        }
        follows.expect(&format!("{stage} over {transport}, 2"));
        until_over(&alice, transport);
    }
    let printed = bodies(&follows.kill().join("\n"));
    assert_eq!(printed, sent);
    assert_eq!(bob.history("alice"), sent);
}

/// [TRN-41].
#[test]
fn a_transport_can_be_chosen() {
    let server = Server::start();
    let (alice, _bob) = Person::pair(&server);
    for transport in ["tcp", "quic"] {
        let text = alice
            .run(&["status", "--json", "--transport", transport])
            .ok();
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["online"], true);
        assert_eq!(status["transport"], transport);
    }
    let wrong = alice.run(&["status", "--transport", "udp"]);
    assert_eq!(wrong.code(), 2);
    assert!(wrong.stderr().contains("auto, quic or tcp"));
}

/// A SOCKS5 proxy that takes every name for the server's port on this machine. Gives its own port and
/// the user names that it was shown.
fn proxy(target: u16) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let users = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&users);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || carry(stream, target, &seen));
        }
    });
    (port, users)
}

/// RFC 1928 with RFC 1929. An error is the end of the connection.
fn carry(mut stream: TcpStream, target: u16, users: &Mutex<Vec<Vec<u8>>>) -> Option<()> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    text(&mut stream, head[1])?;
    stream.write_all(&[5, 2]).ok()?;
    stream.read_exact(&mut head).ok()?;
    let user = text(&mut stream, head[1])?;
    users.lock().unwrap().push(user);
    let mut length = [0];
    stream.read_exact(&mut length).ok()?;
    text(&mut stream, length[0])?;
    stream.write_all(&[1, 0]).ok()?;
    let mut request = [0; 5];
    stream.read_exact(&mut request).ok()?;
    assert_eq!(request[..4], [5, 1, 0, 3], "a name, not an address");
    assert_eq!(text(&mut stream, request[4])?, b"relay.test");
    text(&mut stream, 2)?;
    let onward = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let pair = (stream.try_clone().ok()?, onward.try_clone().ok()?);
    std::thread::spawn(move || pump(pair.0, pair.1));
    pump(onward, stream);
    Some(())
}

fn text(stream: &mut TcpStream, length: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// The server's name can be resolved by nobody but the proxy, so that whatever arrives went through
/// it.
/// TRN-86, with programs that both do so.
#[test]
fn packets_of_one_length_go_over_quic_alone() {
    let mut server = Server::start();
    server.configure("constant_packets", "true");
    server.replaced();
    let person = |name| Person::configured(&server, name, "constant_packets = true\n");
    let (alice, bob) = (person("alice"), person("bob"));
    alice.knows(&bob, "bob");
    bob.knows(&alice, "alice");
    let mut follows = bob.follow();
    alice.run(&["send", "bob", "padded", "--wait"]).ok();
    follows.expect("padded");
    assert_eq!(status(&bob)["transport"], "quic");
    alice
        .run(&["status", "--json", "--transport", "tcp"])
        .fails("constant_packets_need_quic", 1);
}

#[test]
fn with_a_proxy_everything_goes_through_it() {
    let mut server = Server::start();
    server.configure("name", "\"relay.test\"");
    server.replaced();
    let (at, users) = proxy(server.port());
    let proxied = format!("proxy = \"socks5://127.0.0.1:{at}\"\n");
    let person = |name| Person::configured(&server, name, &proxied);
    let (alice, bob) = (person("alice"), person("bob"));
    alice.knows(&bob, "bob");
    bob.knows(&alice, "alice");
    let mut follows = bob.follow();
    until_over(&bob, "tcp");
    let before = users.lock().unwrap().len();
    alice.run(&["send", "bob", "through", "--wait"]).ok();
    follows.expect("through");
    // One process, two planes, two users of the proxy.
    let shown: BTreeSet<Vec<u8>> = users.lock().unwrap()[before..].iter().cloned().collect();
    assert!(shown.len() >= 2, "{}", shown.len());
    alice
        .run(&["status", "--json", "--transport", "quic"])
        .fails("quic_through_proxy", 1);
}
