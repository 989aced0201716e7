// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What TLS 1.3 (RFC 8446) is on every kind of link: the cryptography, the server's key, and how a
//! client recognises it.

pub(crate) mod config;
pub(crate) mod identity;
pub(crate) mod pins;
pub(crate) mod session_cache;
pub mod tickets;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use identity::ServerIdentity;
pub use tickets::{MemoryTickets, TicketPlace, TicketStore, Tickets};

/// The server name in every handshake. T9: it is readable by any observer, so it is a constant and
/// names neither user nor server.
pub const SERVER_NAME: &str = "waxwing";

/// The cryptography of every handshake.
///
/// T1, T2: it is given explicitly, so that no feature of a dependency chooses another one.
/// T3: the default list of the library has classical groups before and beside the hybrid one; here
/// the hybrid group stands alone, and a downgrade has nothing to fall to.
pub(crate) fn provider() -> CryptoProvider {
    // TRN-2.
    CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    }
}

/// The key exchanges that both sides offer, by their names in the registry of TLS groups: read from the
/// settings that every handshake uses.
#[must_use]
pub fn key_exchanges() -> Vec<String> {
    let groups = provider().kx_groups;
    groups
        .iter()
        .map(|group| format!("{:?}", group.name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn the_hybrid_group_stands_alone() {
        let groups: Vec<NamedGroup> = provider().kx_groups.iter().map(|it| it.name()).collect();
        assert_eq!(groups, [NamedGroup::X25519MLKEM768]);
        #[cfg(feature = "tcp")]
        for (group, is_known) in [
            (NamedGroup::X25519MLKEM768, true),
            (NamedGroup::X25519, false),
            (NamedGroup::secp256r1MLKEM768, false),
        ] {
            assert_eq!(crate::link::KeyExchange::of(group).is_some(), is_known);
        }
        assert_eq!(
            key_exchanges(),
            [crate::link::KeyExchange::X25519MlKem768.as_str()]
        );
    }
}
