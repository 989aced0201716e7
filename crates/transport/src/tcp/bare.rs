// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings below links, for the programs that links are measured against: plain TLS with the
//! same provider, key exchange and raw key. Not for applications.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use waxwing_proto::KeyPin;

use super::tls;
use crate::error::LinkError;
use crate::tls::identity::ServerIdentity;
use crate::tls::provider;

/// A server's settings as [`super::TcpListener`] has them.
///
/// # Errors
/// [`LinkError`].
pub fn server(identity: &ServerIdentity) -> Result<Arc<ServerConfig>, LinkError> {
    tls::server(identity, None)
}

/// A client's settings as [`super::TcpDialer`] has them, for the server that shows the key of `pin`.
///
/// # Errors
/// [`LinkError`].
pub fn client(pin: KeyPin) -> Result<Arc<ClientConfig>, LinkError> {
    tls::client(Arc::new(provider()), vec![pin]).map(Arc::new)
}

/// The server name of every handshake.
///
/// # Errors
/// [`LinkError`].
pub fn name() -> Result<ServerName<'static>, LinkError> {
    tls::name()
}
