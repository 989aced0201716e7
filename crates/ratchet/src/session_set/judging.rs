// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What becomes of a handshake, before anything of it is opened.
//!
//! Once a prefix has ended, no honest device has a greater handshake for the same place: whoever
//! answered in a session, or continued it, had it as the greatest, and from then on continues that
//! one. So a greater handshake is the alarm, and a smaller one is a late loser, which receives only.
//! The door for late losers closes when the mailbox was drained since and two days are over:
//! otherwise whoever has only the long-term keys of a device could come through it for ever, with a
//! small enough handshake that continues nothing.

use waxwing_crypto::Secret;

use super::{ATTEMPT_JUMP_MAX, Gone, Order, SessionSet, path};
use crate::{Claim, ContinuityId, RatchetError, Session, SessionId};

/// A claim that may be followed, with the continuity secret that it needs. Holds a secret, which is
/// wiped on drop.
pub struct Judged {
    pub(crate) session: SessionId,
    pub(crate) continuity: Option<Secret<32>>,
}

impl SessionSet {
    /// Whether a handshake of this peer device may be followed. `sessions` gives the sessions of this
    /// set; `now` is in seconds since the Unix epoch. The initiator has proved its device key, so
    /// nobody without that key, or this device's own, can cause the alarms.
    ///
    /// # Errors
    /// Alarms: [`RatchetError::ContinuityMissing`], [`RatchetError::ContinuityUnknown`],
    /// [`RatchetError::PeerDiverged`]. To be dropped: [`RatchetError::Superseded`],
    /// [`RatchetError::AttemptTooHigh`], [`RatchetError::DuplicateSession`].
    pub fn judge<'a>(
        &self,
        claim: &Claim<'_>,
        sessions: impl Fn(SessionId) -> Option<&'a Session>,
        now: u64,
    ) -> Result<Judged, RatchetError> {
        // SES-21, SES-56, SES-57, SES-58.
        let order = (claim.attempt(), claim.session());
        let continuity = match claim.predecessor() {
            None => None,
            Some((id, name)) if self.get(id).is_some() => {
                let held = sessions(id).and_then(|session| session.continuity(name));
                Some(held.ok_or(RatchetError::ContinuityUnknown)?)
            }
            Some((id, name)) => {
                let gone = self.gone_after(Some(id), Some(name));
                return Err(gone.map_or(RatchetError::ContinuityUnknown, |gone| {
                    gone.verdict(order, RatchetError::PeerDiverged)
                }));
            }
        };
        if continuity.is_none() && self.root.is_some() {
            let gone = self.gone_after(None, None);
            return Err(gone.map_or(RatchetError::ContinuityMissing, |gone| {
                gone.verdict(order, RatchetError::ContinuityMissing)
            }));
        }
        let level = claim.predecessor().map(|(id, _)| id);
        self.check_place(level, order, now)?;
        Ok(Judged {
            session: claim.session(),
            continuity,
        })
    }

    fn gone_after(&self, id: Option<SessionId>, name: Option<ContinuityId>) -> Option<&Gone> {
        self.gone
            .iter()
            .find(|gone| gone.id == id && name.is_none_or(|name| gone.continuity.contains(&name)))
    }

    /// Whether a session of this order may continue `level`, which is kept or is the root.
    pub(super) fn check_place(
        &self,
        level: Option<SessionId>,
        order: Order,
        now: u64,
    ) -> Result<(), RatchetError> {
        // SES-22, SES-57.
        let (attempt, id) = order;
        if self.get(id).is_some() {
            return Err(RatchetError::DuplicateSession);
        }
        let last = self.highest_attempt(level).unwrap_or(0);
        if attempt > last.saturating_add(ATTEMPT_JUMP_MAX) {
            return Err(RatchetError::AttemptTooHigh);
        }
        let path = self.path();
        let place = self.place_after(&path, level);
        let at = place.unwrap_or_else(|| {
            let above = level.and_then(|id| self.get(id));
            above.map_or(0, |above| self.superseded_by(&path, above))
        });
        let Some(winner) = path.get(at) else {
            return Ok(());
        };
        let Some(ended_at) = path::ended_at(&path, at) else {
            return Ok(());
        };
        if place.is_some() && order > winner.order() {
            return Err(match level {
                None => RatchetError::ContinuityMissing,
                Some(_) => RatchetError::PeerDiverged,
            });
        }
        if self.is_over(ended_at.max(winner.placed_at), now) {
            return Err(RatchetError::Superseded);
        }
        Ok(())
    }
}

impl Gone {
    /// What becomes of a handshake that continues it.
    fn verdict(&self, order: Order, alarm: RatchetError) -> RatchetError {
        // SES-58.
        match self.winner {
            Some(winner) if order > winner => alarm,
            _ => RatchetError::Superseded,
        }
    }
}
