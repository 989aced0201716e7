// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is who: the public half of accounts and devices, and everything that is signed about them.
//!
//! An account *is* its Ed25519 key ([`AccountKey`]). Its devices stand in a [`manifest`]: a chain of
//! signed versions that a server stores and that nobody but the account can continue. Each device
//! publishes [`prekey`] pairs; a [`bundle`] of them opens a session. People find each other by
//! [`links`] and make sure of each other by a [`safety_number`], a [`fingerprint`] or a scanned
//! [`verification`] code. A device proves itself to its server by [`authentication`].
//!
//! # A tour
//!
//! - A new device makes [`DeviceKeys`], signs that it belongs to the account
//!   ([`DeviceKeys::membership_signable`]) and is admitted by the account key or by another device
//!   ([`CountersignedDevice::admission_signable`]): now it is a [`DeviceEntry`].
//! - A [`ManifestDraft`] puts entries into the next version. It yields bytes to sign and takes the
//!   signature; the secret keys are in `waxwing-crypto`, never here.
//! - A server accepts a version that [`verify_successor`] accepts on the stored one.
//! - A peer keeps a [`ManifestPin`] and asks [`judge`] about what it is served. The [`PinVerdict`] is
//!   a fact (continued, overridden by the account key, older, voided, forked, versions missing);
//!   what to do about it is the engine's policy.
//! - [`PrekeyBundle::check`] compares what a device signed with what the server showed, and returns
//!   evidence of a rollback or an equivocation as errors of their own.
//!
//! # Rules that hold everywhere
//!
//! Signatures and hashes are over exact bytes, in the fixed layouts of [`encoding`], each beginning
//! with a label of [`labels`]. Every decoder is bounded, refuses what could be written in another
//! way, and never panics. Signatures are verified by the strict rules of [`keys`]. There are no
//! account or device secrets here, no I/O, no clock and no randomness.

pub mod authentication;
pub mod bundle;
pub mod encoding;
pub mod error;
pub mod fingerprint;
pub mod keys;
pub mod labels;
pub mod links;
pub mod manifest;
pub mod prekey;
pub mod safety_number;
pub mod verification;

#[cfg(test)]
mod testing;

pub use waxwing_proto::{
    AccountKey, AccountName, Address, DeliveryId, DeviceId, EnvelopeId, Host, InviteToken, KeyPin,
    MessageId, RendezvousLocator, ServerAddress,
};

pub use bundle::{BundleError, PrekeyBundle};
pub use encoding::LayoutError;
pub use error::IdentityError;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use keys::{DeviceDhKey, DeviceSigningKey, Digest, Signature, SignatureError, VerifyingKey};
pub use links::{
    ContactLink, InviteLink, LinkCode, LinkError, LinkKind, RendezvousSecret, ServerLink,
};
pub use manifest::{
    CountersignedDevice, Day, DeviceEntry, DeviceKeys, DeviceManifest, DraftError, HeadRelation,
    ManifestDraft, ManifestError, ManifestHead, ManifestPin, OverrideBase, PinVerdict,
    ProvisionalExtension, Signatory, Succession, check_extension, check_provisional, judge,
    override_base, verify_chain, verify_successor,
};
pub use prekey::{PrekeyError, PrekeyKind, PrekeyPair, UnsignedPrekeyPair};
pub use safety_number::SafetyNumber;
pub use verification::{VerificationOutcome, VerificationPayload};
