// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contact links: everything that is needed to write to an account and to recognise its key.

use waxwing_proto::limits::NAME_LENGTH_MAX;
use waxwing_proto::{AccountKey, AccountName, Address, DeliveryId, ServerAddress};

use super::LinkError;
use super::server;
use super::text::{Body, LinkKind, link_text};
use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::VerifyingKey as _;

/// How to reach an account. The delivery id is the public one, for strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactLink {
    server: ServerAddress,
    name: AccountName,
    account: AccountKey,
    delivery_id: DeliveryId,
}

impl ContactLink {
    /// A link to the account.
    ///
    /// # Errors
    /// [`LinkError::Layout`] for an address with port 0, without pins or with too many, and for an
    /// account key that is not acceptable.
    pub fn new(
        server: ServerAddress,
        name: AccountName,
        account: AccountKey,
        delivery_id: DeliveryId,
    ) -> Result<Self, LinkError> {
        server::check(&server)?;
        account.check().map_err(|_| LayoutError::Value)?;
        Ok(Self {
            server,
            name,
            account,
            delivery_id,
        })
    }

    /// The account's server.
    #[must_use]
    pub const fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// The account's name on its server.
    #[must_use]
    pub const fn name(&self) -> &AccountName {
        &self.name
    }

    /// `name@host`.
    #[must_use]
    pub fn address(&self) -> Address {
        Address {
            name: self.name.clone(),
            host: self.server.host.clone(),
        }
    }

    /// The account's key: an acceptable Ed25519 key.
    #[must_use]
    pub const fn account(&self) -> &AccountKey {
        &self.account
    }

    /// The account's public delivery id.
    #[must_use]
    pub const fn delivery_id(&self) -> &DeliveryId {
        &self.delivery_id
    }
}

impl Body for ContactLink {
    const KIND: LinkKind = LinkKind::Contact;

    fn write(&self, writer: Writer) -> Result<Writer, LayoutError> {
        // IDN-39.
        Ok(server::write(&self.server, writer)?
            .prefixed(self.name.as_str().as_bytes())?
            .raw(self.account.as_bytes())
            .raw(self.delivery_id.as_bytes()))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let server = server::read(reader)?;
        let name = reader
            .text(NAME_LENGTH_MAX)?
            .parse()
            .map_err(|_| LayoutError::Value)?;
        let account = AccountKey::new(reader.array()?);
        account.check().map_err(|_| LayoutError::Value)?;
        Ok(Self {
            server,
            name,
            account,
            delivery_id: DeliveryId::new(reader.array()?),
        })
    }
}

link_text!(ContactLink);
