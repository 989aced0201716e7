// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is in the outbox, contact by contact, and why it has not left.

use waxwing_proto::{AccountKey, limits};

use crate::command::{Held, Waiting};
use crate::engine::Engine;
use crate::labels::short_label;
use crate::outbox::lane::Rest;

impl Engine {
    /// Each account that something waits for, with the reason.
    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        let own = self.own_key();
        let accounts = self.outbox.accounts();
        let wait = accounts.into_iter().map(|account| Waiting {
            account,
            label: (own != Some(account)).then(|| {
                let contact = self.contacts.get(&account);
                contact.map_or_else(|| short_label(&account), |contact| contact.label.clone())
            }),
            contents: self.outbox.contents_for(&account),
            held: self
                .withheld(&account)
                .or(match self.outbox.rest(&account) {
                    Rest::Other => None,
                    Rest::Unreached => Some(Held::Unreachable),
                    Rest::Refused(code) => Some(Held::Refused(code)),
                }),
        });
        wait.collect()
    }

    /// Why this device itself lets nothing leave for an account.
    pub(crate) fn withheld(&self, account: &AccountKey) -> Option<Held> {
        // IDN-25, IDN-29, IDN-66.
        if self.own_key() == Some(*account) {
            return self.account.as_ref()?.alarms.blocking().map(Held::Alarm);
        }
        let contact = self.contacts.get(account)?;
        if !contact.is_accepted() {
            return Some(Held::NotAccepted);
        }
        if let Some(alarm) = contact.alarms.blocking() {
            return Some(Held::Alarm(alarm));
        }
        let full = contact.unanswered >= limits::UNANSWERED_CONTENTS_MAX;
        (!contact.answered && full).then_some(Held::NotAnswered)
    }
}
