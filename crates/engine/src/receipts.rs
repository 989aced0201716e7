// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Delivered receipts: gathered for a while, then one content for all of them. None to strangers and
//! none for what shows nothing; what a stranger is owed leaves when the user accepts.

use waxwing_proto::v1::content::Kind;
use waxwing_proto::{AccountKey, MessageId, v1};

use crate::codec;
use crate::content::silent;
use crate::engine::{Engine, Turn};
use crate::sending::Parcel;
use crate::timers::{Timer, jitter};

/// Receipts leave after a delay between these, in milliseconds.
const DELAY_MS: (u64, u64) = (1000, 30_000);

impl Engine {
    /// Something is owed to a contact: it leaves after a while, with what else comes until then.
    pub(crate) fn receipts_owed(&mut self, turn: &mut Turn<'_>, account: &AccountKey) {
        // ENV-17, SES-23.
        let owed = self
            .contacts
            .get(account)
            .is_some_and(|contact| contact.is_accepted() && !contact.receipts_due.is_empty());
        let timer = Timer::Receipts(*account);
        if owed && !self.timers.is_set(timer) {
            let delay = jitter(turn.rng, DELAY_MS.0, DELAY_MS.1);
            self.timers.set(timer, turn.after_ms(delay));
        }
    }

    /// After opening: what is owed still leaves.
    pub(crate) fn arm_receipts(&mut self, turn: &mut Turn<'_>) {
        let accounts: Vec<AccountKey> = self.contacts.keys().copied().collect();
        for account in accounts {
            self.receipts_owed(turn, &account);
        }
    }

    /// Puts what is owed to a contact in the outbox.
    pub(crate) fn ship_receipts(&mut self, turn: &mut Turn<'_>, account: AccountKey) {
        let Some(own) = self.account.as_ref() else {
            return;
        };
        let (off, is_active) = (own.receipts_off, own.is_active());
        let Some(contact) = self.contacts.get_mut(&account) else {
            return;
        };
        if !contact.is_accepted() || contact.receipts_due.is_empty() {
            return;
        }
        let due = core::mem::take(&mut contact.receipts_due);
        self.save_contact(&account);
        if off || !is_active {
            if is_active {
                self.ship_control(turn, account);
            }
            return;
        }
        let kind = Kind::Receipt(v1::Receipt {
            kind: v1::receipt::Kind::Delivered.into(),
            message_ids: codec::message_ids_to_wire(&due),
        });
        let content = silent(MessageId::new(turn.id()), turn.now.wall_ms, kind);
        let parcel = Parcel::silent(v1::shipment_row::Kind::Receipt, content);
        self.ship(turn, account, &parcel);
        self.pump(turn, account);
    }
}
