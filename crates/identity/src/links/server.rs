// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Server links, and the layout of a server's address, which is a part of every link: host (u16
//! length, text), port (u16), number of pins (u8), pins (32 each).

use waxwing_proto::limits::{HOST_LENGTH_MAX, KEY_PINS_MAX};
use waxwing_proto::{KeyPin, ServerAddress};

use super::text::{Body, LinkKind, link_text};
use crate::encoding::{LayoutError, Reader, Writer};

/// Where a server is and by which keys it is recognised: needed to recover an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLink {
    server: ServerAddress,
}

impl ServerLink {
    /// A link to the server.
    ///
    /// # Errors
    /// [`LayoutError`] for an address with port 0, without pins or with too many.
    pub fn new(server: ServerAddress) -> Result<Self, LayoutError> {
        check(&server)?;
        Ok(Self { server })
    }

    /// The server.
    #[must_use]
    pub const fn server(&self) -> &ServerAddress {
        &self.server
    }
}

impl Body for ServerLink {
    const KIND: LinkKind = LinkKind::Server;

    fn write(&self, writer: Writer) -> Result<Writer, LayoutError> {
        write(&self.server, writer)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            server: read(reader)?,
        })
    }
}

link_text!(ServerLink);

pub(super) fn check(server: &ServerAddress) -> Result<(), LayoutError> {
    if server.key_pins.len() > KEY_PINS_MAX {
        return Err(LayoutError::Limit);
    }
    if server.key_pins.is_empty() || server.port == 0 {
        return Err(LayoutError::Value);
    }
    Ok(())
}

pub(super) fn write(server: &ServerAddress, writer: Writer) -> Result<Writer, LayoutError> {
    // IDN-38.
    let pin_count = u8::try_from(server.key_pins.len()).map_err(|_| LayoutError::Limit)?;
    let writer = writer
        .prefixed(server.host.as_str().as_bytes())?
        .u16(server.port)
        .u8(pin_count);
    Ok(server
        .key_pins
        .iter()
        .fold(writer, |writer, pin| writer.raw(&pin.0)))
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<ServerAddress, LayoutError> {
    let host = reader
        .text(HOST_LENGTH_MAX)?
        .parse()
        .map_err(|_| LayoutError::Value)?;
    let port = reader.u16()?;
    let pin_count = usize::from(reader.u8()?);
    if pin_count > KEY_PINS_MAX {
        return Err(LayoutError::Limit);
    }
    let key_pins = (0..pin_count)
        .map(|_| reader.array().map(KeyPin))
        .collect::<Result<_, _>>()?;
    let server = ServerAddress {
        host,
        port,
        key_pins,
    };
    check(&server)?;
    Ok(server)
}
