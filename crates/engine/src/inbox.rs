// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deliveries, one after the other: open, look up what the content refers to, then commit content
//! and advanced session in one batch, then acknowledge.
//!
//! Opening changes nothing. Between it and the commit no other envelope is opened and nothing is
//! sealed for the same account, so that the state that was read is the state that is advanced.

mod trials;

use prost::Message as _;
use waxwing_identity::{DeviceEntry, DeviceManifest};
use waxwing_proto::v1::content::Kind;
use waxwing_proto::v1::delivery::Event as DeliveryEvent;
use waxwing_proto::{AccountKey, MessageId, limits, v1};
use waxwing_ratchet::{LocalDevice, RatchetError};

use crate::effect::Effect;
use crate::engine::{Engine, Turn};
use crate::handed_over::HandedOver;
use crate::keys;
use crate::manifests::decode_all;
use crate::notice::{AlarmKind, Notice};
use crate::pending::Query;
use crate::row::{Row, RowKey, RowRange};
use crate::sessions::{OpenedEnvelope, Unopened, seconds};
use crate::timers::Timer;
use crate::trust::{self, Decision, Witness};

use self::trials::{Next, Queue};

/// Acknowledgements in one frame: well below what a server hands over unacknowledged.
const ACKNOWLEDGED_TOGETHER: usize = 16;

/// Receipts in one content: one of each kind.
const RECEIPTS_MAX: usize = 2;

/// What came and waits for its turn.
enum Waiting {
    Envelope(v1::StoredEnvelope),
    Drained,
}

/// A delivery that was opened and not committed yet.
pub(crate) struct InHand {
    pub(crate) envelope: v1::StoredEnvelope,
    pub(crate) opened: OpenedEnvelope,
    pub(crate) content: v1::Content,
}

/// Deliveries on their way in.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Queue,
    in_hand: Option<InHand>,
    /// Positions that are done with and were not told to the server.
    done: Vec<u64>,
    handed_over: HandedOver,
    /// Envelopes that nothing here can open, in this run.
    pub(crate) unopenable: u64,
}

impl Inbox {
    /// Whether a delivery of the account was opened and not committed yet.
    pub(crate) fn holds(&self, account: &AccountKey) -> bool {
        self.in_hand
            .as_ref()
            .is_some_and(|in_hand| in_hand.opened.peer().0 == *account)
    }

    /// The connection is gone: what was not opened comes again on the next one.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting.clear();
        self.done.clear();
        self.handed_over = HandedOver::default();
    }
}

impl Engine {
    pub(crate) fn delivered(&mut self, turn: &mut Turn<'_>, event: DeliveryEvent) {
        if let DeliveryEvent::Envelope(envelope) = &event {
            self.inbox.handed_over.add(envelope.position);
        }
        match event {
            DeliveryEvent::Envelope(envelope) => {
                self.inbox.waiting.push(Waiting::Envelope(envelope));
            }
            DeliveryEvent::Drained(_) => self.inbox.waiting.push(Waiting::Drained),
            DeliveryEvent::Acknowledged(_) => {}
        }
        self.empty_inbox(turn);
    }

    /// Takes deliveries until one has to wait for rows.
    pub(crate) fn empty_inbox(&mut self, turn: &mut Turn<'_>) {
        while self.inbox.in_hand.is_none() {
            let now_ms = turn.now.monotonic_ms;
            let next = self
                .inbox
                .waiting
                .next(&self.sessions, &self.prekeys, now_ms);
            match next {
                Next::Take(Waiting::Drained) => self.mailbox_drained(turn),
                Next::Take(Waiting::Envelope(envelope)) => self.take_delivery(turn, envelope),
                Next::Later(due_ms) => {
                    self.timers.set(Timer::Untried, due_ms);
                    self.tell_acknowledged();
                    return;
                }
                Next::Nothing => {
                    self.tell_acknowledged();
                    return;
                }
            }
        }
    }

    fn mailbox_drained(&mut self, turn: &Turn<'_>) {
        let began_ms = self.connection.drain_began_ms;
        self.sessions.drained(
            &mut self.journal,
            began_ms.checked_div(1000).unwrap_or(0),
            seconds(turn),
        );
        self.forget_replaced_prekeys(began_ms);
        self.notify(Notice::Drained);
    }

    fn take_delivery(&mut self, turn: &mut Turn<'_>, envelope: v1::StoredEnvelope) {
        // ENV-8, BOX-21.
        let opened = match self.open_envelope(turn, &envelope.envelope) {
            Ok(opened) => opened,
            Err(unopened) if self.is_forgotten(&unopened) => {
                if let Some((account, _)) = unopened.peer {
                    self.meet(turn, &account);
                }
                self.acknowledge(envelope.position);
                return;
            }
            Err(unopened) => {
                // Only the holder of a known device's key can cause an alarm: it was cloned or restored,
                // or its account's chain was forked.
                let alarm = unopened
                    .alarm
                    .or(unopened.error.is_alarm().then_some(AlarmKind::ClonedDevice));
                if let (Some(alarm), Some((account, _))) = (alarm, unopened.peer) {
                    self.raise(&account, alarm);
                }
                self.inbox.unopenable = self.inbox.unopenable.saturating_add(1);
                self.acknowledge(envelope.position);
                return;
            }
        };
        let Ok(content) = v1::Content::decode(opened.content()) else {
            // BOX-45.
            // A peer wrote what is no content: its session advances, and nothing is shown. One that begins
            // with that is nobody: a session without a request would be bounded by nothing.
            if matches!(opened, OpenedEnvelope::Known { .. }) {
                self.settle_without_content(turn, opened);
            } else {
                self.inbox.unopenable = self.inbox.unopenable.saturating_add(1);
            }
            self.acknowledge(envelope.position);
            return;
        };
        let peer = opened.peer().0;
        let refers_to = refers_to(&peer, &content);
        self.inbox.in_hand = Some(InHand {
            envelope,
            opened,
            content,
        });
        if refers_to.is_empty() {
            self.inbox_loaded(turn, &[]);
        } else {
            self.load(RowRange::Keys(refers_to), Query::Inbox);
        }
    }

    /// Whether somebody goes on with a session that this profile forgot together with the contact: that
    /// is a message request, whose content nothing here can open.
    fn is_forgotten(&self, unopened: &Unopened) -> bool {
        // SES-60.
        let Some((account, device)) = unopened.peer else {
            return false;
        };
        unopened.error == RatchetError::ContinuityUnknown
            && !self.sessions.knows(&account, &device)
            && !self.contacts.contains_key(&account)
            && self.own_key() != Some(account)
            && !self.requests_are_full(&account)
    }

    fn open_envelope(&mut self, turn: &Turn<'_>, bytes: &[u8]) -> Result<OpenedEnvelope, Unopened> {
        let (Some(account), Some(manifest)) = (&self.account, self.own_manifest()) else {
            return Err(RatchetError::SessionUnknown.into());
        };
        let own = LocalDevice {
            account: account.key.ok_or(RatchetError::SessionUnknown)?,
            device: account.device,
            secrets: &account.secrets,
            manifest,
        };
        let opened = self
            .sessions
            .open(&own, bytes, &self.prekeys, seconds(turn))?;
        if let OpenedEnvelope::First { accepted, .. } = &opened {
            let initiator = &accepted.initiator;
            let carried = v1::Content::decode(opened.content())
                .map(|content| content.manifests)
                .unwrap_or_default();
            // ENV-62: they are verified now or when the content is received.
            let count = carried.len().min(limits::MANIFESTS_PER_ANSWER_MAX);
            let cost_us = u64::try_from(count)
                .unwrap_or(u64::MAX)
                .saturating_mul(limits::TRIAL_MANIFEST_US);
            self.inbox.waiting.charge(cost_us);
            self.check_initiator(&initiator.manifest, &initiator.device, &carried)
                .map_err(|alarm| Unopened {
                    error: RatchetError::ManifestInvalid,
                    peer: Some(opened.peer()),
                    alarm,
                })?;
        }
        Ok(opened)
    }

    /// May the device that began a session speak for its account? Decided on what it carries and what
    /// is pinned; the server is not asked about the sender.
    ///
    /// # Errors
    /// The alarm to show, if any.
    fn check_initiator(
        &self,
        manifest: &DeviceManifest,
        device: &DeviceEntry,
        carried: &[bytes::Bytes],
    ) -> Result<(), Option<AlarmKind>> {
        // SES-20, IDN-28.
        let account = manifest.account();
        let pinned = self.accepted_manifest(account);
        if pinned.is_none() && self.requests_are_full(account) {
            return Err(None);
        }
        // BOX-46: each is remembered until its session is gone and its signed pair destroyed.
        if self.sessions.handshakes_of(account) >= limits::HANDSHAKES_PER_ACCOUNT_MAX {
            return Err(None);
        }
        let pinned_lists = pinned.is_some_and(|pinned| {
            pinned
                .device(&device.id())
                .is_some_and(|entry| entry.keys() == device.keys())
        });
        let decide = |known: &[_]| trust::decide(account, pinned, manifest, known, Witness::Peer);
        // Seventeen signatures each: they are looked at where they are needed.
        let decision = match decide(&[]) {
            Decision::Fetch { .. } if !carried.is_empty() => decide(&decode_all(carried)),
            decision => decision,
        };
        match decision {
            Decision::Accept { .. } | Decision::AcceptAndBlock(_) => Ok(()),
            // An older version may have travelled for weeks: the pinned one decides.
            Decision::Keep | Decision::Behind if pinned_lists => Ok(()),
            Decision::Fetch { .. } if pinned_lists => Ok(()),
            Decision::Fetch { .. } => pinned
                .and_then(|pinned| waxwing_identity::check_provisional(pinned, manifest).ok())
                .map(drop)
                .ok_or(None),
            // The alarm is shown when the content is received.
            Decision::Block(_) if pinned_lists => Ok(()),
            Decision::Block(alarm) => Err(Some(alarm)),
            Decision::Keep | Decision::Behind | Decision::Refuse => Err(None),
        }
    }

    /// Whether there is no room for another stranger.
    fn requests_are_full(&self, account: &AccountKey) -> bool {
        !self.contacts.contains_key(account)
            && self.own_key() != Some(*account)
            && self
                .contacts
                .values()
                .filter(|contact| contact.request_pending && !contact.blocked)
                .count()
                >= limits::MESSAGE_REQUESTS_MAX
    }

    /// The rows are here: the delivery in hand is committed and acknowledged.
    pub(crate) fn inbox_loaded(&mut self, turn: &mut Turn<'_>, rows: &[Row]) {
        let Some(in_hand) = self.inbox.in_hand.take() else {
            return;
        };
        let position = in_hand.envelope.position;
        let account = in_hand.opened.peer().0;
        self.receive(turn, in_hand, rows);
        self.acknowledge(position);
        if self.journal.is_large() {
            self.journal.checkpoint();
        }
        self.pump(turn, account);
        self.empty_inbox(turn);
    }

    /// Advances a session by an envelope of which nothing else is kept.
    fn settle_without_content(&mut self, turn: &Turn<'_>, opened: OpenedEnvelope) {
        self.apply_opened(turn, opened);
    }

    /// Stages the advanced session; a one-time pair that was used is destroyed in the same batch.
    pub(crate) fn apply_opened(&mut self, turn: &Turn<'_>, opened: OpenedEnvelope) -> bool {
        // PRE-16, SES-17, SES-111.
        if self.sessions.is_foreign(&opened)
            && let Some(own) = self.own_key()
        {
            self.raise(&own, AlarmKind::ClonedDevice);
        }
        let (account, _) = opened.peer();
        match self
            .sessions
            .apply(&mut self.journal, opened, seconds(turn))
        {
            Ok(used) => {
                self.weigh_renewals(&account);
                if let Some(id) = used {
                    self.forget_prekey(id);
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Notes that an envelope is done with. Several are told to the server together.
    fn acknowledge(&mut self, position: u64) {
        self.inbox.done.push(position);
        if self.inbox.done.len() >= ACKNOWLEDGED_TOGETHER {
            self.tell_acknowledged();
        }
    }

    fn tell_acknowledged(&mut self) {
        let positions = core::mem::take(&mut self.inbox.done);
        if !positions.is_empty() {
            let (up_to, positions) = self.inbox.handed_over.done(positions);
            self.journal.push(Effect::Acknowledge {
                after: None,
                up_to,
                positions,
            });
        }
    }
}

/// The index rows that decide what becomes of a content.
fn refers_to(peer: &AccountKey, content: &v1::Content) -> Vec<RowKey> {
    let id = |bytes: &bytes::Bytes| MessageId::try_from(bytes.as_ref()).ok();
    let mut keys: Vec<RowKey> = receipts_in(content)
        .flat_map(|receipt| receipt.message_ids.iter().take(limits::RECEIPT_IDS_MAX))
        .filter_map(id)
        .map(|id| keys::sent_index(peer, &id))
        .collect();
    let itself: Vec<RowKey> = match &content.kind {
        Some(Kind::SentCopy(copy)) => {
            let inner = v1::Content::decode(copy.content.clone()).ok();
            let account = AccountKey::try_from(copy.account_key.as_ref()).ok();
            inner
                .as_ref()
                .and_then(|inner| id(&inner.message_id))
                .zip(account)
                .map(|(id, account)| keys::sent_index(&account, &id))
                .into_iter()
                .collect()
        }
        Some(Kind::Receipt(_) | Kind::AccountState(_) | Kind::Control(_)) => Vec::new(),
        Some(Kind::Text(_)) | None => id(&content.message_id)
            .map(|id| keys::message_index(peer, &id))
            .into_iter()
            .collect(),
    };
    keys.extend(itself);
    keys
}

/// The receipts of a content: its own, and those that ride on it; no more than there are kinds.
pub(crate) fn receipts_in(content: &v1::Content) -> impl Iterator<Item = &v1::Receipt> {
    // ENV-43.
    let itself = match &content.kind {
        Some(Kind::Receipt(receipt)) => Some(receipt),
        _ => None,
    };
    itself
        .into_iter()
        .chain(&content.receipts)
        .take(RECEIPTS_MAX)
}

/// A content within its bounds.
pub(crate) fn within_bounds(content: &v1::Content) -> bool {
    // ENV-18.
    let text = match &content.kind {
        Some(Kind::Text(text)) => text.body.len(),
        _ => 0,
    };
    text <= limits::TEXT_SIZE_MAX && content.seen.len() <= limits::SEEN_REFERENCES_MAX
}
