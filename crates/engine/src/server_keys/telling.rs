// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How those who write to this account learn of its server's other keys.

use waxwing_proto::v1::content::Kind;
use waxwing_proto::{AccountKey, MessageId, limits, v1};

use crate::account::Account;
use crate::contacts::Contact;
use crate::content::silent;
use crate::engine::{Engine, Turn};
use crate::sending::Parcel;
use crate::timers::{Timer, jitter};

/// Contacts elsewhere are told of other keys after a delay between these, in milliseconds, each after one
/// of its own: all at once would show their servers who belongs together.
const TOLD_AFTER_MS: (u64, u64) = (1_000, 600_000);
/// Between two contents to one contact that show nothing.
const PAUSE_MS: u64 = limits::CONTROL_HOURS_MIN as u64 * 3_600_000;
/// A time that passed longer ago passed while this device slept.
const LATE_MS: u64 = 10_000;

fn told_after_ms(turn: &mut Turn<'_>) -> u64 {
    jitter(turn.rng, TOLD_AFTER_MS.0, TOLD_AFTER_MS.1)
}

impl Engine {
    /// Contacts are to be told of the address anew: with the next content, and where `alone` and they are
    /// elsewhere with one of its own. Those on the same server, the `neighbours`, learn its keys themselves,
    /// and are known by these from now on: however many follow, their routes name one of them.
    pub(super) fn owe_address(
        &mut self,
        turn: &mut Turn<'_>,
        alone: bool,
        neighbours: &[AccountKey],
    ) {
        // TRN-96.
        let Some(own) = self.own_server() else { return };
        let mut changed = Vec::new();
        for contact in self.contacts.values_mut() {
            let before = (contact.address_due, contact.address_leaves_at_ms);
            let mut is_moved = false;
            if neighbours.binary_search(&contact.account).is_ok()
                && let Some(route) = &mut contact.route
            {
                is_moved = route.server != own;
                route.server = own.clone();
            }
            contact.address_due = true;
            let is_given = contact.given.is_some_and(|given| given.active);
            let route = contact.route.as_ref().filter(|_| is_given);
            let is_elsewhere = route.is_some_and(|route| !route.server.is_at(&own));
            // A time that is set stands: who announces key after key puts nothing off.
            let is_free = contact.address_leaves_at_ms == 0;
            if alone && is_free && contact.is_accepted() && is_elsewhere {
                contact.address_leaves_at_ms = turn.now.wall_ms.saturating_add(told_after_ms(turn));
            }
            if is_moved || before != (contact.address_due, contact.address_leaves_at_ms) {
                changed.push(contact.account);
            }
        }
        for account in changed {
            if self.journal.is_large() {
                self.journal.checkpoint();
            }
            self.save_contact(&account);
            self.arm_address(turn, account);
        }
    }

    /// What is overdue leaves after another delay: a client that was away tells nobody at once.
    fn arm_address(&mut self, turn: &mut Turn<'_>, account: AccountKey) {
        let timer = Timer::Address(account);
        let Some(contact) = self.contacts.get_mut(&account) else {
            return;
        };
        if contact.address_leaves_at_ms == 0 {
            self.timers.clear(timer);
            return;
        }
        let now_ms = turn.now.wall_ms;
        // A clock that was set back keeps nobody waiting.
        let latest_ms = now_ms.saturating_add(PAUSE_MS.max(TOLD_AFTER_MS.1));
        if contact.address_leaves_at_ms <= now_ms || contact.address_leaves_at_ms > latest_ms {
            // Not saved: after a restart there is another one.
            contact.address_leaves_at_ms = now_ms.saturating_add(told_after_ms(turn));
        }
        let delay_ms = contact.address_leaves_at_ms.saturating_sub(now_ms);
        self.timers.set(timer, turn.after_ms(delay_ms));
    }

    /// After opening, and where the connection is up again: what the rows say is owed.
    pub(crate) fn arm_addresses(&mut self, turn: &mut Turn<'_>) {
        let owed = |contact: &&Contact| contact.address_leaves_at_ms > 0;
        let owed = self.contacts.values().filter(owed);
        let accounts: Vec<AccountKey> = owed.map(|contact| contact.account).collect();
        for account in accounts {
            self.arm_address(turn, account);
        }
    }

    /// Tells a contact of the address, with a content that shows nothing.
    pub(crate) fn ship_address(&mut self, turn: &mut Turn<'_>, account: AccountKey) {
        let is_active = self.account.as_ref().is_some_and(Account::is_active);
        let Some(contact) = self.contacts.get_mut(&account) else {
            return;
        };
        if !is_active || !contact.is_accepted() || !contact.address_due {
            contact.address_leaves_at_ms = 0;
            self.save_contact(&account);
            return;
        }
        // The connection that is up next arms it again.
        if !self.connection.subscribed {
            return;
        }
        let now_ms = turn.now.wall_ms;
        // TRN-96. One that was late was held up with all others. What waits in the lane names the address
        // when it leaves.
        let leaves_at_ms = contact.address_leaves_at_ms;
        let is_late = now_ms.saturating_sub(leaves_at_ms) > LATE_MS;
        if is_late || now_ms < leaves_at_ms || self.outbox.holds_unsealed(&account) {
            self.arm_address(turn, account);
            return;
        }
        let last_ms = self.sessions.last_control_ms(&account);
        let is_soon = |since_ms: u64| since_ms < PAUSE_MS;
        if now_ms.checked_sub(last_ms).is_some_and(is_soon) {
            if let Some(contact) = self.contacts.get_mut(&account) {
                contact.address_leaves_at_ms = last_ms.saturating_add(PAUSE_MS);
            }
            self.save_contact(&account);
            self.arm_address(turn, account);
            return;
        }
        if let Some(contact) = self.contacts.get_mut(&account) {
            contact.address_leaves_at_ms = 0;
        }
        self.save_contact(&account);
        self.sessions
            .note_control(&mut self.journal, &account, now_ms);
        let kind = Kind::Control(v1::Control {});
        let content = silent(MessageId::new(turn.id()), now_ms, kind);
        let parcel = Parcel::silent(v1::shipment_row::Kind::Control, content);
        self.ship(turn, account, &parcel);
        self.pump(turn, account);
    }

    /// A content that is about to be sealed names the address: nothing is owed then.
    pub(crate) fn address_told(&mut self, account: &AccountKey) {
        let Some(contact) = self.contacts.get_mut(account) else {
            return;
        };
        if contact.address_due {
            contact.address_due = false;
            contact.address_leaves_at_ms = 0;
            self.timers.clear(Timer::Address(*account));
            self.save_contact(account);
        }
    }
}
