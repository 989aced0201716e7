// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The handshake: PQXDH with the KEM on one-time or signed pairs, and the pattern of Noise IK for
//! hiding the initiator's identity.
//!
//! [`initiate`] makes a session out of a bundle; nothing is sent by it, the handshake travels as the
//! [`Prefix`] of every envelope until the peer has answered. [`accept`] opens the first such
//! envelope that arrives, whichever number it has. `schedule` is the key schedule of both sides,
//! `hidden_identity` what the initiator says about itself.

mod accept;
mod hidden_identity;
mod initiate;
mod prefix;
mod schedule;

use waxwing_crypto::DeviceSecrets;
use waxwing_identity::DeviceManifest;
use waxwing_proto::{AccountKey, DeviceId};

pub use accept::{Accepted, Claim, Initiator, ResponderKeys, accept};
#[cfg(test)]
pub(crate) use initiate::offer;
pub use initiate::{initiate, initiate_next};
pub use prefix::Prefix;

use crate::RatchetError;

/// The device that runs this code, and what it says about itself.
pub struct LocalDevice<'a> {
    /// The account.
    pub account: AccountKey,
    /// The device.
    pub device: DeviceId,
    /// The device's long-term secrets.
    pub secrets: &'a DeviceSecrets,
    /// The newest manifest of the own account. It lists the device.
    pub manifest: &'a DeviceManifest,
}

impl LocalDevice<'_> {
    /// Whether the manifest lists this device with these keys: a peer would refuse anything else.
    fn check(&self) -> Result<(), RatchetError> {
        let listed = self.manifest.device(&self.device);
        let own = self.secrets.public_keys(self.device);
        if self.manifest.account() == &self.account
            && listed.is_some_and(|entry| entry.keys() == &own)
        {
            Ok(())
        } else {
            Err(RatchetError::DeviceNotListed)
        }
    }
}
