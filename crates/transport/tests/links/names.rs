// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in every handshake, as literals: another value would find no peer.

use waxwing_transport::{quic, tcp, tls};

/// [TRN-1], [TRN-40].
#[test]
fn the_names_of_protocols_and_servers_are_these() {
    assert_eq!(quic::ALPN, b"waxwing/1");
    assert_eq!(tcp::ALPN, b"waxwing-tcp/1");
    assert_eq!(tls::SERVER_NAME, "waxwing");
    assert_eq!(quic::SERVER_NAME, "waxwing");
}
