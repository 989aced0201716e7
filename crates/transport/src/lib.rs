// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Links, framing and calls: QUIC and TLS over TCP with post-quantum key exchange only, and a
//! simulated network.
//!
//! # A tour
//!
//! From the bottom up:
//!
//! - [`seams`]: [`Clock`] and [`Entropy`]. Time and randomness come through them and from nowhere
//!   else; [`platform`] has those of the operating system.
//! - [`link`](mod@link): a [`Link`] is one encrypted connection on which the client opens streams.
//!   A [`Dialer`] makes links on one of two [`Plane`]s, a [`Listener`] takes them. There are three
//!   implementations: [`quic`], [`tcp`], and [`sim`], a network that follows from a seed.
//! - [`stream`] and [`framing`]: each stream carries frames, a length and a protobuf message,
//!   whose length is compared with a limit before anything is allocated. Dropping a future loses
//!   no frame; dropping a stream gives it up and returns its credit.
//! - [`rpc`]: a [`Connection`] exchanges greetings and then makes calls, one stream each, with
//!   deadlines that both sides keep to; [`serve_hello`] is the other side.
//! - [`race`]: which transport a client takes, and [`listeners`]: a server that offers several.
//! - [`reconnect`]: how long to wait before trying again, as a pure state machine. [`recovery`]: a
//!   connection that is kept up, and that is back soon after the network is.
//!
//! # What it promises
//!
//! - The server is the one whose key the address pins, or there is no link. The key exchange is
//!   X25519MLKEM768, or there is no link.
//! - An answer of the application is the only sign of success: a frame that was sent may be lost
//!   with the link. After [`CallError::Timeout`] or [`CallError::LinkLost`] it is unknown whether
//!   the server did what was asked; every call may be repeated under the same ids.
//! - What a peer may make this side hold is bounded by [`waxwing_proto::limits`].
//! - An observer of a handshake sees the addresses, one server name and one protocol name that are
//!   the same for everybody, and the sizes and times of packets.
//!
//! # Example
//!
//! ```
//! # #[cfg(all(feature = "quic", feature = "platform"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use waxwing_proto::{ServerAddress, v1};
//! use waxwing_transport::platform::{SystemClock, SystemEntropy};
//! use waxwing_transport::quic::{
//!     DialerSettings, ListenerSettings, QuicDialer, QuicListener, ServerIdentity, StableKeys,
//! };
//! use waxwing_transport::{
//!     Clock, Connection, Dialer, Entropy, Listener, Plane, serve_hello,
//! };
//!
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let random = || {
//!     let mut bytes = [0; 32];
//!     SystemEntropy.fill(&mut bytes);
//!     bytes
//! };
//!
//! // The server: a key that clients pin, and one answer to everything.
//! let identity = ServerIdentity::from_seed(&random())?;
//! let keys = StableKeys { reset: random(), token: random() };
//! let any_port = "127.0.0.1:0".parse()?;
//! let listener = QuicListener::bind(any_port, &identity, &keys, None, ListenerSettings::default())?;
//! let address = ServerAddress {
//!     host: "127.0.0.1".parse()?,
//!     port: listener.local_address().ok_or("not bound")?.port(),
//!     key_pins: vec![identity.key_pin()],
//! };
//! let server_clock = Arc::clone(&clock);
//! tokio::spawn(async move {
//!     while let Some(link) = listener.accept().await {
//!         let Ok(connection) = serve_hello(link, Arc::clone(&server_clock)).await else {
//!             continue;
//!         };
//!         while let Ok(pending) = connection.accept().await {
//!             let Ok(call) = pending.read().await else {
//!                 continue;
//!             };
//!             let answer = v1::response::Result::PrekeyStatus(v1::PrekeyStatusResponse::default());
//!             let _ = call.responder.answer(answer).await;
//!         }
//!     }
//! });
//!
//! // The client: a link, the greeting, a call with a deadline of one second.
//! let dialer = QuicDialer::new(DialerSettings::default());
//! let link = dialer.dial(&address, Plane::Account).await?;
//! assert_eq!(link.negotiated_group().as_str(), "X25519MLKEM768");
//! let connection = Connection::establish(link, clock).await?;
//! let request = v1::Request {
//!     deadline_ms: 0,
//!     call: Some(v1::request::Call::PrekeyStatus(v1::PrekeyStatusRequest {})),
//! };
//! let response = connection.call(request, 1000).await?;
//! assert!(matches!(response.result, Some(v1::response::Result::PrekeyStatus(_))));
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "quic", feature = "platform")))]
//! # fn main() {}
//! ```

pub mod close;
pub mod elsewhere;
pub mod error;
pub mod framing;
pub mod link;
pub mod listeners;
#[cfg(feature = "platform")]
pub mod platform;
#[cfg(feature = "quic")]
pub mod quic;
pub mod race;
pub mod reconnect;
pub mod recovery;
pub mod rpc;
pub mod seams;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stream;
#[cfg(feature = "tcp")]
pub mod tcp;
#[cfg(feature = "tls")]
pub mod tls;

pub use close::{CloseCode, CloseReason, StreamCode};
pub use elsewhere::Elsewhere;
pub use error::{CallError, LinkError, StreamError, Upgrade};
pub use link::{AddressPrefix, Dialer, Dialled, KeyExchange, Link, Listener, Plane, Transport};
pub use listeners::Listeners;
pub use reconnect::Backoff;
pub use recovery::{Keeper, Kept, Signals};
pub use rpc::{
    AcknowledgeSink, AcknowledgeStream, Connection, DeliverySink, DeliveryStream, FirstCall,
    Greeting, IncomingCall, PendingCall, Responder, ServerConnection, serve_hello,
};
pub use seams::{BoxFuture, Clock, Entropy, EntropyRng, within};
pub use stream::{RecvStream, SendStream};
