// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS on TCP: the settings of both sides, and the handshake.

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use waxwing_proto::KeyPin;

use super::ALPN;
use super::socket::Now;
use crate::error::LinkError;
use crate::tls::identity::ServerIdentity;
use crate::tls::pins::PinnedKeys;
use crate::tls::{SERVER_NAME, provider};

const UNUSABLE: LinkError = LinkError::Settings("the TLS library lacks a needed algorithm");

/// A client's side of one attempt, and the verifier, which remembers what it saw.
pub(super) fn client(
    provider: Arc<CryptoProvider>,
    pins: Vec<KeyPin>,
) -> Result<(Box<Connection>, Arc<PinnedKeys>), LinkError> {
    let (config, verifier) = client_config(provider, pins)?;
    let connection = ClientConnection::new(Arc::new(config), name()?).map_err(|_| UNUSABLE)?;
    Ok((Box::new(unlimited(connection.into())), verifier))
}

/// The server name of every handshake.
pub(super) fn name() -> Result<ServerName<'static>, LinkError> {
    ServerName::try_from(SERVER_NAME).map_err(|_| UNUSABLE)
}

/// A client's settings for one attempt, and the verifier.
pub(super) fn client_config(
    provider: Arc<CryptoProvider>,
    pins: Vec<KeyPin>,
) -> Result<(ClientConfig, Arc<PinnedKeys>), LinkError> {
    // TRN-40: the same as on QUIC, without anything that would tie two connections together.
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(PinnedKeys::new(pins, algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| UNUSABLE)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<_>)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok((config, verifier))
}

/// The server's settings.
pub(super) fn server(identity: &ServerIdentity) -> Result<Arc<ServerConfig>, LinkError> {
    let resolver = AlwaysResolvesServerRawPublicKeys::new(identity.certified_key());
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|_| UNUSABLE)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
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
        if tls.process_new_packets().is_err() {
            // The alert, as far as the socket takes it.
            let _ = tls.write_tls(&mut Now(stream));
            return Err(Failed::Broken);
        }
    }
}

fn is_soon(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
