// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a peer pins of an account, and how a version that somebody serves relates to it.
//!
//! These are facts, computed by a pure function. What blocks sending is the engine's decision.

use super::path::{Path, Root};
use super::succession::walk;
use super::{DeviceManifest, ManifestError, ManifestHead, Succession, verify_chain};

/// The newest version of an account that was accepted. It moves only along [`PinVerdict::Extends`]
/// and [`PinVerdict::AccountOverride`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestPin {
    manifest: DeviceManifest,
}

/// How a served version relates to the pinned one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinVerdict {
    /// The pinned version itself.
    Same,
    /// A valid continuation, every step checked.
    Extends(Succession),
    /// The account key built on an earlier version and voided the pinned one.
    AccountOverride(Succession),
    /// An earlier version: nothing new, and by itself nothing wrong.
    Older,
    /// It goes on from a version that the account key has voided since. Never to be used; whoever
    /// signed it is probably the reason for the override.
    Voided,
    /// Two valid versions of one number, and no account-signed version above them.
    Equivocation,
    /// Cannot be judged without versions in between: ask for those after `after` and judge again
    /// with them. A server that does not hand them out after one more question withholds them.
    MissingVersions {
        /// The number after which versions are needed.
        after: u32,
    },
}

impl ManifestPin {
    /// Pins a version that the caller has accepted.
    #[must_use]
    pub const fn new(manifest: DeviceManifest) -> Self {
        Self { manifest }
    }

    /// The pinned version.
    #[must_use]
    pub const fn manifest(&self) -> &DeviceManifest {
        &self.manifest
    }

    /// The pinned head.
    #[must_use]
    pub const fn head(&self) -> ManifestHead {
        self.manifest.head()
    }

    /// [`judge`] with this pin.
    ///
    /// # Errors
    /// As [`judge`].
    pub fn judge(
        &self,
        served: &DeviceManifest,
        known: &[DeviceManifest],
    ) -> Result<PinVerdict, ManifestError> {
        judge(&self.manifest, served, known)
    }
}

/// Relates `served` to the `pinned` version with the help of `known`: versions in any order that
/// servers or peers handed out. Nothing about `served` and `known` is believed but what the account's keys signed.
///
/// # Errors
/// [`ManifestError::OtherAccount`], or the rule that a step on the way from the pin breaks: then
/// `served` is no version of this account's chain at all.
pub fn judge(
    pinned: &DeviceManifest,
    served: &DeviceManifest,
    known: &[DeviceManifest],
) -> Result<PinVerdict, ManifestError> {
    // IDN-24, IDN-25, IDN-26.
    if served.account() != pinned.account() {
        return Err(ManifestError::OtherAccount);
    }
    if served.hash() == pinned.hash() {
        return Ok(PinVerdict::Same);
    }
    let (pinned_anchor, served_anchor) = (pinned.anchor(), served.anchor());
    match served_anchor.version.cmp(&pinned_anchor.version) {
        core::cmp::Ordering::Less if served.version() < pinned.version() => Ok(PinVerdict::Older),
        core::cmp::Ordering::Less => Ok(PinVerdict::Voided),
        core::cmp::Ordering::Greater => judge_later_anchor(pinned, served, known),
        core::cmp::Ordering::Equal if served_anchor == pinned_anchor => {
            judge_same_anchor(pinned, served, known)
        }
        core::cmp::Ordering::Equal => Ok(judge_two_anchors(served, known)),
    }
}

/// The account key has signed since: it wins over everything that it did not build on.
fn judge_later_anchor(
    pinned: &DeviceManifest,
    served: &DeviceManifest,
    known: &[DeviceManifest],
) -> Result<PinVerdict, ManifestError> {
    // IDN-22, IDN-27.
    let path = Path::find(pinned, served, known)?;
    match path.root {
        Root::Pinned => walk(pinned, path.steps).map(PinVerdict::Extends),
        Root::Account => {
            let since = verify_chain(path.steps)?;
            Ok(PinVerdict::AccountOverride(Succession::between(
                pinned,
                served,
                true,
                since.younger_revokes_older,
            )))
        }
        Root::Unknown => Ok(PinVerdict::MissingVersions {
            after: pinned
                .version()
                .min(served.anchor().version.saturating_sub(1)),
        }),
    }
}

/// Both go back to the same account-signed version, so one of them continues the other or they fork.
fn judge_same_anchor(
    pinned: &DeviceManifest,
    served: &DeviceManifest,
    known: &[DeviceManifest],
) -> Result<PinVerdict, ManifestError> {
    if served.version() < pinned.version() {
        return Ok(PinVerdict::Older);
    }
    let path = Path::find(pinned, served, known)?;
    match path.root {
        Root::Pinned => walk(pinned, path.steps).map(PinVerdict::Extends),
        // Device-signed numbers leave no gap, so this proved branch holds a version with the pinned
        // number and another hash.
        Root::Account => verify_chain(path.steps).map(|_| PinVerdict::Equivocation),
        Root::Unknown => {
            let next_number = pinned.version().saturating_add(1);
            if path.oldest_version() > next_number {
                return Ok(PinVerdict::MissingVersions {
                    after: pinned.version(),
                });
            }
            // The way passes the pin by. That is a fork where a device of the pinned version signed
            // it; otherwise anybody may have made it up, and the chain has to be shown from its anchor.
            if path.steps.iter().any(|step| pinned.lists(step.signer())) {
                return Ok(PinVerdict::Equivocation);
            }
            Ok(PinVerdict::MissingVersions {
                after: served.anchor().version.saturating_sub(1),
            })
        }
    }
}

/// Two account-signed versions of one number, as far as `served` says so: the other one has to be shown.
fn judge_two_anchors(served: &DeviceManifest, known: &[DeviceManifest]) -> PinVerdict {
    let anchor = served.anchor();
    let shown = core::iter::once(served).chain(known).any(|manifest| {
        manifest.is_account_signed()
            && manifest.account() == served.account()
            && manifest.head() == anchor
    });
    if shown {
        PinVerdict::Equivocation
    } else {
        PinVerdict::MissingVersions {
            after: anchor.version.saturating_sub(1),
        }
    }
}

/// Checks that `newer` lawfully replaces `pinned`, with the versions between them in `missing`.
///
/// # Errors
/// [`ManifestError::VersionsMissing`], [`ManifestError::NoChange`] for the pinned version itself,
/// [`ManifestError::NotOnPrevious`] for an older, voided or equivocating one, and those of [`judge`].
pub fn check_extension(
    pinned: &DeviceManifest,
    newer: &DeviceManifest,
    missing: &[DeviceManifest],
) -> Result<Succession, ManifestError> {
    match judge(pinned, newer, missing)? {
        PinVerdict::Extends(succession) | PinVerdict::AccountOverride(succession) => Ok(succession),
        PinVerdict::MissingVersions { .. } => Err(ManifestError::VersionsMissing),
        PinVerdict::Same => Err(ManifestError::NoChange),
        PinVerdict::Older | PinVerdict::Voided | PinVerdict::Equivocation => {
            Err(ManifestError::NotOnPrevious)
        }
    }
}
