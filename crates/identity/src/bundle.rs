// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A prekey bundle as a server hands it out, checked against the manifest that came with it.

use waxwing_proto::limits::RETENTION_DAYS;
use waxwing_proto::{DeviceId, v1};

use crate::manifest::{Day, DeviceEntry, DeviceManifest, HeadRelation, ManifestHead};
use crate::prekey::{PrekeyError, PrekeyPair};

/// Everything that opens a session with one device: entry and pairs, all signatures verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrekeyBundle {
    entry: DeviceEntry,
    signed: PrekeyPair,
    one_time: Option<PrekeyPair>,
    head: ManifestHead,
    head_is_older: bool,
}

/// A bundle that does not fit its manifest. The evidence variants mean that the device's own
/// signature contradicts what the server showed; the engine decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The device id has a wrong length.
    #[error("the bundle's device id is malformed")]
    DeviceId,
    /// The manifest does not list the device.
    #[error("the bundle's device is not listed in the manifest")]
    NotListed,
    /// One of the pairs is unusable.
    #[error(transparent)]
    Prekey(#[from] PrekeyError),
    /// A one-time pair in the place of the signed one, or the other way round.
    #[error("the bundle holds a prekey pair of the wrong kind")]
    Kind,
    /// The device knows a later manifest version than the server showed: a rollback.
    #[error("the device names a later manifest version than the server showed")]
    RollbackEvidence {
        /// The version that the server showed.
        served: u32,
        /// The version that the device's signed pair names.
        named: u32,
    },
    /// The device knows the same version with another hash: an equivocation.
    #[error("the device names another manifest of the version that the server showed")]
    EquivocationEvidence {
        /// The version that exists twice.
        version: u32,
    },
}

impl BundleError {
    /// A stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::DeviceId => "bundle_device_id",
            Self::NotListed => "bundle_not_listed",
            Self::Prekey(error) => error.code(),
            Self::Kind => "bundle_kind",
            Self::RollbackEvidence { .. } => "manifest_rollback",
            Self::EquivocationEvidence { .. } => "manifest_equivocation",
        }
    }
}

impl PrekeyBundle {
    /// Reads a bundle against the manifest that the server served with it.
    ///
    /// Verifies at most two signatures. The KEM keys' own check (FIPS 203, section 7.2) is left to their use.
    ///
    /// # Errors
    /// [`BundleError`]. Evidence is only reported from a pair whose signature holds.
    pub fn check(wire: &v1::PrekeyBundle, manifest: &DeviceManifest) -> Result<Self, BundleError> {
        // PRE-5, PRE-13.
        let id = DeviceId::try_from(wire.device_id.as_ref()).map_err(|_| BundleError::DeviceId)?;
        let entry = *manifest.device(&id).ok_or(BundleError::NotListed)?;
        let verified = |bytes: &[u8]| {
            let pair = PrekeyPair::decode(bytes)?;
            pair.verify(&entry.signing_key(), manifest.account(), &id)?;
            Ok::<_, PrekeyError>(pair)
        };
        let signed = verified(&wire.signed_pair)?;
        let head = *signed.head().ok_or(BundleError::Kind)?;
        let head_is_older = check_head(&head, manifest)?;
        let one_time = if wire.one_time_pair.is_empty() {
            None
        } else {
            Some(verified(&wire.one_time_pair)?)
        };
        if one_time.as_ref().is_some_and(|pair| !pair.is_one_time()) {
            return Err(BundleError::Kind);
        }
        Ok(Self {
            entry,
            signed,
            one_time,
            head,
            head_is_older,
        })
    }

    /// The device as the manifest lists it.
    #[must_use]
    pub const fn entry(&self) -> &DeviceEntry {
        &self.entry
    }

    /// The signed pair.
    #[must_use]
    pub const fn signed(&self) -> &PrekeyPair {
        &self.signed
    }

    /// The one-time pair; without one, the signed pair is the last resort.
    #[must_use]
    pub const fn one_time(&self) -> Option<&PrekeyPair> {
        self.one_time.as_ref()
    }

    /// `head_B` of the handshake: the head that the signed pair names.
    #[must_use]
    pub const fn head(&self) -> &ManifestHead {
        &self.head
    }

    /// Whether the device has not made a new signed pair since the served manifest version. Normal
    /// for a device that is offline.
    #[must_use]
    pub const fn head_is_older(&self) -> bool {
        self.head_is_older
    }

    /// Whether the signed pair is within the mailbox retention on day `today`; an older device counts
    /// as inactive.
    #[must_use]
    pub const fn is_active(&self, today: Day) -> bool {
        // PRE-14.
        today.saturating_sub(self.signed.created()) <= RETENTION_DAYS
    }
}

/// Whether the head that the device names is older than the served manifest's.
fn check_head(head: &ManifestHead, manifest: &DeviceManifest) -> Result<bool, BundleError> {
    // PRE-6.
    match head.relation_to(&manifest.head()) {
        HeadRelation::Same => Ok(false),
        HeadRelation::Older => Ok(true),
        HeadRelation::Newer => Err(BundleError::RollbackEvidence {
            served: manifest.version(),
            named: head.version,
        }),
        HeadRelation::Conflicting => Err(BundleError::EquivocationEvidence {
            version: head.version,
        }),
    }
}
