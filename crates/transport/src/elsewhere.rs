// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a server that ends sends its clients: [`Elsewhere`].

use waxwing_proto::{Host, WireError, limits};

/// Another address of the same server. It shows the same key: the pins stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The host name or IP address.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Elsewhere {
    /// The bytes on the wire: the port (u16, big-endian) and the host's text.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        // TRN-71.
        let mut bytes = self.port.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.host.as_str().as_bytes());
        bytes
    }

    /// Reads the bytes, which are the peer's choice.
    ///
    /// # Errors
    /// [`WireError`] for a port 0, and for what is not a host.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, WireError> {
        let wrong = |field| WireError::Length { field };
        let (port, host) = bytes.split_first_chunk::<2>().ok_or(wrong("elsewhere"))?;
        let port = u16::from_be_bytes(*port);
        if port == 0 || host.len() > limits::HOST_LENGTH_MAX {
            return Err(wrong("elsewhere"));
        }
        let host = core::str::from_utf8(host).map_err(|_| wrong("elsewhere"))?;
        Ok(Self {
            host: host.parse()?,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_round_trips_and_nonsense_is_refused() {
        let elsewhere = Elsewhere {
            host: "second.example".parse().unwrap(),
            port: 4747,
        };
        assert_eq!(Elsewhere::from_wire(&elsewhere.to_wire()), Ok(elsewhere));
        for bytes in [
            &b""[..],
            b"\x12",
            b"\x00\x00a.example",
            b"\x12\x34",
            b"\x12\x34\xff\xff",
            &[0x41; 300],
        ] {
            assert!(Elsewhere::from_wire(bytes).is_err(), "{bytes:?}");
        }
    }
}
