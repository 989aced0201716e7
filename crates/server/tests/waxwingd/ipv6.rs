// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server at an IPv6 address, from its link to a message over either transport.

use std::net::{Ipv6Addr, UdpSocket};
use std::sync::Arc;

use waxwing_identity::{InviteLink, ServerLink};
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings};
use waxwing_transport::{Connection, Dialer as _, Plane};

use crate::client::{Network, Person, block_on};
use crate::process::{Place, Server};

#[test]
#[allow(clippy::print_stderr, reason = "whoever reads the log learns why")]
fn people_register_and_write_over_ipv6() {
    if let Err(error) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        eprintln!("skipped: there is no ::1 here ({error})");
        return;
    }
    let place = Place::new();
    let server = Server::start(&place.data(), &["up", "--listen", "[::1]:0"]);
    let invite: InviteLink = server.text("invite").parse().unwrap();
    let link: ServerLink = server.text("server").parse().unwrap();
    assert_eq!(link.server().host.as_str(), "::1");
    let alice = Person::new("alice", 10);
    block_on(async {
        let network = Network::new(link.server().clone());
        alice.register(&network, &invite).await.unwrap();
        alice.send_to(&network, b"over quic", 1).await;
        let tcp = TcpDialer::new(TcpDialerSettings::default(), Arc::new(SystemEntropy));
        let dialled = tcp.dial(link.server(), Plane::Anonymous).await.unwrap();
        assert_eq!(dialled.remote_address().ip(), Ipv6Addr::LOCALHOST);
        let connection = Connection::establish(dialled, Arc::new(SystemClock::new())).await;
        assert!(alice.try_send(&connection.unwrap(), b"over tcp", 2).await);
        let received = alice.receive(&network).await;
        assert_eq!(received, [b"over quic".to_vec(), b"over tcp".to_vec()]);
    });
}
