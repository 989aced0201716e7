// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who signs for an account: the account key itself, or one of the account's devices. The device's
//! key stands beside its id, so that every signature can be verified by itself, also after the
//! device was revoked; whether that key had the right to sign is a question to the chain.

use waxwing_proto::{AccountKey, DeviceId};

use crate::encoding::{LayoutError, Reader, Writer};
use crate::keys::{DeviceSigningKey, Signature, SignatureError, VerifyingKey as _};

/// The author of an admission or of a manifest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatory {
    /// The account identity key, made from the recovery words.
    Account,
    /// A device.
    Device {
        /// The device.
        id: DeviceId,
        /// The key that it signs with.
        signing_key: DeviceSigningKey,
    },
}

impl Signatory {
    const ACCOUNT: u8 = 0;
    const DEVICE: u8 = 1;

    /// Whether the account key signs.
    #[must_use]
    pub const fn is_account(&self) -> bool {
        matches!(self, Self::Account)
    }

    /// The signing device; nothing for the account key.
    #[must_use]
    pub const fn device_id(&self) -> Option<DeviceId> {
        match self {
            Self::Account => None,
            Self::Device { id, .. } => Some(*id),
        }
    }

    pub(super) fn verify(
        &self,
        account: &AccountKey,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        match self {
            Self::Account => account.verify(message, signature),
            Self::Device { signing_key, .. } => signing_key.verify(message, signature),
        }
    }

    pub(super) fn write(&self, writer: Writer) -> Writer {
        match self {
            Self::Account => writer.u8(Self::ACCOUNT),
            Self::Device { id, signing_key } => writer
                .u8(Self::DEVICE)
                .raw(id.as_bytes())
                .raw(signing_key.as_bytes()),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, LayoutError> {
        match reader.u8()? {
            Self::ACCOUNT => Ok(Self::Account),
            Self::DEVICE => Ok(Self::Device {
                id: DeviceId::new(reader.array()?),
                signing_key: DeviceSigningKey::read(reader)?,
            }),
            _ => Err(LayoutError::Value),
        }
    }
}
