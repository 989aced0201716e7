// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The QUIC settings of both sides: every buffer bounded, nothing on that is not used.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{hkdf, hmac};
use quinn::{EndpointConfig, IdleTimeout, NoneTokenStore, ServerConfig, TransportConfig, VarInt};
use waxwing_proto::limits;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::connection_ids::ShardedConnectionIds;
use super::identity::ServerIdentity;
use super::tls;
use super::windows::Windows;
use crate::error::LinkError;
use crate::tls::tickets::Tickets;

/// What a client receives without having read it, on one stream and on one connection, in bytes. It has
/// one connection where the server has thousands.
const CLIENT_STREAM_WINDOW: u32 = 1024 * 1024;
const CLIENT_CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// What a client has sent and not acknowledged on one connection, in bytes.
const CLIENT_SEND_WINDOW: u64 = 512 * 1024;
/// The first guess of a round trip: a client's first flight has two packets, and a lost one is
/// sent again after three times this.
const INITIAL_RTT: Duration = Duration::from_millis(125);
/// What a server buffers for one connection, and for all, before the handshake is looked at.
const INCOMING_BUFFER_SIZE: u64 = 64 * 1024;
const INCOMING_BUFFER_SIZE_TOTAL: u64 = 16 * 1024 * 1024;

/// Keys that a server keeps across restarts, so that clients of its former life learn at once that
/// it has forgotten them (RFC 9000, section 10.3). Wiped when dropped.
///
/// T7: never the same for two servers or two roles.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StableKeys {
    /// Signs stateless resets.
    pub reset: [u8; 32],
    /// Signs address validation tokens.
    pub token: [u8; 32],
}

impl core::fmt::Debug for StableKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StableKeys(..)")
    }
}

fn common() -> Result<TransportConfig, LinkError> {
    let idle = Duration::from_millis(u64::from(limits::IDLE_TIMEOUT_MS));
    let idle = IdleTimeout::try_from(idle)
        .map_err(|_| LinkError::Settings("the idle timeout is out of range"))?;
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .initial_rtt(INITIAL_RTT)
        // Datagrams are on by default; nothing here uses them.
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        // The spin bit shows the round trip time to observers.
        .allow_spin(false);
    Ok(config)
}

/// A client's settings for a connection. `keep_alive` is how often an idle connection is kept from
/// being forgotten on the way.
pub(super) fn client_transport(keep_alive: Option<Duration>) -> Result<TransportConfig, LinkError> {
    let mut config = common()?;
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(CLIENT_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CLIENT_CONNECTION_WINDOW))
        .send_window(CLIENT_SEND_WINDOW)
        .keep_alive_interval(keep_alive);
    Ok(config)
}

/// A client's settings for one attempt to connect.
pub(super) fn client(
    tls: Arc<dyn quinn::crypto::ClientConfig>,
    transport: Arc<TransportConfig>,
) -> quinn::ClientConfig {
    let mut config = quinn::ClientConfig::new(tls);
    config
        .transport_config(transport)
        // A validation token would tie two connections to one client.
        .token_store(Arc::new(NoneTokenStore));
    config
}

/// A server's settings for a connection.
pub(super) fn server_transport(windows: Windows) -> Result<TransportConfig, LinkError> {
    let mut transport = common()?;
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS_PER_CONNECTION_MAX))
        .stream_receive_window(VarInt::from_u32(Windows::STREAM))
        .receive_window(VarInt::from_u32(windows.receive))
        .send_window(windows.send.into())
        // A server never wakes a sleeping phone.
        .keep_alive_interval(None);
    Ok(transport)
}

/// A server's settings, for connections that begin with these windows.
pub(super) fn server(
    identity: &ServerIdentity,
    keys: &StableKeys,
    tickets: Option<&Arc<Tickets>>,
    windows: Windows,
) -> Result<ServerConfig, LinkError> {
    let transport = server_transport(windows)?;
    let tls = tls::server(identity, tickets)?;
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"waxwing quic token").extract(&keys.token);
    let mut tokens = quinn::ValidationTokenConfig::default();
    tokens.sent(0).log(Arc::new(quinn::NoneTokenLog));
    let mut config = ServerConfig::new(Arc::new(tls), Arc::new(token_key));
    config
        .transport_config(Arc::new(transport))
        .validation_token_config(tokens)
        .max_incoming(limits::CONNECTING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_SIZE)
        .incoming_buffer_size_total(INCOMING_BUFFER_SIZE_TOTAL);
    Ok(config)
}

/// The settings of a server's socket.
pub(super) fn server_endpoint(keys: &StableKeys) -> EndpointConfig {
    // TRN-65.
    let key = hmac::Key::new(hmac::HMAC_SHA256, &keys.reset);
    let mask = hmac::sign(&key, b"waxwing connection id shard");
    let mask = hmac::Key::new(hmac::HMAC_SHA256, mask.as_ref());
    let ids = ShardedConnectionIds::new(mask, 0);
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(move || Box::new(ids.clone()));
    config
}

/// The settings of a client's socket: T7, fresh keys for each.
pub(super) fn client_endpoint() -> EndpointConfig {
    EndpointConfig::default()
}
