// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Comparing keys by a second way: what is shown, and what a comparison that succeeded changes.

use waxwing_identity::{
    DeviceManifest, Fingerprint, HeadRelation, SafetyNumber, VerificationOutcome,
    VerificationPayload,
};
use waxwing_proto::AccountKey;

use crate::command::{Answer, CommandError, CommandId, Evidence, Verification};
use crate::engine::{Engine, Turn};
use crate::notice::Notice;

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
        let result = self.weigh(account, evidence);
        if result.is_ok() {
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
                contact.alarm = None;
                contact.last_verified_head = head;
                contact.verified_devices = devices;
            }
            self.sync_contact(turn, account);
            self.notify(Notice::ContactChanged(*account));
        }
        self.answer(command, result.map(|()| Answer::Done));
        self.pump(turn, *account);
    }

    fn weigh(&self, account: &AccountKey, evidence: &Evidence) -> Result<(), CommandError> {
        if !self.contacts.contains_key(account) {
            return Err(CommandError::ContactUnknown);
        }
        match evidence {
            Evidence::SafetyNumberCompared => Ok(()),
            Evidence::Fingerprint(text) => {
                let fingerprint: Fingerprint =
                    text.parse().map_err(|_| CommandError::EvidenceMalformed)?;
                if fingerprint.fits(account) {
                    Ok(())
                } else {
                    Err(CommandError::EvidenceMismatch)
                }
            }
            Evidence::QrPayload(text) => {
                let scanned: VerificationPayload = text
                    .trim()
                    .parse()
                    .map_err(|_| CommandError::EvidenceMalformed)?;
                self.weigh_scanned(account, &scanned)
            }
        }
    }

    /// The keys must be the same, and the contact's own head must not contradict the one held here.
    fn weigh_scanned(
        &self,
        account: &AccountKey,
        scanned: &VerificationPayload,
    ) -> Result<(), CommandError> {
        let view = self
            .own_view(account)
            .ok_or(CommandError::Bug("no own manifest"))?;
        let held = self.manifests.contains_key(account);
        match view.compare(scanned) {
            VerificationOutcome::KeysDiffer => Err(CommandError::EvidenceMismatch),
            VerificationOutcome::KeysMatch { peer_head, .. }
                if held && peer_head == HeadRelation::Conflicting =>
            {
                Err(CommandError::EvidenceMismatch)
            }
            VerificationOutcome::KeysMatch { .. } => Ok(()),
        }
    }
}
