// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Continuity: what ties a session to the one before it between the same two devices.
//!
//! Each step yields a secret `CONT`. A new handshake is salted with the `CONT` of the *peer's* last
//! step that the initiator has processed. The responder holds that of its own last step and of its
//! last own step that the peer has proved to have processed, and one of the two always fits: the
//! initiator has processed step `s` of the responder, whose last own step is then `s`, or `s + 2`,
//! which it makes only after a step of the initiator that proves `s`. So a lost message never makes
//! two honest devices part, and whoever has only long-term keys, or an old copy of a store, opens no
//! session that the other side takes for a continuation.

use waxwing_crypto::{Secret, kdf, labels};

use crate::session::state::State;
use crate::{ContinuityId, Session, SessionId};

/// Which session a handshake continues, and with what number among those that continue it. Holds a
/// secret, which is wiped on drop.
pub struct Continuation {
    predecessor: Option<(SessionId, Secret<32>)>,
    pub(crate) attempt: u32,
}

impl Continuation {
    /// Of a session that continues no other.
    #[must_use]
    pub const fn first(attempt: u32) -> Self {
        Self {
            predecessor: None,
            attempt,
        }
    }

    /// Of a session that continues `session`; `None` where nothing of the peer was opened in it.
    pub(crate) fn of(session: &Session, attempt: u32) -> Option<Self> {
        // SES-50.
        let secret = session.state().continuity.peer.as_ref()?;
        Some(Self {
            predecessor: Some((session.id(), secret.duplicate())),
            attempt,
        })
    }

    /// The session that is continued.
    #[must_use]
    pub fn predecessor(&self) -> Option<SessionId> {
        self.predecessor.as_ref().map(|(id, _)| *id)
    }

    /// The number among the handshakes that continue the same session.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn secret(&self) -> Option<&Secret<32>> {
        self.predecessor.as_ref().map(|(_, secret)| secret)
    }

    pub(crate) fn predecessor_bytes(&self) -> [u8; 32] {
        self.predecessor()
            .map_or([0; 32], |session| *session.as_bytes())
    }

    pub(crate) fn id_bytes(&self) -> [u8; 8] {
        self.secret()
            .map_or([0; 8], |secret| *name(secret).as_bytes())
    }
}

/// `cont_id`.
pub(crate) fn name(secret: &Secret<32>) -> ContinuityId {
    // SES-51.
    ContinuityId::new(kdf::name(secret, labels::CONTINUITY_ID, &[]))
}

impl State {
    /// The secrets that a handshake of the peer may name: of the own last step, and of the last own
    /// step that the peer has proved to have processed.
    fn held(&self) -> impl Iterator<Item = &Secret<32>> {
        // SES-52.
        let continuity = &self.continuity;
        [continuity.own.as_ref(), continuity.proved.as_ref()]
            .into_iter()
            .flatten()
    }
}

impl Session {
    /// The names of the continuity secrets that a handshake of the peer may name in order to
    /// continue this session: at most two, which may be the same.
    #[must_use]
    pub fn continuity_ids(&self) -> Vec<ContinuityId> {
        self.state().held().map(name).collect()
    }

    /// The secret with this name, where this side holds it.
    pub(crate) fn continuity(&self, id: ContinuityId) -> Option<Secret<32>> {
        let mut held = self.state().held();
        held.find(|secret| name(secret) == id)
            .map(Secret::duplicate)
    }
}
