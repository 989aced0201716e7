// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Versions of one account's manifest that a server hands out in several answers. The server decides
//! how many answers there are and what stands in them; what it makes this device keep and ask is bounded.

use waxwing_identity::DeviceManifest;
use waxwing_proto::{AccountKey, limits, v1};

/// What was handed out so far, oldest first, since the newest account-signed version among it.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    versions: Vec<DeviceManifest>,
    last: u32,
}

impl Gathered {
    /// Takes an answer in. Returns the number after which to ask on, where the server has more and this
    /// answer was of use; numbers only rise, so a server cannot make it go on for ever.
    ///
    /// What is no version of the account, or out of order, ends the answer there. An account-signed
    /// version makes those before it useless: they are let go.
    pub(crate) fn take(
        &mut self,
        account: &AccountKey,
        answer: &v1::FetchManifestsResponse,
    ) -> Option<u32> {
        // IDN-63.
        let before = self.last;
        for bytes in answer
            .manifests
            .iter()
            .take(limits::MANIFESTS_PER_ANSWER_MAX)
        {
            let manifest = DeviceManifest::decode(bytes).ok().filter(|manifest| {
                manifest.account() == account && manifest.version() > self.last
            })?;
            self.last = manifest.version();
            if manifest.is_account_signed() {
                self.versions.clear();
            }
            if self.versions.len() >= limits::MANIFESTS_GATHERED_MAX {
                return None;
            }
            self.versions.push(manifest);
        }
        (answer.more && self.last > before).then_some(self.last)
    }

    /// The versions, to be decided on. Nothing is left.
    pub(crate) fn finish(&mut self) -> Vec<DeviceManifest> {
        self.last = 0;
        core::mem::take(&mut self.versions)
    }
}
