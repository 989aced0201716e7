// SPDX-License-Identifier: Apache-2.0 OR MIT
//! IPv6 on the loopback interface, over QUIC and over TCP.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use waxwing_proto::ServerAddress;
use waxwing_transport::platform::{SystemClock, SystemEntropy};
use waxwing_transport::quic::{
    DialerSettings, ListenerSettings, QuicDialer, QuicListener, StableKeys,
};
use waxwing_transport::tcp::{TcpDialer, TcpDialerSettings, TcpListener, TcpListenerSettings};
use waxwing_transport::tls::ServerIdentity;
use waxwing_transport::{
    AddressPrefix, Connection, Dialer, Link, LinkError, Listener, Plane, Transport,
};

use crate::kinds::{serve, status};

/// A listener and a dialer of one transport.
type Ends = (Arc<dyn Listener>, Box<dyn Dialer>, Transport);

/// Whether there is IPv6 here. What cannot be bound cannot be tested.
#[allow(clippy::print_stderr, reason = "whoever reads the log learns why")]
fn has_ipv6() -> bool {
    let bound = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(error) = &bound {
        eprintln!("skipped: there is no ::1 here ({error})");
    }
    bound.is_ok()
}

fn identity() -> ServerIdentity {
    ServerIdentity::from_seed(&[1; 32]).unwrap()
}

/// Listeners at the address, which take so many connections from one prefix.
fn ends(ip: Ipv6Addr, per_prefix: usize) -> [Ends; 2] {
    let at = SocketAddr::from((ip, 0));
    let keys = StableKeys {
        reset: [1; 32],
        token: [2; 32],
    };
    let settings = ListenerSettings {
        connections_per_prefix_max: per_prefix,
        ..ListenerSettings::default()
    };
    let quic = QuicListener::bind(at, &identity(), &keys, None, settings).unwrap();
    let settings = TcpListenerSettings {
        connections_per_prefix_max: per_prefix,
        ..TcpListenerSettings::default()
    };
    let tcp = TcpListener::bind(at, &identity(), None, settings).unwrap();
    [
        (
            Arc::new(quic),
            Box::new(QuicDialer::new(DialerSettings::default())),
            Transport::Quic,
        ),
        (
            Arc::new(tcp),
            Box::new(TcpDialer::new(
                TcpDialerSettings::default(),
                Arc::new(SystemEntropy),
            )),
            Transport::Tcp,
        ),
    ]
}

async fn dial((listener, dialer, _): &Ends, host: &str) -> Result<Link, LinkError> {
    let address = ServerAddress {
        host: host.parse().unwrap(),
        port: listener.local_address().unwrap().port(),
        key_pins: vec![identity().key_pin()],
    };
    dialer.dial(&address, Plane::Account).await
}

/// One call over a new connection; gives the client's link and the server's.
async fn exchange(ends: &Ends, host: &str) -> (Link, Link) {
    let (ours, theirs) = tokio::join!(dial(ends, host), ends.0.accept());
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(ours.transport(), ends.2);
    let clock = Arc::new(SystemClock::new());
    tokio::spawn(serve(theirs.clone(), clock.clone()));
    let connection = Connection::establish(ours.clone(), clock).await.unwrap();
    connection.call(status(), 0).await.unwrap();
    (ours, theirs)
}

/// TRN-1, TRN-40, TRN-67: a server at an IPv6 address is called, and counts its clients by their prefix.
#[tokio::test]
async fn a_server_is_called_at_an_ipv6_address_and_counts_by_prefix() {
    if !has_ipv6() {
        return;
    }
    for ends in ends(Ipv6Addr::LOCALHOST, 1) {
        let (ours, theirs) = exchange(&ends, "::1").await;
        assert!(ours.remote_address().ip() == Ipv6Addr::LOCALHOST);
        let prefix = AddressPrefix::of(Ipv6Addr::LOCALHOST.into());
        assert_eq!(theirs.remote_prefix(), prefix);
        // The prefix has what it may have.
        assert!(dial(&ends, "::1").await.is_err());
    }
}

/// The wildcard address takes both families, and IPv4 addresses count as such.
#[tokio::test]
async fn a_server_at_the_wildcard_address_takes_both_families() {
    if !has_ipv6() {
        return;
    }
    for ends in ends(Ipv6Addr::UNSPECIFIED, 1) {
        let six = exchange(&ends, "::1").await;
        let four = exchange(&ends, "127.0.0.1").await;
        assert_eq!(
            four.1.remote_prefix(),
            AddressPrefix([4, 127, 0, 0, 0, 0, 0, 0])
        );
        assert_ne!(six.1.remote_prefix(), four.1.remote_prefix());
        // Each has its own count.
        assert!(dial(&ends, "127.0.0.1").await.is_err());
        assert!(dial(&ends, "::1").await.is_err());
    }
}
