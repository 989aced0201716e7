// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An envelope that came: what it costs to find out whose it is, the session that opens it, or the
//! handshake that it begins. Nothing changes here; what follows from an opening is applied later.

use waxwing_proto::limits;
use waxwing_ratchet::{
    Accepted, Claim, Envelope, Found, HandshakeId, LocalDevice, Opened, RatchetError,
    ResponderKeys, SessionId,
};

use super::{Peer, PeerDevice, Sessions};
use crate::notice::AlarmKind;
use crate::prekeys::Prekeys;

/// An envelope that was opened. Nothing has changed yet.
pub(crate) enum OpenedEnvelope {
    /// In a session that exists.
    Known {
        peer: Peer,
        session: SessionId,
        opened: Box<Opened>,
    },
    /// The first of a session that a peer began.
    First {
        accepted: Box<Accepted>,
        handshake: HandshakeId,
        signed_prekey: u32,
    },
}

impl OpenedEnvelope {
    /// Who wrote it.
    pub(crate) fn peer(&self) -> Peer {
        match self {
            Self::Known { peer, .. } => *peer,
            Self::First { accepted, .. } => {
                (accepted.initiator.account, accepted.initiator.device.id())
            }
        }
    }

    /// The content.
    pub(crate) fn content(&self) -> &[u8] {
        match self {
            Self::Known { opened, .. } => &opened.content,
            Self::First { accepted, .. } => &accepted.opened.content,
        }
    }
}

/// Why an envelope was not opened, and whose it is where a session says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unopened {
    pub(crate) error: RatchetError,
    pub(crate) peer: Option<Peer>,
    /// What the trust decision says beside the error.
    pub(crate) alarm: Option<AlarmKind>,
}

impl From<RatchetError> for Unopened {
    fn from(error: RatchetError) -> Self {
        Self {
            error,
            peer: None,
            alarm: None,
        }
    }
}

impl Sessions {
    /// Finds the session of an envelope and opens it, or the handshake that it begins. Nothing changes.
    pub(crate) fn open(
        &self,
        own: &LocalDevice<'_>,
        bytes: &[u8],
        prekeys: &Prekeys,
        now: u64,
    ) -> Result<OpenedEnvelope, Unopened> {
        let envelope = Envelope::parse(bytes)?;
        let sessions = self
            .peers
            .values()
            .flat_map(|peer| peer.sessions.values().map(|(_, session)| session));
        let known_handshake = |id: &HandshakeId| self.handshakes.get(id).map(|seen| seen.session);
        match waxwing_ratchet::find(&self.tags, &envelope, sessions, known_handshake) {
            Found::Session { id, skipped } => {
                let peer = *self.owners.get(&id).ok_or(RatchetError::Replay)?;
                let (_, session) = self
                    .peers
                    .get(&peer)
                    .and_then(|known| known.sessions.get(&id))
                    .ok_or(RatchetError::Replay)?;
                let row = skipped.and_then(|skipped| self.skipped.get(&(id, skipped)));
                let opened = session
                    .decrypt(&envelope, row, now)
                    .map_err(|error| Unopened {
                        error,
                        peer: Some(peer),
                        alarm: None,
                    })?;
                Ok(OpenedEnvelope::Known {
                    peer,
                    session: id,
                    opened: Box::new(opened),
                })
            }
            Found::Handshake => self.open_first(own, &envelope, prekeys, now),
            Found::Unknown => Err(RatchetError::UnknownTag.into()),
        }
    }

    /// What it costs at most to find out whose an envelope is, in microseconds: nothing where the tag or
    /// a repeated prefix tells.
    pub(crate) fn trial_cost_us(&self, bytes: &[u8], prekeys: &Prekeys) -> u64 {
        // SES-35, ENV-62.
        let Ok(envelope) = Envelope::parse(bytes) else {
            return 0;
        };
        if self.tags.lookup(&envelope.tag()).is_some() {
            return 0;
        }
        match envelope.prefix() {
            // Refused before anything is computed.
            Some(prefix) if prekeys.get(prefix.signed_prekey()).is_none() => 0,
            Some(prefix) if self.handshakes.contains_key(&prefix.handshake_id()) => 0,
            Some(_) => limits::TRIAL_HANDSHAKE_US,
            None => u64::try_from(self.owners.len())
                .unwrap_or(u64::MAX)
                .saturating_mul(limits::TRIAL_SESSION_US),
        }
    }

    fn open_first(
        &self,
        own: &LocalDevice<'_>,
        envelope: &Envelope<'_>,
        prekeys: &Prekeys,
        now: u64,
    ) -> Result<OpenedEnvelope, Unopened> {
        let prefix = envelope.prefix().ok_or(RatchetError::UnknownTag)?;
        let signed = prekeys
            .get(prefix.signed_prekey())
            .ok_or(RatchetError::PrekeyUnknown)?;
        let one_time = match prefix.one_time_prekey() {
            None => None,
            Some(id) => Some(prekeys.get(id).ok_or(RatchetError::PrekeyUnknown)?),
        };
        let signed_prekey = signed.id();
        let claim = Claim::check(own, envelope, &ResponderKeys { signed, one_time })?;
        let initiator = claim.initiator();
        let peer = (initiator.account, initiator.device.id());
        let unopened = |error| Unopened {
            error,
            peer: Some(peer),
            alarm: None,
        };
        // A device that cannot make this handshake honestly is found out before anything changes.
        let nothing_known = PeerDevice::default();
        let known = self.peers.get(&peer).unwrap_or(&nothing_known);
        let judged = known
            .set
            .judge(&claim, |id| known.session(id), now)
            .map_err(unopened)?;
        let accepted = claim.accept(&judged, now).map_err(unopened)?;
        Ok(OpenedEnvelope::First {
            accepted: Box::new(accepted),
            handshake: prefix.handshake_id(),
            signed_prekey,
        })
    }
}
