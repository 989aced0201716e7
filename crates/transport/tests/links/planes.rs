// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two planes of one client.

use waxwing_transport::{Connection, Plane};

use crate::kinds::{Kind, serve, status};

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
