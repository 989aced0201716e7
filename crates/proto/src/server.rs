// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a server is reached and by which keys it is recognised.

use crate::{Host, WireError, limits, v1};

/// SHA-256 of a server's public key in SubjectPublicKeyInfo form (RFC 7250).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPin(pub [u8; 32]);

/// A server: host, port and the keys that it may show.
///
/// Two pins allow a rotation: the key in use and the next one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// The host name or IP address.
    pub host: Host,
    /// The UDP port.
    pub port: u16,
    /// One or two pins, in order of preference.
    pub key_pins: Vec<KeyPin>,
}

impl ServerAddress {
    /// The address as a wire message.
    #[must_use]
    pub fn to_wire(&self) -> v1::Server {
        v1::Server {
            host: self.host.as_str().to_owned(),
            port: u32::from(self.port),
            key_pins: self
                .key_pins
                .iter()
                .map(|pin| bytes::Bytes::copy_from_slice(&pin.0))
                .collect(),
        }
    }
}

impl TryFrom<&v1::Server> for ServerAddress {
    type Error = WireError;

    fn try_from(server: &v1::Server) -> Result<Self, WireError> {
        if server.key_pins.is_empty() || server.key_pins.len() > limits::KEY_PINS_MAX {
            return Err(WireError::Limit { field: "key_pins" });
        }
        let key_pins = server
            .key_pins
            .iter()
            .map(|pin| {
                <[u8; 32]>::try_from(pin.as_ref())
                    .map(KeyPin)
                    .map_err(|_| WireError::Length { field: "key_pins" })
            })
            .collect::<Result<_, _>>()?;
        let port = u16::try_from(server.port).map_err(|_| WireError::Limit { field: "port" })?;
        if port == 0 {
            return Err(WireError::Limit { field: "port" });
        }
        Ok(Self {
            host: server.host.parse()?,
            port,
            key_pins,
        })
    }
}
