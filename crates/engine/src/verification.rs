// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Comparing keys by a second way: what is shown, and what a comparison that succeeded changes.

use waxwing_identity::{
    DeviceManifest, Fingerprint, HeadRelation, SafetyNumber, VerificationOutcome,
    VerificationPayload,
};
use waxwing_proto::AccountKey;

use crate::command::{Answer, CommandError, CommandId, Evidence, Verification};
use crate::engine::{Engine, Turn};
use crate::notice::{AlarmKind, Notice};
use crate::trust::Settlement;

impl Engine {
    pub(crate) fn verification(&self, account: &AccountKey) -> Result<Verification, CommandError> {
        let contact = self
            .contacts
            .get(account)
            .ok_or(CommandError::ContactUnknown)?;
        let own = self.own_key().ok_or(CommandError::NotRegistered)?;
        Ok(Verification {
            contact: *account,
            safety_number: SafetyNumber::between(&own, account).to_string(),
            qr_payload: self
                .own_view(account)
                .map(|view| view.to_string())
                .unwrap_or_default(),
            fingerprint: Fingerprint::of(account).to_string(),
            own_fingerprint: Fingerprint::of(&own).to_string(),
            verified: contact.verified,
        })
    }

    /// This side's view of the two accounts. Without a manifest of the contact the own head stands in
    /// for it; a code made from that confirms the keys and nothing about devices.
    fn own_view(&self, account: &AccountKey) -> Option<VerificationPayload> {
        let head = self.own_manifest()?.head();
        Some(VerificationPayload {
            account: self.own_key()?,
            head,
            peer: *account,
            peer_head: self
                .manifests
                .get(account)
                .map_or(head, DeviceManifest::head),
        })
    }

    pub(crate) fn verify(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        account: &AccountKey,
        evidence: &Evidence,
    ) {
        let result = self
            .weigh(turn, account, evidence)
            .and_then(|by| self.settle_contact(account, by));
        if result.is_ok() {
            self.mark_verified(turn, account);
        }
        self.notify(Notice::ContactChanged(*account));
        self.answer(command, result.map(|()| Answer::Done));
        self.pump(turn, *account);
    }

    /// Ends the alarms that the comparison settles.
    ///
    /// # Errors
    /// [`CommandError::EvidenceIncomplete`] where one is left that blocks sending.
    fn settle_contact(&mut self, account: &AccountKey, by: Settlement) -> Result<(), CommandError> {
        let Some(contact) = self.contacts.get_mut(account) else {
            return Err(CommandError::ContactUnknown);
        };
        contact.alarms.settle(by);
        let left = contact.alarms.blocking();
        self.save_contact(account);
        left.map_or(Ok(()), |alarm| Err(CommandError::EvidenceIncomplete(alarm)))
    }

    fn mark_verified(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        let manifest = self.manifests.get(account);
        let head = manifest.map(DeviceManifest::head);
        let devices = manifest
            .map(|manifest| {
                manifest
                    .devices()
                    .iter()
                    .map(waxwing_identity::DeviceEntry::id)
                    .collect()
            })
            .unwrap_or_default();
        if let Some(contact) = self.contacts.get_mut(account) {
            contact.verified = true;
            contact.last_verified_head = head;
            contact.verified_devices = devices;
        }
        self.sync_contact(turn, account);
    }

    fn weigh(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        evidence: &Evidence,
    ) -> Result<Settlement, CommandError> {
        if !self.contacts.contains_key(account) {
            return Err(CommandError::ContactUnknown);
        }
        match evidence {
            Evidence::SafetyNumberCompared => Ok(Settlement::AccountKeys),
            Evidence::Fingerprint(text) => {
                let fingerprint: Fingerprint =
                    text.parse().map_err(|_| CommandError::EvidenceMalformed)?;
                if fingerprint.fits(account) {
                    Ok(Settlement::AccountKeys)
                } else {
                    Err(CommandError::EvidenceMismatch)
                }
            }
            Evidence::QrPayload(text) => {
                let scanned: VerificationPayload = text
                    .trim()
                    .parse()
                    .map_err(|_| CommandError::EvidenceMalformed)?;
                self.weigh_scanned(turn, account, &scanned)
            }
        }
    }

    /// The keys must be the same, and the contact's own head must not contradict the one held here. A
    /// head that this device does not have yet settles nothing: it is asked for.
    fn weigh_scanned(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        scanned: &VerificationPayload,
    ) -> Result<Settlement, CommandError> {
        let view = self
            .own_view(account)
            .ok_or(CommandError::Bug("no own manifest"))?;
        let VerificationOutcome::KeysMatch {
            peer_head,
            own_head,
        } = view.compare(scanned)
        else {
            return Err(CommandError::EvidenceMismatch);
        };
        // A contact without a manifest of this account repeats its own head in its place.
        let holds_nothing = scanned.peer_head == scanned.head;
        match own_head {
            _ if holds_nothing => {}
            // The contact was shown another version of this account than its devices have.
            HeadRelation::Conflicting => self.own_alarm(AlarmKind::Equivocation),
            HeadRelation::Newer => self.fetch_own_manifests(turn),
            HeadRelation::Same | HeadRelation::Older => {}
        }
        if !self.manifests.contains_key(account) {
            return Ok(Settlement::AccountKeys);
        }
        match peer_head {
            HeadRelation::Same => Ok(Settlement::CompleteCode),
            HeadRelation::Conflicting => Err(CommandError::EvidenceMismatch),
            HeadRelation::Older => Ok(Settlement::AccountKeys),
            HeadRelation::Newer => {
                self.fetch_manifests(account);
                Ok(Settlement::AccountKeys)
            }
        }
    }

    /// The user has looked at the devices of the own account.
    pub(crate) fn confirm_devices(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        version: u32,
    ) {
        // IDN-66.
        if self.own_manifest().map(DeviceManifest::version) != Some(version) {
            self.answer(command, Err(CommandError::DevicesChanged));
            return;
        }
        if let Some(account) = &mut self.account {
            account.alarms.settle(Settlement::OwnDevices);
        }
        self.save_account();
        self.notify(Notice::DevicesChanged);
        self.answer(command, Ok(Answer::Done));
        // What waited for it leaves for the other devices.
        if let Some(own) = self.own_key() {
            self.pump(turn, own);
        }
    }
}
