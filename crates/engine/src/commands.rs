// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where each command goes, and the short ones themselves.

use waxwing_identity::ContactLink;
use waxwing_proto::v1::account_row::Phase;
use waxwing_proto::v1::request::Call;
use waxwing_proto::{AccountKey, limits, v1};

use crate::command::{Answer, Command, CommandError, CommandId, DeviceSummary, Status};
use crate::engine::{Engine, Turn};
use crate::notice::AlarmKind;
use crate::pending::{OwnCall, Pending};

impl Engine {
    pub(crate) fn command(&mut self, turn: &mut Turn<'_>, id: CommandId, command: Command) {
        match command {
            Command::Register {
                invite,
                name,
                words,
            } => self.register(turn, id, &invite, name, &words),
            Command::Recover { words, server } => self.recover(turn, id, &words, &server),
            Command::Link { server } => self.begin_linking(turn, id, &server),
            Command::ConfirmLink { same } => self.confirm_link(turn, id, same),
            Command::Status => {
                let status = self.status();
                self.answer(id, Ok(Answer::Status(status)));
            }
            other => match self.member_error(&other) {
                Some(error) => self.answer(id, Err(error)),
                None => self.member_command(turn, id, other),
            },
        }
    }

    /// Why this profile cannot do what a device of an account does.
    fn member_error(&self, command: &Command) -> Option<CommandError> {
        match self.account.as_ref().map(|account| account.phase) {
            Some(Phase::Active) => None,
            // What is on this device can be read as long as the device exists.
            Some(Phase::Restored | Phase::Removed | Phase::Closed) if only_reads(command) => None,
            Some(Phase::Restored) => Some(CommandError::TrustBlocked(AlarmKind::RestoredStore)),
            Some(Phase::Removed) => Some(CommandError::Removed),
            Some(Phase::Closed) => Some(CommandError::AccountClosed),
            _ => Some(CommandError::NotRegistered),
        }
    }

    fn member_command(&mut self, turn: &mut Turn<'_>, id: CommandId, command: Command) {
        match command {
            Command::InspectDevice { code } => self.inspect_device(turn, id, code),
            Command::ApproveDevice { device } => self.approve_device(turn, id, device),
            Command::RemoveDevice { device } => self.remove_device(turn, id, device),
            Command::ListDevices => {
                let devices = self.device_list();
                self.answer(id, Ok(Answer::Devices(devices)));
            }
            Command::ConfirmDevices { version } => self.confirm_devices(turn, id, version),
            Command::AddContact { link, label } => self.add_contact(turn, id, &link, label),
            Command::AddContactByName { name, label } => self.add_by_name(id, name, label),
            Command::ListContacts => {
                let list = self.contact_list();
                self.answer(id, Ok(Answer::Contacts(list)));
            }
            Command::FindContact { query } => {
                let found = self.find_contact(&query).map(Answer::Contact);
                self.answer(id, found);
            }
            Command::AcceptContact { contact } => self.accept_contact(turn, id, &contact),
            Command::BlockContact { contact, blocked } => {
                self.block_contact(turn, id, &contact, blocked);
            }
            Command::RenameContact { contact, label } => {
                self.rename_contact(turn, id, &contact, label);
            }
            Command::OwnContactLink => {
                let link = self.own_contact_link();
                self.answer(id, link.map(Answer::ContactLink));
            }
            Command::Send { contact, body } => self.send_text(turn, id, contact, body),
            Command::History {
                contact,
                before,
                limit,
            } => self.read_history(id, &contact, before, limit),
            Command::Unread { after, limit } => self.read_unread(id, after, limit),
            Command::MarkShown { up_to } => self.mark_shown(id, up_to),
            Command::Verification { contact } => {
                let verification = self.verification(&contact);
                self.answer(id, verification.map(Answer::Verification));
            }
            Command::Verify { contact, evidence } => self.verify(turn, id, &contact, &evidence),
            Command::SetReceipts {
                delivered,
                read,
                on_their_own,
            } => self.set_receipts(turn, id, (delivered, read, on_their_own)),
            Command::ListExpired => {
                let expired = self.expired_messages();
                self.answer(id, Ok(Answer::Expired(expired)));
            }
            Command::MarkExpiredShown { shown } => self.expired_shown(id, &shown),
            Command::CloseAccount { words } => self.close_account(id, &words.account_secret()),
            // Handled before an account is asked for.
            Command::Register { .. }
            | Command::Recover { .. }
            | Command::Link { .. }
            | Command::ConfirmLink { .. }
            | Command::Status => self.answer(id, Err(CommandError::Bug("command routing"))),
        }
    }

    /// Whether a text for a contact may be queued.
    pub(crate) fn may_queue(&self, account: &AccountKey, body: &str) -> Result<(), CommandError> {
        let contact = self
            .contacts
            .get(account)
            .ok_or(CommandError::ContactUnknown)?;
        if contact.blocked {
            return Err(CommandError::ContactBlocked);
        }
        if contact.request_pending {
            return Err(CommandError::RequestPending);
        }
        if let Some(alarm) = contact.alarms.blocking() {
            return Err(CommandError::TrustBlocked(alarm));
        }
        if body.is_empty() || body.len() > limits::TEXT_SIZE_MAX {
            return Err(CommandError::TextInvalid);
        }
        // Copies for the own devices take no room from messages.
        let copies = self
            .own_key()
            .map_or(0, |own| self.outbox.contents_for(&own));
        if self.outbox.len().saturating_sub(copies) >= limits::OUTBOX_CONTENTS_MAX {
            return Err(CommandError::OutboxFull);
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let account = self.account.as_ref();
        Status {
            address: account
                .map(crate::account::Account::address)
                .unwrap_or_default(),
            account: account.and_then(|account| account.key),
            device: account.map(|account| account.device),
            online: self.connection.subscribed,
            shut_out: self.connection.shut_out.is_some(),
            server: account
                .map(|account| format!("{}:{}", account.server.host, account.server.port))
                .unwrap_or_default(),
            outbox: self.outbox.len(),
            waiting: self.waiting(),
            alarms: self
                .contacts
                .values()
                .filter(|contact| !contact.alarms.is_empty())
                .count()
                .saturating_add(usize::from(
                    account.is_some_and(|account| !account.alarms.is_empty()),
                )),
            own_alarm: account.and_then(|account| account.alarms.first()),
            requests: self
                .contacts
                .values()
                .filter(|contact| contact.request_pending && !contact.blocked)
                .count(),
            manifest_version: self
                .own_manifest()
                .map_or(0, waxwing_identity::DeviceManifest::version),
            one_time_prekeys: self.connection.one_time_prekeys,
            unopenable: self.inbox.unopenable,
        }
    }

    fn device_list(&self) -> Vec<DeviceSummary> {
        let this_device = self.account.as_ref().map(|account| account.device);
        self.own_manifest()
            .map(|manifest| {
                manifest
                    .devices()
                    .iter()
                    .map(|device| DeviceSummary {
                        id: device.id(),
                        this_device: Some(device.id()) == this_device,
                        created_day: device.created(),
                        fingerprint: device_fingerprint(&device.signing_key()),
                    })
                    .collect()
            })
            .unwrap_or_default()
    }

    fn own_contact_link(&self) -> Result<ContactLink, CommandError> {
        let account = self.account.as_ref().ok_or(CommandError::NotRegistered)?;
        let missing = CommandError::Bug("account without a name");
        ContactLink::new(
            account.server.clone(),
            account.name.clone().ok_or(missing.clone())?,
            account.key.ok_or(missing.clone())?,
            account.public_delivery_id.ok_or(missing)?,
        )
        .map_err(|_| CommandError::Bug("own contact link"))
    }

    fn close_account(&mut self, command: CommandId, secret: &waxwing_crypto::AccountSecret) {
        let (Some(exporter), Some(account)) = (self.connection.exporter, &self.account) else {
            self.answer(
                command,
                Err(CommandError::Link(crate::event::LinkFailure::Unreachable)),
            );
            return;
        };
        let key = secret.account_key();
        if account.key != Some(key) {
            self.answer(command, Err(CommandError::EvidenceMismatch));
            return;
        }
        let signable = waxwing_identity::authentication::close_account_signable(&exporter, &key);
        let Ok(signature) = secret.sign(&signable) else {
            self.answer(command, Err(CommandError::Bug("closing signature")));
            return;
        };
        let call = Call::CloseAccount(v1::CloseAccountRequest {
            signature: bytes::Bytes::copy_from_slice(signature.as_bytes()),
        });
        self.account_request(call, Pending::Own(OwnCall::Close(command)));
    }

    /// Why a call failed, as a command's error.
    pub(crate) fn failure(failure: crate::event::RequestFailure) -> CommandError {
        use crate::event::RequestFailure;
        match failure {
            RequestFailure::Link(link) => CommandError::Link(link),
            RequestFailure::Timeout => CommandError::Timeout,
            RequestFailure::Refused {
                code,
                retry_after_ms,
            } => CommandError::Refused(code, retry_after_ms),
            RequestFailure::Malformed => CommandError::Bug("malformed answer"),
        }
    }
}

/// Whether a command changes nothing that anybody else learns of.
const fn only_reads(command: &Command) -> bool {
    matches!(
        command,
        Command::ListDevices
            | Command::ListContacts
            | Command::FindContact { .. }
            | Command::History { .. }
            | Command::Unread { .. }
            | Command::MarkShown { .. }
            | Command::ListExpired
            | Command::MarkExpiredShown { .. }
            | Command::Verification { .. }
    )
}

/// The fingerprint of a device's signing key, written as those of accounts are.
fn device_fingerprint(key: &waxwing_identity::DeviceSigningKey) -> String {
    waxwing_identity::Fingerprint::of(&AccountKey::new(*key.as_bytes())).to_string()
}
