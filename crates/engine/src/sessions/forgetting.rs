// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is destroyed: sessions of removed devices, superseded sessions, skipped keys beyond their
//! share or their time, and the memory of handshakes that nobody can replay any more.

use waxwing_proto::AccountKey;
use waxwing_ratchet::{HandshakeId, SessionId, SkippedId};

use super::{Peer, PeerDevice, Sessions, encoded};
use crate::journal::Journal;
use crate::keys;
use crate::prekeys::Prekeys;

impl Sessions {
    /// The oldest skipped keys of an account go where there are more than its share.
    pub(super) fn limit_skipped(&mut self, journal: &mut Journal, account: &AccountKey) {
        let sessions: Vec<SessionId> = self
            .devices_of(account)
            .iter()
            .filter_map(|peer| self.peers.get(peer))
            .flat_map(|peer| peer.sessions.keys().copied())
            .collect();
        let excess = self.tags.overflow(&sessions);
        self.forget_skipped(journal, &excess);
    }

    /// Destroys skipped keys.
    fn forget_skipped(&mut self, journal: &mut Journal, list: &[(SessionId, SkippedId)]) {
        for (session, id) in list {
            self.skipped.remove(&(*session, *id));
            journal.delete(keys::skipped_key(session.as_bytes(), id.to_bytes()));
            self.tags.forget(*session, *id);
        }
    }

    /// Destroys a session. That its handshake was seen is remembered.
    pub(super) fn forget_session(&mut self, journal: &mut Journal, id: SessionId) {
        let Some(peer) = self.owners.remove(&id) else {
            return;
        };
        self.tags.remove_session(id);
        let skipped: Vec<SkippedId> = self
            .skipped
            .keys()
            .filter(|(session, _)| *session == id)
            .map(|(_, skipped)| *skipped)
            .collect();
        for skipped in skipped {
            self.skipped.remove(&(id, skipped));
            journal.delete(keys::skipped_key(id.as_bytes(), skipped.to_bytes()));
        }
        let (account, device) = &peer;
        if let Some((slot, session)) = self
            .peers
            .get_mut(&peer)
            .and_then(|known| known.sessions.remove(&id))
        {
            journal.delete(keys::session_hot(account, device, slot));
            journal.delete(keys::session_prefix(account, device, slot));
            self.forget_rows(journal, id, &session);
        }
    }

    /// Destroys everything about a device that was removed from its account.
    pub(crate) fn forget_device(&mut self, journal: &mut Journal, peer: &Peer) {
        let sessions: Vec<SessionId> = self
            .peers
            .get(peer)
            .map(|known| known.sessions.keys().copied().collect())
            .unwrap_or_default();
        for session in sessions {
            self.forget_session(journal, session);
        }
        self.peers.remove(peer);
        journal.delete(keys::session_set(&peer.0, &peer.1));
        journal.delete(keys::session_clock(&peer.0, &peer.1));
    }

    /// Handshakes whose session is gone and whose signed pair is destroyed cannot be replayed.
    pub(crate) fn forget_handshakes(&mut self, journal: &mut Journal, prekeys: &Prekeys) {
        // SES-18.
        let gone: Vec<HandshakeId> = self
            .handshakes
            .iter()
            .filter(|(_, seen)| {
                prekeys.get(seen.signed_prekey).is_none()
                    && !self.owners.contains_key(&seen.session)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.handshakes.remove(&id);
            journal.delete(keys::handshake(id.as_bytes()));
        }
    }

    /// The mailbox was empty once: superseded sessions and old skipped keys go.
    pub(crate) fn drained(&mut self, journal: &mut Journal, began_at: u64, now: u64) {
        let mut expired = Vec::new();
        for ((account, device), known) in &mut self.peers {
            let before = known.set.clone();
            known.set.record_drained(began_at);
            let PeerDevice { set, sessions, .. } = known;
            expired.extend(set.expire(|id| sessions.get(&id).map(|(_, session)| session), now));
            if known.set != before {
                journal.put(keys::session_set(account, device), encoded(&known.set));
            }
        }
        for session in expired {
            self.forget_session(journal, session);
        }
        let today = u32::try_from(now.checked_div(86_400).unwrap_or(0)).unwrap_or(u32::MAX);
        let old = self.tags.expired(today);
        self.forget_skipped(journal, &old);
    }
}
