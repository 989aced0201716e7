// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening a session with a device from the bundle that a server handed out.

use waxwing_identity::{BundleError, PrekeyBundle};
use waxwing_proto::{AccountKey, DeviceId, v1};
use waxwing_ratchet::LocalDevice;

use crate::engine::{Engine, Turn};
use crate::notice::AlarmKind;
use crate::sessions::clock::Renewal;

impl Engine {
    /// Whether the active session with a device is there and needs no successor.
    fn goes_on(&self, turn: &Turn<'_>, account: &AccountKey, device: &DeviceId) -> bool {
        self.sessions.can_seal(account, device)
            && self.renewal(turn, account, device) == Renewal::NotDue
    }

    /// Begins a session where the bundle belongs to a device of the accepted manifest and there is
    /// none yet. What a device signed against what the server showed is an alarm; a bundle that is
    /// merely bad leaves its device without a session.
    pub(crate) fn open_session(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        bundle: &v1::PrekeyBundle,
    ) -> Option<AlarmKind> {
        let manifest = self.accepted_manifest(account)?.clone();
        let bundle = match PrekeyBundle::check(bundle, &manifest) {
            Ok(bundle) => bundle,
            Err(BundleError::RollbackEvidence { .. }) => return Some(AlarmKind::Rollback),
            Err(BundleError::EquivocationEvidence { .. }) => {
                return Some(AlarmKind::Equivocation);
            }
            Err(_) => return None,
        };
        let device = bundle.entry().id();
        let this_device = self.account.as_ref().map(|own| own.device);
        if Some(device) == this_device || self.goes_on(turn, account, &device) {
            return None;
        }
        let own = self.account.as_ref()?;
        let local = LocalDevice {
            account: own.key?,
            device: own.device,
            secrets: &own.secrets,
            manifest: self.own_manifests.last()?,
        };
        // A bundle that the ratchet refuses (an old pair, a bad key) leaves the device without one.
        let _refused = self
            .sessions
            .begin(&mut self.journal, turn, &local, account, &bundle);
        self.weigh_renewals(account);
        None
    }
}
