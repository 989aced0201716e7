// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Link codes: how a new device meets the account's first one without trusting the server in between.

use core::fmt;

use subtle::ConstantTimeEq as _;
use waxwing_proto::{RendezvousLocator, ServerAddress};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::server;
use super::text::{Body, LinkKind, link_text};
use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::Digest;
use crate::labels;
use crate::manifest::DeviceKeys;

/// What only the two devices that meet know. The server sees the locator, which is a hash of it;
/// what the slots hold is sealed with a key derived from it. Wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RendezvousSecret([u8; 16]);

impl RendezvousSecret {
    /// The length in bytes.
    pub const LENGTH: usize = 16;

    /// Wraps random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, for deriving the key of the slots.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The place on the server: the first 16 bytes of SHA-256(label || secret).
    #[must_use]
    pub fn locator(&self) -> RendezvousLocator {
        // IDN-41.
        let digest = Digest::of(&[labels::RENDEZVOUS, &self.0]);
        let mut bytes = [0; RendezvousLocator::LENGTH];
        for (byte, hashed) in bytes.iter_mut().zip(digest.as_bytes()) {
            *byte = *hashed;
        }
        RendezvousLocator::new(bytes)
    }
}

impl fmt::Debug for RendezvousSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RendezvousSecret(..)")
    }
}

/// What a new device shows: where to meet, and the hash of its public keys.
#[derive(Debug, Clone)]
pub struct LinkCode {
    server: ServerAddress,
    secret: RendezvousSecret,
    keys_digest: Digest,
}

impl LinkCode {
    /// A code for a device with these keys.
    ///
    /// # Errors
    /// [`LayoutError`] for an address with port 0, without pins or with too many.
    pub fn new(
        server: ServerAddress,
        secret: RendezvousSecret,
        keys: &DeviceKeys,
    ) -> Result<Self, LayoutError> {
        server::check(&server)?;
        Ok(Self {
            server,
            secret,
            keys_digest: keys.digest(),
        })
    }

    /// The account's server.
    #[must_use]
    pub const fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// The secret.
    #[must_use]
    pub const fn secret(&self) -> &RendezvousSecret {
        &self.secret
    }

    /// The place on the server.
    #[must_use]
    pub fn locator(&self) -> RendezvousLocator {
        self.secret.locator()
    }

    /// Whether these are the keys that the code was made for. Keys that came by the server count
    /// for nothing before this has been asked.
    #[must_use]
    pub fn fits(&self, keys: &DeviceKeys) -> bool {
        // IDN-44.
        let (expected, offered) = (self.keys_digest, keys.digest());
        expected.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl PartialEq for LinkCode {
    /// In constant time over the secret.
    fn eq(&self, other: &Self) -> bool {
        let secrets: bool = self.secret.0.ct_eq(&other.secret.0).into();
        secrets && self.keys_digest == other.keys_digest && self.server == other.server
    }
}

impl Eq for LinkCode {}

impl Body for LinkCode {
    const KIND: LinkKind = LinkKind::Device;

    fn write(&self, writer: Writer) -> Result<Writer, LayoutError> {
        Ok(server::write(&self.server, writer)?
            .raw(self.secret.as_bytes())
            .raw(self.keys_digest.as_bytes()))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self {
            server: server::read(reader)?,
            secret: RendezvousSecret::new(reader.array()?),
            keys_digest: Digest::read(reader)?,
        })
    }
}

link_text!(LinkCode);
