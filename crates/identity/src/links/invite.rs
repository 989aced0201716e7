// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Invite links: the right to register on a server, together with the keys to recognise it by.

use waxwing_proto::{InviteToken, ServerAddress};

use super::server;
use super::text::{Body, LinkKind, link_text};
use crate::encoding::{LayoutError, Reader, Writer};

/// An invite. Whoever sees the link can use it, so `Debug` does not show the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteLink {
    server: ServerAddress,
    token: InviteToken,
}

impl InviteLink {
    /// A link to the server with the right to register there.
    ///
    /// # Errors
    /// [`LayoutError`] for an address with port 0, without pins or with too many.
    pub fn new(server: ServerAddress, token: InviteToken) -> Result<Self, LayoutError> {
        server::check(&server)?;
        Ok(Self { server, token })
    }

    /// The server.
    #[must_use]
    pub const fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// The token.
    #[must_use]
    pub const fn token(&self) -> &InviteToken {
        &self.token
    }
}

impl Body for InviteLink {
    const KIND: LinkKind = LinkKind::Invite;

    fn write(&self, writer: Writer) -> Result<Writer, LayoutError> {
        Ok(server::write(&self.server, writer)?.raw(self.token.as_bytes()))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            server: server::read(reader)?,
            token: InviteToken::new(reader.array()?),
        })
    }
}

link_text!(InviteLink);
