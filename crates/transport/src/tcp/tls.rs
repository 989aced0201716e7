// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS on TCP: the settings of both sides, and the handshake.

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use waxwing_proto::KeyPin;

use super::ALPN;
use super::socket::Now;
use crate::error::LinkError;
use crate::tls::SERVER_NAME;
use crate::tls::config::{self, UNUSABLE};
use crate::tls::identity::ServerIdentity;
use crate::tls::pins::is_other_key;
use crate::tls::tickets::Tickets;

/// A client's side of one attempt.
pub(super) fn attempt(config: ClientConfig) -> Result<Box<Connection>, LinkError> {
    let connection = ClientConnection::new(Arc::new(config), name()?).map_err(|_| UNUSABLE)?;
    Ok(Box::new(unlimited(connection.into())))
}

/// The server name of every handshake.
pub(super) fn name() -> Result<ServerName<'static>, LinkError> {
    ServerName::try_from(SERVER_NAME).map_err(|_| UNUSABLE)
}

/// A client's settings that keep no ticket.
pub(super) fn client(
    provider: Arc<CryptoProvider>,
    pins: Vec<KeyPin>,
) -> Result<ClientConfig, LinkError> {
    // TRN-40.
    config::client(provider, pins, ALPN)
}

/// The server's settings.
pub(super) fn server(
    identity: &ServerIdentity,
    tickets: Option<&Arc<Tickets>>,
) -> Result<Arc<ServerConfig>, LinkError> {
    config::server(identity, ALPN, tickets).map(Arc::new)
}

/// A server's side of one connection.
pub(super) fn accept(config: &Arc<ServerConfig>) -> Result<Box<Connection>, LinkError> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(|_| UNUSABLE)?;
    Ok(Box::new(unlimited(connection.into())))
}

/// The driver encrypts one record at a time; no other limit applies.
fn unlimited(mut connection: Connection) -> Connection {
    connection.set_buffer_limit(None);
    connection
}

/// Why a handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// The peer ended it before it said anything.
    Unheard,
    /// Later, or with an error of TLS.
    Broken,
    /// The server showed a key that none of the pins names.
    OtherKey,
}

/// Completes the handshake. The caller bounds it in time.
pub(super) async fn handshake(stream: &TcpStream, tls: &mut Connection) -> Result<(), Failed> {
    let mut failed = Failed::Unheard;
    loop {
        while tls.wants_write() {
            stream.writable().await.map_err(|_| failed)?;
            match tls.write_tls(&mut Now(stream)) {
                Ok(count) if count > 0 => {}
                Err(error) if is_soon(error.kind()) => {}
                _ => return Err(failed),
            }
        }
        if !tls.is_handshaking() {
            return Ok(());
        }
        stream.readable().await.map_err(|_| failed)?;
        match tls.read_tls(&mut Now(stream)) {
            Ok(count) if count > 0 => failed = Failed::Broken,
            Err(error) if is_soon(error.kind()) => continue,
            _ => return Err(failed),
        }
        if let Err(error) = tls.process_new_packets() {
            // The alert, as far as the socket takes it.
            let _ = tls.write_tls(&mut Now(stream));
            return Err(if is_other_key(&error) {
                Failed::OtherKey
            } else {
                Failed::Broken
            });
        }
    }
}

fn is_soon(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
