// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Links over QUIC (RFC 9000) with TLS 1.3 (RFC 8446), by quinn and rustls.
//!
//! The only key exchange is X25519MLKEM768: a peer without it cannot connect, so nobody can force
//! one that a quantum computer breaks. The server is known by the hash of its Ed25519 raw public
//! key (RFC 7250), never by a certificate. Connections of the account plane are resumed by single-use
//! tickets, see [`crate::tls::tickets`], and may begin with early data, see [`crate::Dialer::dial_early`]
//! and [`crate::RecvStream::is_early`]; no validation token or QUIC datagram exists.

use crate::tls::identity;

mod admission;
#[doc(hidden)]
pub mod bare;
mod connection_ids;
mod constant;
mod dialer;
mod link;
mod listener;
pub(crate) mod packets;
mod proving;
mod settings;
pub(crate) mod socket;
mod tls;
mod unshown;
mod windows;

pub use crate::tls::{SERVER_NAME, ServerIdentity, key_exchanges};
pub use dialer::{DialerSettings, QuicDialer};
pub use listener::{ListenerSettings, QuicListener};
pub use settings::StableKeys;
pub use socket::{SocketBuffers, WANTED_BYTES as SOCKET_BUFFER_BYTES, granted_buffers};

// TRN-1.
/// The application protocol, the same in every handshake (RFC 7301). Readable by any observer.
pub const ALPN: &[u8] = b"waxwing/1";
