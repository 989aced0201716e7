// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way back from a served version, by hashes, to the pinned version or to the account-signed
//! version under it. It is found among versions that anybody may have handed out.

use std::collections::BTreeMap;

use waxwing_proto::limits::MANIFEST_VERSIONS_MAX;

use super::{DeviceManifest, ManifestError};
use crate::encoding::LayoutError;

/// Where the way back ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// The first step is built on the pinned version.
    Pinned,
    /// The first step is itself account-signed, and the newest such version on the way.
    Account,
    /// The version before the first step was not handed out.
    Unknown,
}

/// Versions that name each other by hash, oldest first, the served one last.
#[derive(Debug)]
pub(super) struct Path<'a> {
    pub(super) root: Root,
    pub(super) steps: Vec<&'a DeviceManifest>,
}

impl<'a> Path<'a> {
    pub(super) fn find(
        pinned: &DeviceManifest,
        served: &'a DeviceManifest,
        known: &'a [DeviceManifest],
    ) -> Result<Self, ManifestError> {
        if usize::try_from(MANIFEST_VERSIONS_MAX).is_ok_and(|max| known.len() > max) {
            return Err(LayoutError::Limit.into());
        }
        let by_hash: BTreeMap<_, _> = known
            .iter()
            .filter(|manifest| manifest.account() == pinned.account())
            .map(|manifest| (manifest.hash(), manifest))
            .collect();
        let mut steps = vec![served];
        let mut current = served;
        let mut to_account = current.is_account_signed().then_some(steps.len());
        while *current.previous() != pinned.hash() {
            // Numbers fall at every step, so the way ends even where hostile versions are among `known`.
            let Some(before) = by_hash
                .get(current.previous())
                .filter(|before| before.version() < current.version())
            else {
                return Ok(match to_account {
                    Some(count) => {
                        steps.truncate(count);
                        Self::new(Root::Account, steps)
                    }
                    None => Self::new(Root::Unknown, steps),
                });
            };
            current = before;
            steps.push(current);
            if to_account.is_none() && current.is_account_signed() {
                to_account = Some(steps.len());
            }
        }
        Ok(Self::new(Root::Pinned, steps))
    }

    fn new(root: Root, mut steps: Vec<&'a DeviceManifest>) -> Self {
        steps.reverse();
        Self { root, steps }
    }

    /// The number of the oldest version on the way.
    pub(super) fn oldest_version(&self) -> u32 {
        self.steps.first().map_or(0, |step| step.version())
    }
}
