// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sessions with every device of every account, one's own other devices included: finding the
//! one that an envelope belongs to, sealing, opening, and the rows that each of these changes.

pub(crate) mod clock;
pub(crate) mod epoch_rows;
mod forgetting;
mod renewing;
mod unsealing;

use std::collections::BTreeMap;

use waxwing_identity::PrekeyBundle;
use waxwing_proto::{AccountKey, DeviceId};
use waxwing_ratchet::{
    Accepted, Continuation, HandshakeId, LocalDevice, Opened, RatchetError, SentHashes, Session,
    SessionId, SessionSet, SkippedId, SkippedRow, TagTable,
};
use zeroize::Zeroizing;

use self::clock::Clock;
pub(crate) use self::unsealing::{OpenedEnvelope, Unopened};
use crate::engine::Turn;
use crate::error::EngineError;
use crate::journal::Journal;
use crate::keys;
use crate::row::{Row, Table};

/// An account's device.
pub(crate) type Peer = (AccountKey, DeviceId);

/// The sessions with one device.
#[derive(Default)]
pub(crate) struct PeerDevice {
    pub(crate) set: SessionSet,
    /// The sessions with the slots of their rows.
    pub(crate) sessions: BTreeMap<SessionId, (u64, Session)>,
    pub(crate) clock: Clock,
}

impl PeerDevice {
    fn active(&self) -> Option<&Session> {
        self.session(self.set.active()?)
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).map(|(_, session)| session)
    }

    fn next_slot(&self) -> u64 {
        self.sessions
            .values()
            .map(|(slot, _)| slot.saturating_add(1))
            .max()
            .unwrap_or(1)
    }
}

/// A handshake that was seen: of a session that is kept or gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenHandshake {
    pub(crate) session: SessionId,
    pub(crate) signed_prekey: u32,
    /// Who made it.
    pub(crate) account: AccountKey,
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) peers: BTreeMap<Peer, PeerDevice>,
    pub(crate) owners: BTreeMap<SessionId, Peer>,
    pub(crate) tags: TagTable,
    pub(crate) skipped: BTreeMap<(SessionId, SkippedId), SkippedRow>,
    pub(crate) handshakes: BTreeMap<HandshakeId, SeenHandshake>,
    pub(crate) sent: BTreeMap<SessionId, SentHashes>,
}

impl Sessions {
    /// Whether an envelope for the device can be made without new prekeys.
    pub(crate) fn can_seal(&self, account: &AccountKey, device: &DeviceId) -> bool {
        self.peers
            .get(&(*account, *device))
            .and_then(PeerDevice::active)
            .is_some_and(|session| session.envelopes_left() > 0)
    }

    /// Whether anything is kept about a device.
    pub(crate) fn knows(&self, account: &AccountKey, device: &DeviceId) -> bool {
        self.peers.contains_key(&(*account, *device))
    }

    /// Whether nothing of the device has arrived in the active session.
    pub(crate) fn is_unanswered(&self, account: &AccountKey, device: &DeviceId) -> bool {
        self.peers.get(&(*account, *device)).is_none_or(|peer| {
            peer.active()
                .is_none_or(|session| !session.has_heard_peer())
        })
    }

    /// The devices of an account with which there are sessions.
    pub(crate) fn devices_of(&self, account: &AccountKey) -> Vec<Peer> {
        self.peers
            .keys()
            .filter(|(owner, _)| owner == account)
            .copied()
            .collect()
    }

    /// How many handshakes of an account are remembered.
    pub(crate) fn handshakes_of(&self, account: &AccountKey) -> usize {
        self.handshakes
            .values()
            .filter(|seen| seen.account == *account)
            .count()
    }

    /// Seals a content in the active session; the advanced session is staged.
    pub(crate) fn seal(
        &mut self,
        journal: &mut Journal,
        turn: &mut Turn<'_>,
        account: &AccountKey,
        device: &DeviceId,
        content: &[u8],
    ) -> Result<Vec<u8>, RatchetError> {
        let peer = self
            .peers
            .get_mut(&(*account, *device))
            .ok_or(RatchetError::SessionUnknown)?;
        let id = peer.set.active().ok_or(RatchetError::SessionUnknown)?;
        let (slot, session) = peer
            .sessions
            .get_mut(&id)
            .ok_or(RatchetError::SessionUnknown)?;
        let sealed = session.encrypt(content, turn.rng)?;
        journal.put(
            keys::session_hot(account, device, *slot),
            sealed.session.hot_row().into(),
        );
        *session = sealed.session;
        let now_ms = turn.now.wall_ms;
        peer.clock.follow(Some(id), now_ms);
        peer.clock.sent(session, now_ms);
        journal.put(keys::session_clock(account, device), peer.clock.to_row());
        Self::put_kem(journal, id, sealed.kem);
        self.record_sent(journal, id, &sealed.sent);
        Ok(sealed.envelope)
    }

    /// Begins a session with a device.
    pub(crate) fn begin(
        &mut self,
        journal: &mut Journal,
        turn: &mut Turn<'_>,
        own: &LocalDevice<'_>,
        account: &AccountKey,
        bundle: &PrekeyBundle,
    ) -> Result<(), RatchetError> {
        let peer = (*account, bundle.entry().id());
        let next = self.peers.get(&peer).map_or_else(
            || Continuation::first(0),
            |known| known.set.continuation(|id| known.session(id)),
        );
        let now = seconds(turn);
        let session = waxwing_ratchet::initiate_next(own, bundle, &next, now, turn.rng)?;
        let follows = self
            .peers
            .get(&peer)
            .filter(|known| known.active().is_some());
        let in_vain = follows.map(|known| known.clock.renews());
        let id = self.place(journal, peer, session, now)?;
        if let (Some(in_vain), Some(known)) = (in_vain, self.peers.get_mut(&peer))
            && known.set.active() == Some(id)
        {
            known.clock.renewed(in_vain);
            journal.put(keys::session_clock(&peer.0, &peer.1), known.clock.to_row());
        }
        Ok(())
    }

    /// Puts a session in its place beside the others with the device, and stages all rows of it.
    fn place(
        &mut self,
        journal: &mut Journal,
        peer: Peer,
        session: Session,
        now: u64,
    ) -> Result<SessionId, RatchetError> {
        let known = self.peers.entry(peer).or_default();
        let placed = known.set.place(&session, |id| known.session(id), now)?;
        let (id, slot) = (session.id(), known.next_slot());
        let (account, device) = &peer;
        journal.put(
            keys::session_hot(account, device, slot),
            session.hot_row().into(),
        );
        if let Some(prefix) = session.prefix_row() {
            journal.put(
                keys::session_prefix(account, device, slot),
                Zeroizing::new(prefix.to_vec()),
            );
        }
        journal.put(keys::session_set(account, device), encoded(&placed.set));
        self.tags.insert_session(&session);
        self.owners.insert(id, peer);
        let now_ms = now.saturating_mul(1000);
        known.clock.follow(placed.set.active(), now_ms);
        known.clock.heard_if_opened(&session, now_ms);
        journal.put(keys::session_clock(account, device), known.clock.to_row());
        known.set = placed.set;
        known.sessions.insert(id, (slot, session));
        for evicted in placed.evicted {
            self.forget_session(journal, evicted);
        }
        Ok(id)
    }

    /// Stages everything that the opening of an envelope changes. Returns the one-time pair that is used up.
    pub(crate) fn apply(
        &mut self,
        journal: &mut Journal,
        opened: OpenedEnvelope,
        now: u64,
    ) -> Result<Option<u32>, RatchetError> {
        match opened {
            OpenedEnvelope::Known {
                peer,
                session,
                opened,
            } => {
                self.apply_known(journal, peer, session, *opened, now);
                self.limit_skipped(journal, &peer.0);
                Ok(None)
            }
            OpenedEnvelope::First {
                accepted,
                handshake,
                signed_prekey,
            } => {
                let Accepted {
                    opened,
                    initiator,
                    one_time_used,
                } = *accepted;
                let Opened {
                    session,
                    skipped_added,
                    kem,
                    ..
                } = opened;
                let peer = (initiator.account, initiator.device.id());
                let id = self.place(journal, peer, session, now)?;
                Self::put_kem(journal, id, kem);
                let seen = SeenHandshake {
                    session: id,
                    signed_prekey,
                    account: peer.0,
                };
                journal.put(keys::handshake(handshake.as_bytes()), seen.to_row());
                self.handshakes.insert(handshake, seen);
                for row in &skipped_added {
                    self.tags.insert_skipped(id, row);
                }
                self.add_skipped(journal, id, skipped_added);
                self.limit_skipped(journal, &peer.0);
                Ok(one_time_used)
            }
        }
    }

    fn apply_known(
        &mut self,
        journal: &mut Journal,
        peer: Peer,
        id: SessionId,
        opened: Opened,
        now: u64,
    ) {
        let (account, device) = &peer;
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some((slot, session)) = known.sessions.get_mut(&id) else {
            return;
        };
        journal.put(
            keys::session_hot(account, device, *slot),
            opened.session.hot_row().into(),
        );
        *session = opened.session;
        Self::put_kem(journal, id, opened.kem);
        let now_ms = now.saturating_mul(1000);
        known.clock.follow(known.set.active(), now_ms);
        known.clock.heard(session, now_ms);
        journal.put(keys::session_clock(account, device), known.clock.to_row());
        if opened.prefix_ended {
            journal.delete(keys::session_prefix(account, device, *slot));
            let _known_in_set = known.set.record_prefix_ended(id, now);
            journal.put(keys::session_set(account, device), encoded(&known.set));
        }
        self.tags.apply(id, &opened.changes);
        if let Some(used) = opened.skipped_removed {
            self.skipped.remove(&(id, used));
            journal.delete(keys::skipped_key(id.as_bytes(), used.to_bytes()));
        }
        self.add_skipped(journal, id, opened.skipped_added);
    }

    fn add_skipped(&mut self, journal: &mut Journal, id: SessionId, rows: Vec<SkippedRow>) {
        for row in rows {
            journal.put(
                keys::skipped_key(id.as_bytes(), row.id().to_bytes()),
                row.encode().into(),
            );
            self.skipped.insert((id, row.id()), row);
        }
    }
}

impl SeenHandshake {
    fn to_row(self) -> Zeroizing<Vec<u8>> {
        let mut row = Zeroizing::new(self.signed_prekey.to_be_bytes().to_vec());
        row.extend_from_slice(self.session.as_bytes());
        row.extend_from_slice(self.account.as_bytes());
        row
    }

    /// Reads a row.
    pub(crate) fn from_row(row: &Row) -> Result<Self, EngineError> {
        let corrupt = EngineError::CorruptRow(Table::Handshakes);
        let (signed, rest) = row.value.split_first_chunk::<4>().ok_or(corrupt)?;
        let (session, account) = rest.split_first_chunk::<32>().ok_or(corrupt)?;
        Ok(Self {
            session: SessionId::new(*session),
            signed_prekey: u32::from_be_bytes(*signed),
            // Rows of before name nobody, and count for nobody.
            account: if account.is_empty() {
                AccountKey::new([0; AccountKey::LENGTH])
            } else {
                AccountKey::try_from(account).map_err(|_| corrupt)?
            },
        })
    }
}

fn encoded(set: &SessionSet) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(set.encode())
}

/// Seconds since the Unix epoch.
pub(crate) fn seconds(turn: &Turn<'_>) -> u64 {
    turn.now.wall_ms.checked_div(1000).unwrap_or(0)
}
