// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a server is reached and by which keys it is recognised.

use crate::{Host, WireError, limits, v1};

/// SHA-256 of a server's public key in SubjectPublicKeyInfo form (RFC 7250).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPin(pub [u8; 32]);

impl KeyPin {
    /// The pin as a field of a wire message.
    #[must_use]
    pub fn to_wire(self) -> bytes::Bytes {
        bytes::Bytes::copy_from_slice(&self.0)
    }

    /// Reads the one or two pins of a server.
    ///
    /// # Errors
    /// [`WireError`]: none, more than [`limits::KEY_PINS_MAX`], or one that has not 32 bytes.
    pub fn list_from_wire(pins: &[bytes::Bytes]) -> Result<Vec<Self>, WireError> {
        if pins.is_empty() || pins.len() > limits::KEY_PINS_MAX {
            return Err(WireError::Limit { field: "key_pins" });
        }
        pins.iter()
            .map(|pin| Self::try_from(pin.as_ref()))
            .collect()
    }
}

impl TryFrom<&[u8]> for KeyPin {
    type Error = WireError;

    fn try_from(bytes: &[u8]) -> Result<Self, WireError> {
        <[u8; 32]>::try_from(bytes)
            .map(Self)
            .map_err(|_| WireError::Length { field: "key_pins" })
    }
}

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
            key_pins: self.key_pins.iter().map(|pin| pin.to_wire()).collect(),
        }
    }
}

impl ServerAddress {
    /// Whether both are reached at one host and port, whatever keys they are known by.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

impl TryFrom<&v1::Server> for ServerAddress {
    type Error = WireError;

    fn try_from(server: &v1::Server) -> Result<Self, WireError> {
        let key_pins = KeyPin::list_from_wire(&server.key_pins)?;
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
