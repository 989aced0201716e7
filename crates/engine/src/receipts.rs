// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receipts: that a message arrived, and that it was shown. Gathered for a while, then one content for
//! all of them, or earlier on a text. None to strangers and none for what shows nothing; what a stranger
//! is owed leaves when the user accepts.

use waxwing_proto::v1::content::Kind;
use waxwing_proto::{AccountKey, MessageId, limits, v1};

use crate::codec;
use crate::command::{Answer, CommandError, CommandId, ReceiptSettings};
use crate::contacts::Contact;
use crate::content::silent;
use crate::engine::{Engine, Turn};
use crate::sending::Parcel;
use crate::timers::{Timer, jitter};

/// Receipts leave after a delay between these, in milliseconds.
const DELAY_MS: (u64, u64) = (1000, 30_000);

/// The receipts that a contact is owed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owed {
    /// Messages that arrived.
    pub(crate) delivered: Vec<MessageId>,
    /// Messages that were shown.
    pub(crate) read: Vec<MessageId>,
    /// The same, due once the user has accepted.
    pub(crate) delivered_withheld: Vec<MessageId>,
    pub(crate) read_withheld: Vec<MessageId>,
    /// When they leave on their own, by the wall clock; 0 where none are due. Stored, because a process
    /// may not live as long as the delay.
    pub(crate) leave_at_ms: u64,
}

impl Owed {
    /// Whether nothing is due now.
    pub(crate) const fn is_empty(&self) -> bool {
        self.delivered.is_empty() && self.read.is_empty()
    }

    /// Whether a receipt holds no more than what is due.
    fn is_full(&self) -> bool {
        self.delivered.len().max(self.read.len()) >= limits::RECEIPT_IDS_MAX
    }

    /// What waited for an acceptance is due now.
    pub(crate) fn release(&mut self) {
        self.delivered.append(&mut self.delivered_withheld);
        self.read.append(&mut self.read_withheld);
    }

    /// Takes what fits receipts of `most` ids, as fields. What was read need not be called delivered.
    fn take(&mut self, most: usize) -> Vec<v1::Receipt> {
        // ENV-43.
        self.delivered.retain(|id| !self.read.contains(id));
        let kinds = [
            (v1::receipt::Kind::Read, &mut self.read),
            (v1::receipt::Kind::Delivered, &mut self.delivered),
        ];
        kinds
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(kind, list)| {
                let taken: Vec<MessageId> = list.drain(..list.len().min(most)).collect();
                v1::Receipt {
                    kind: kind.into(),
                    message_ids: codec::message_ids_to_wire(&taken),
                }
            })
            .collect()
    }
}

impl Engine {
    /// What this device sends.
    pub(crate) fn receipt_settings(&self) -> ReceiptSettings {
        self.account.as_ref().map_or(
            ReceiptSettings {
                delivered: false,
                read: false,
                on_their_own: false,
            },
            |own| ReceiptSettings {
                delivered: !own.receipts_off,
                read: !own.read_receipts_off,
                on_their_own: !own.receipts_ride_only,
            },
        )
    }

    /// Changes what this device sends; `None` leaves a setting as it is.
    pub(crate) fn set_receipts(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        (delivered, read, on_their_own): (Option<bool>, Option<bool>, Option<bool>),
    ) {
        // ENV-44.
        let Some(own) = &mut self.account else {
            self.answer(command, Err(CommandError::NotRegistered));
            return;
        };
        let (was_off, read_was_off) = (own.receipts_off, own.read_receipts_off);
        own.receipts_off = delivered.map_or(was_off, |on| !on);
        own.read_receipts_off = read.map_or(read_was_off, |on| !on);
        let forgets = (
            was_off && !own.receipts_off,
            read_was_off && !own.read_receipts_off,
        );
        self.forget_owed(forgets);
        let Some(own) = &mut self.account else {
            return;
        };
        own.receipts_ride_only = on_their_own.map_or(own.receipts_ride_only, |on| !on);
        if delivered.or(read).or(on_their_own).is_some() {
            self.save_account();
            self.arm_receipts(turn);
        }
        let settings = self.receipt_settings();
        self.answer(command, Ok(Answer::Receipts(settings)));
    }

    /// A kind is switched on again: what became due until then is not sent.
    fn forget_owed(&mut self, (delivered, read): (bool, bool)) {
        let mut changed = Vec::new();
        for contact in self.contacts.values_mut() {
            let before = contact.owed.clone();
            if delivered {
                contact.owed.delivered.clear();
                contact.owed.delivered_withheld.clear();
            }
            if read {
                contact.owed.read.clear();
                contact.owed.read_withheld.clear();
            }
            if contact.owed != before {
                changed.push(contact.account);
            }
        }
        for account in changed {
            self.save_contact(&account);
        }
    }

    /// Notes that a message arrived. One receipt for each arrival, duplicates included.
    pub(crate) fn owe_delivered(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        id: MessageId,
    ) {
        // ENV-42.
        self.owe(turn, account, id, |owed, accepted| {
            if accepted {
                &mut owed.delivered
            } else {
                &mut owed.delivered_withheld
            }
        });
    }

    /// Notes that a message was shown to the user.
    pub(crate) fn owe_read(&mut self, turn: &mut Turn<'_>, account: &AccountKey, id: MessageId) {
        // ENV-42, ENV-44.
        if !self.receipt_settings().read {
            return;
        }
        self.owe(turn, account, id, |owed, accepted| {
            if accepted {
                &mut owed.read
            } else {
                &mut owed.read_withheld
            }
        });
    }

    fn owe(
        &mut self,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        id: MessageId,
        list: impl Fn(&mut Owed, bool) -> &mut Vec<MessageId>,
    ) {
        let Some(contact) = self.contacts.get_mut(account) else {
            return;
        };
        if contact.blocked {
            return;
        }
        let accepted = contact.is_accepted();
        let list = list(&mut contact.owed, accepted);
        if list.len() < limits::RECEIPT_IDS_MAX && !list.contains(&id) {
            list.push(id);
        }
        if accepted && contact.owed.is_full() {
            // None may be lost: the sender would send the message again.
            self.ship_receipts(turn, *account);
        } else {
            self.save_contact(account);
        }
        self.receipts_owed(turn, account);
    }

    /// Something is owed to a contact: it leaves after a while, with what else comes until then.
    pub(crate) fn receipts_owed(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        // ENV-17, ENV-43, SES-23.
        let alone = self.receipt_settings().on_their_own;
        let timer = Timer::Receipts(*account);
        let Some(contact) = self.contacts.get_mut(account) else {
            return;
        };
        if !alone || !contact.is_accepted() || contact.owed.is_empty() {
            self.timers.clear(timer);
            return;
        }
        if self.timers.is_set(timer) {
            return;
        }
        let now_ms = turn.now.wall_ms;
        let latest_ms = now_ms.saturating_add(DELAY_MS.1);
        if contact.owed.leave_at_ms == 0 || contact.owed.leave_at_ms > latest_ms {
            let delay_ms = jitter(turn.rng, DELAY_MS.0, DELAY_MS.1);
            contact.owed.leave_at_ms = now_ms.saturating_add(delay_ms);
        }
        let delay_ms = contact.owed.leave_at_ms.saturating_sub(now_ms);
        self.timers.set(timer, turn.after_ms(delay_ms));
        self.save_contact(account);
    }

    /// After opening, or a change of the settings: what is owed leaves.
    pub(crate) fn arm_receipts(&mut self, turn: &mut Turn<'_>) {
        let accounts: Vec<AccountKey> = self
            .contacts
            .values()
            .filter(|contact| !contact.owed.is_empty())
            .map(|contact| contact.account)
            .collect();
        for account in accounts {
            self.receipts_owed(turn, &account);
        }
    }

    /// Puts what is owed to a contact in the outbox.
    pub(crate) fn ship_receipts(&mut self, turn: &mut Turn<'_>, account: AccountKey) {
        // While one is on its way the rest is gathered: a contact whose server takes nothing, and who goes on
        // writing, would otherwise fill the outbox.
        let has_room = |contact: &Contact| !contact.owed.is_empty() && !contact.owed.is_full();
        if self.outbox.holds_receipt(&account)
            && let Some(contact) = self.contacts.get_mut(&account).filter(|it| has_room(it))
        {
            let delay_ms = jitter(turn.rng, DELAY_MS.1, DELAY_MS.1.saturating_mul(2));
            contact.owed.leave_at_ms = turn.now.wall_ms.saturating_add(delay_ms);
            self.timers
                .set(Timer::Receipts(account), turn.after_ms(delay_ms));
            self.save_contact(&account);
            return;
        }
        let is_active = self.account.as_ref().is_some_and(|own| own.is_active());
        let was_heard = self
            .contacts
            .get(&account)
            .is_some_and(|contact| contact.is_accepted() && !contact.owed.delivered.is_empty());
        let receipts = self.take_receipts(&account, limits::RECEIPT_IDS_MAX);
        let mut receipts = receipts.into_iter();
        if let Some(first) = receipts.next() {
            let mut content = silent(
                MessageId::new(turn.id()),
                turn.now.wall_ms,
                Kind::Receipt(first),
            );
            content.receipts = receipts.collect();
            let parcel = Parcel::silent(v1::shipment_row::Kind::Receipt, content);
            self.ship(turn, account, &parcel);
            self.pump(turn, account);
        } else if is_active && was_heard {
            self.ship_control(turn, account);
        }
        // An acceptance may release more than one receipt holds.
        self.receipts_owed(turn, &account);
    }

    /// Takes receipts of up to `most` ids each that may leave now; saves the contact.
    pub(crate) fn take_receipts(&mut self, account: &AccountKey, most: usize) -> Vec<v1::Receipt> {
        let settings = self.receipt_settings();
        let is_active = self.account.as_ref().is_some_and(|own| own.is_active());
        let Some(contact) = self.contacts.get_mut(account) else {
            return Vec::new();
        };
        if !contact.is_accepted() || contact.owed.is_empty() {
            return Vec::new();
        }
        if !settings.delivered || !is_active {
            contact.owed.delivered.clear();
        }
        if !settings.read || !is_active {
            contact.owed.read.clear();
        }
        let receipts = contact.owed.take(most);
        if contact.owed.is_empty() {
            contact.owed.leave_at_ms = 0;
            self.timers.clear(Timer::Receipts(*account));
        }
        self.save_contact(account);
        receipts
    }
}
