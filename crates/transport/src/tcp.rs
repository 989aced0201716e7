// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Links over TLS 1.3 (RFC 8446) over TCP, by rustls and a small multiplexer of our own.
//!
//! They are as good as links over QUIC, and cheaper: half the processor time for a message, and a
//! fraction of the memory for an idle connection. What they lack is what one ordered sequence of
//! bytes cannot give: a lost packet holds back every stream, and a change of the network ends them.
//!
//! Keys, key exchange and names are those of QUIC, see [`crate::tls`], and so are the tickets.
//! The frames are described in `docs/spec/06-transport.md`.

#[doc(hidden)]
pub mod bare;
#[doc(hidden)]
pub mod bare_mux;
mod budget;
mod dialer;
mod driver;
mod frame;
mod link;
mod listener;
mod mux;
mod places;
mod proxy;
mod shared;
mod socket;
mod socks5;
mod tls;

pub use dialer::{TcpDialer, TcpDialerSettings};
pub use listener::{TcpListener, TcpListenerSettings};
pub use proxy::{Proxy, ProxySyntax};

// TRN-40.
/// The application protocol, the same in every handshake (RFC 7301). Readable by any observer. It
/// is not that of QUIC, so that a handshake on one can never be taken for one on the other.
pub const ALPN: &[u8] = b"waxwing-tcp/1";
