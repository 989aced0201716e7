// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two planes of one client.

use waxwing_proto::ServerAddress;
use waxwing_transport::{Connection, Dialer, Plane};

use crate::kinds::{Kind, Quic, Resumable, Tcp, serve, status};

/// TRN-6: one dialer, two planes, two connections. That each has a socket of its own is in the tests
/// of the kinds that have sockets.
pub(crate) async fn the_planes_share_no_connection<K: Kind>(kind: K) {
    let (dialer, listener, address) = (kind.dialer(), kind.listener(), kind.address());
    let mut secrets = Vec::new();
    for plane in [Plane::Account, Plane::Anonymous, Plane::Anonymous] {
        let (ours, theirs) = tokio::join!(dialer.dial(&address, plane), listener.accept());
        tokio::spawn(serve(theirs.unwrap(), kind.clock()));
        let connection = Connection::establish(ours.unwrap(), kind.clock())
            .await
            .unwrap();
        secrets.push(connection.link().exporter(b"a", b"b").unwrap());
        assert!(connection.call(status(), 0).await.is_ok());
    }
    secrets.dedup();
    assert_eq!(secrets.len(), 3);
}

/// TRN-93: of several keys that a client takes, it knows which one was shown.
pub(crate) async fn the_key_that_was_shown_is_known<K: Kind>(kind: K) {
    let (dialer, listener) = (kind.dialer(), kind.listener());
    let mut address = kind.address();
    let shown = Some(address.key_pins[0]);
    address.key_pins.insert(0, kind.other_pin());
    for plane in [Plane::Account, Plane::Anonymous] {
        let (ours, theirs) = tokio::join!(dialer.dial(&address, plane), listener.accept());
        assert_eq!(ours.unwrap().server_key(), shown);
        assert_eq!(theirs.unwrap().server_key(), None);
    }
}

/// Connects on a plane, and makes a call: the ticket has come before its answer. Gives the sessions
/// that the server keeps then, one more for each handshake, one less for each that was resumed.
async fn sessions_after<K: Resumable>(kind: &K, dialer: &dyn Dialer, plane: Plane) -> usize {
    let (address, before) = (kind.address(), kind.sessions());
    sessions_after_at(kind, dialer, plane, (address, before)).await
}

async fn sessions_after_at<K: Resumable>(
    kind: &K,
    dialer: &dyn Dialer,
    plane: Plane,
    (address, before): (ServerAddress, usize),
) -> usize {
    let listener = kind.listener();
    let (ours, theirs) = tokio::join!(dialer.dial(&address, plane), listener.accept());
    tokio::spawn(serve(theirs.unwrap(), kind.clock()));
    let connection = Connection::establish(ours.unwrap(), kind.clock()).await;
    let connection = connection.unwrap();
    connection.call(status(), 0).await.unwrap();
    // TRN-93: a resumed connection proves no key.
    let is_full = kind.sessions() > before;
    let proved = is_full.then_some(address.key_pins[0]);
    assert_eq!(connection.link().server_key(), proved);
    kind.sessions()
}

/// TRN-80, TRN-81, TRN-83.
async fn the_account_plane_alone_is_resumed<K: Resumable>(kind: K) {
    let dialer = kind.dialer();
    assert_eq!(sessions_after(&kind, &*dialer, Plane::Account).await, 1);
    for _ in 0..3 {
        assert_eq!(sessions_after(&kind, &*dialer, Plane::Account).await, 1);
    }
    for count in 2..=3 {
        let sessions = sessions_after(&kind, &*dialer, Plane::Anonymous).await;
        assert_eq!(sessions, count, "a full handshake");
    }
    assert_eq!(sessions_after(&kind, &*dialer, Plane::Account).await, 3);
    // Another dialer is another client.
    let other = kind.dialer();
    assert_eq!(sessions_after(&kind, &*other, Plane::Account).await, 4);
    // Nor is anything resumed while two keys are held.
    let mut address = kind.address();
    address.key_pins.push(kind.other_pin());
    for before in 4..6 {
        let with = (address.clone(), before);
        let sessions = sessions_after_at(&kind, &*other, Plane::Account, with).await;
        assert_eq!(sessions, before + 1, "a full handshake");
    }
}

#[tokio::test]
async fn the_account_plane_alone_is_resumed_over_quic() {
    the_account_plane_alone_is_resumed(Quic::begin()).await;
}

#[tokio::test]
async fn the_account_plane_alone_is_resumed_over_tcp() {
    the_account_plane_alone_is_resumed(Tcp::begin()).await;
}
