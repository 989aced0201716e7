// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The horizon: what is done about silence. Contents that were accepted by a server and lost behind
//! it are sent again; a session in which nobody answers is followed by a new one, which the oldest
//! content without a receipt opens. A timer looks once an hour, so that silence alone is enough.

use waxwing_proto::v1::content::Kind;
use waxwing_proto::v1::shipment_row;
use waxwing_proto::{AccountKey, DeviceId, MessageId, limits, v1};

use crate::content::silent;
use crate::engine::{Engine, Turn};
use crate::keys;
use crate::outbox::shipment::Shipment;
use crate::outbox::unreceipted::Unreceipted;
use crate::sending::Parcel;
use crate::sessions::clock::Renewal;
use crate::timers::{Timer, jitter};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// The timer runs out after an hour and up to this much, so that devices do not keep step.
const LOOK_JITTER_MS: u64 = 600_000;

impl Engine {
    /// A server has accepted a shipment: what a receipt is due for is kept until it is there.
    pub(crate) fn await_receipts(&mut self, turn: &mut Turn<'_>, number: u64, shipment: &Shipment) {
        // SES-63.
        if shipment.kind != shipment_row::Kind::Text || self.own_key() == Some(shipment.account) {
            return;
        }
        let now_ms = turn.now.wall_ms;
        let known = self
            .outbox
            .unreceipted
            .find(&shipment.account, &shipment.message_id);
        let (number, content) = match known {
            Some((number, known)) => (
                number,
                Unreceipted {
                    sent_at_ms: now_ms,
                    sendings: known.sendings.saturating_add(1),
                    ..known.clone()
                },
            ),
            None if is_repeated(shipment) => return,
            None => (
                number,
                Unreceipted {
                    account: shipment.account,
                    message_id: shipment.message_id,
                    cursor: shipment.cursor,
                    created_at_ms: shipment.created_at_ms,
                    sent_at_ms: now_ms,
                    sendings: 1,
                    devices: shipment.envelopes.keys().copied().collect(),
                    content: shipment.content.clone(),
                },
            ),
        };
        self.keep_unreceipted(number, content);
        while let Some(oldest) = self.outbox.unreceipted.excess() {
            self.forget_unreceipted(oldest);
        }
        self.arm_horizon(turn);
    }

    /// A device of the recipient has sent a receipt.
    pub(crate) fn receipted(&mut self, account: &AccountKey, device: DeviceId, id: &MessageId) {
        let Some((number, known)) = self.outbox.unreceipted.find(account, id) else {
            return;
        };
        let mut content = known.clone();
        content.devices.remove(&device);
        self.keep_unreceipted(number, content);
    }

    fn keep_unreceipted(&mut self, number: u64, content: Unreceipted) {
        if content.devices.is_empty() {
            self.forget_unreceipted(number);
            return;
        }
        self.journal
            .put(keys::unreceipted(number), content.to_row());
        self.outbox.unreceipted.put(number, content);
    }

    fn forget_unreceipted(&mut self, number: u64) {
        self.journal.delete(keys::unreceipted(number));
        self.outbox.unreceipted.remove(number);
    }

    /// Whether a shipment still has to reach anybody: what is sent again goes to all devices, since a
    /// server wants the whole list, as long as one of them lacks it.
    pub(crate) fn is_wanted(&self, shipment: &Shipment, devices: &[DeviceId]) -> bool {
        let known = self
            .outbox
            .unreceipted
            .find(&shipment.account, &shipment.message_id);
        match known {
            Some((_, known)) => devices.iter().any(|d| known.devices.contains(d)),
            None => !is_repeated(shipment) && !devices.is_empty(),
        }
    }

    /// Looks again in an hour, as long as there is something to look at.
    pub(crate) fn arm_horizon(&mut self, turn: &mut Turn<'_>) {
        if !self.outbox.unreceipted.is_empty() && !self.timers.is_set(Timer::Horizon) {
            let delay = HOUR_MS.saturating_add(jitter(turn.rng, 0, LOOK_JITTER_MS));
            self.timers.set(Timer::Horizon, turn.after_ms(delay));
        }
    }

    /// Sends again what should have arrived, and opens new sessions where nobody answers.
    pub(crate) fn horizon_due(&mut self, turn: &mut Turn<'_>) {
        for account in self.outbox.unreceipted.accounts() {
            self.forget_what_is_over(turn, &account);
            if self.is_horizon_reached(turn, &account) {
                self.repeat_oldest(turn, &account);
            }
            for number in self.lost_contents(turn, &account) {
                self.repeat(turn, number, false);
            }
            self.pump(turn, account);
        }
        self.arm_horizon(turn);
    }

    /// Contents that nobody waits for any more: too old, or for devices that are gone.
    fn forget_what_is_over(&mut self, turn: &Turn<'_>, account: &AccountKey) {
        let Some(manifest) = self.accepted_manifest(account).cloned() else {
            return;
        };
        let kept_ms = u64::from(limits::RETENTION_DAYS).saturating_mul(DAY_MS);
        let all: Vec<(u64, Unreceipted)> = self
            .outbox
            .unreceipted
            .of(account)
            .map(|(number, content)| (number, content.clone()))
            .collect();
        for (number, mut content) in all {
            let before = content.devices.len();
            content
                .devices
                .retain(|device| manifest.device(device).is_some());
            if turn.now.wall_ms.saturating_sub(content.created_at_ms) > kept_ms {
                content.devices.clear();
            }
            if content.devices.len() != before {
                self.keep_unreceipted(number, content);
            }
        }
    }

    /// Whether a device that lacks contents has a session that should be followed by a new one.
    fn is_horizon_reached(&self, turn: &Turn<'_>, account: &AccountKey) -> bool {
        let lacking = self.outbox.unreceipted.of(account);
        let mut devices = lacking.flat_map(|(_, content)| content.devices.iter());
        devices.any(|device| self.renewal(turn, account, device) != Renewal::NotDue)
    }

    /// Whether the active session with a device should be followed by a new one.
    pub(crate) fn renewal(
        &self,
        turn: &Turn<'_>,
        account: &AccountKey,
        device: &DeviceId,
    ) -> Renewal {
        self.sessions.renewal(account, device, turn.now.wall_ms)
    }

    /// What was sent a day ago or earlier and should have been acknowledged.
    fn lost_contents(&self, turn: &Turn<'_>, account: &AccountKey) -> Vec<u64> {
        // SES-64.
        let lost = |content: &&Unreceipted| {
            may_repeat(content, turn.now.wall_ms)
                && content.devices.iter().any(|device| {
                    self.sessions
                        .clock(account, device)
                        .is_some_and(|clock| clock.should_have_arrived(content.sent_at_ms))
                })
        };
        let all = self.outbox.unreceipted.of(account);
        all.filter(|(_, content)| lost(content))
            .map(|(number, _)| number)
            .collect()
    }

    /// Puts the oldest content without a receipt in front of its lane: it opens the new session.
    /// Whether there is one that was not sent within a day.
    pub(crate) fn repeat_oldest(&mut self, turn: &mut Turn<'_>, account: &AccountKey) -> bool {
        // SES-65.
        let oldest = {
            let mut all = self.outbox.unreceipted.of(account);
            let found = all.find(|(_, content)| may_repeat(content, turn.now.wall_ms));
            found.map(|(number, _)| number)
        };
        oldest.is_some_and(|number| self.repeat(turn, number, true))
    }

    /// Puts a content in its lane again, under its old message id, unless it is there already.
    fn repeat(&mut self, turn: &mut Turn<'_>, number: u64, in_front: bool) -> bool {
        let Some(known) = self.outbox.unreceipted.get(number).cloned() else {
            return false;
        };
        if self.outbox.is_under_way(&known.account, &known.message_id) {
            return false;
        }
        let content = self.decorate(turn, &known.account, &known.content, true);
        let shipment = Shipment {
            number: self.counters.take_shipment(),
            account: known.account,
            kind: shipment_row::Kind::Text,
            message_id: known.message_id,
            cursor: known.cursor,
            created_at_ms: known.created_at_ms,
            content,
            sealed: true,
            manifest_version: 0,
            envelopes: std::collections::BTreeMap::new(),
            awaited_device: None,
        };
        self.save_counters();
        self.journal
            .put(keys::shipment(shipment.number), shipment.to_row());
        if in_front {
            self.outbox.add_in_front(shipment);
        } else {
            self.outbox.add(shipment);
        }
        true
    }

    /// A content that shows nothing, in place of receipts that the user has switched off: it makes a
    /// turn, so that keys go on healing. Seldom, and never an answer to one of its kind.
    pub(crate) fn ship_control(&mut self, turn: &mut Turn<'_>, account: AccountKey) {
        // SES-66.
        let pause_ms = u64::from(limits::CONTROL_HOURS_MIN).saturating_mul(HOUR_MS);
        let last_ms = self.sessions.last_control_ms(&account);
        if turn.now.wall_ms.saturating_sub(last_ms) < pause_ms {
            return;
        }
        self.sessions
            .note_control(&mut self.journal, &account, turn.now.wall_ms);
        let kind = Kind::Control(v1::Control {});
        let content = silent(MessageId::new(turn.id()), turn.now.wall_ms, kind);
        let parcel = Parcel::silent(shipment_row::Kind::Control, content);
        self.ship(turn, account, &parcel);
        self.pump(turn, account);
    }
}

/// A shipment that is sent again has its final content before any envelope.
const fn is_repeated(shipment: &Shipment) -> bool {
    shipment.sealed && shipment.manifest_version == 0
}

/// Once a day, and a few times in all.
fn may_repeat(content: &Unreceipted, now_ms: u64) -> bool {
    let pause_ms = u64::from(limits::RESEND_HOURS).saturating_mul(HOUR_MS);
    content.sendings <= limits::RESENDS_MAX && now_ms.saturating_sub(content.sent_at_ms) >= pause_ms
}
