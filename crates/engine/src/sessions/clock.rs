// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the horizon looks at: since when the active session with a device is there, how long the
//! device has not answered in it, and how much was said since its keys were last renewed against a
//! quantum computer. One small row a device, written beside each hot row.

use waxwing_identity::encoding::{LayoutError, Reader, Writer};
use waxwing_proto::limits;
use waxwing_ratchet::{Role, Session, SessionId};
use zeroize::Zeroizing;

use crate::error::EngineError;
use crate::row::{Row, Table};

const FORMAT: u8 = 2;
/// The rows of before, which end with the envelopes.
const FORMAT_1: u8 = 1;
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

/// Whether a session should be followed by a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// It goes on.
    NotDue,
    /// A new one should be opened; until prekeys can be had, this one goes on.
    Due,
    /// Nothing more can be sent in it.
    Ended,
}

/// The times of one device, by the wall clock in milliseconds; 0 for what has not happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    session: Option<SessionId>,
    begun_ms: u64,
    /// When something was sent in the active session for the first time since the device was heard.
    unanswered_ms: u64,
    /// When the device was heard in the active session.
    heard_ms: u64,
    /// When it was heard in another one since the active session is there.
    heard_elsewhere_ms: u64,
    /// When it became known that the device has the active session.
    confirmed_ms: u64,
    /// When the last content left that shows nothing and answers nothing.
    pub(crate) control_ms: u64,
    /// When an epoch was mixed last in the active session.
    mixed_ms: u64,
    /// The number of that epoch.
    mixed: u32,
    /// Envelopes of the active session since then, both ways.
    messages: u32,
    /// Whether this device opened the active session to follow another.
    is_renewal: bool,
    /// How many such sessions in a row came to nothing, although the device was heard.
    in_vain: u8,
}

impl Clock {
    /// Another session is active now, or still the same.
    pub(super) fn follow(&mut self, active: Option<SessionId>, now_ms: u64) {
        if self.session != active {
            *self = Self {
                session: active,
                begun_ms: now_ms,
                mixed_ms: now_ms,
                control_ms: self.control_ms,
                in_vain: self.in_vain,
                ..Self::default()
            };
        }
    }

    /// This device is about to open a session that follows the active one. Answers what
    /// [`Clock::renewed`] is to be told once it is there.
    pub(super) fn renews(&self) -> u8 {
        // SES-67.
        let was_heard = self.heard_ms != 0 || self.heard_elsewhere_ms != 0;
        if self.is_renewal && was_heard && self.mixed == 0 {
            self.in_vain.saturating_add(1)
        } else {
            self.in_vain
        }
    }

    /// The session that follows is there and active.
    pub(super) fn renewed(&mut self, in_vain: u8) {
        self.is_renewal = true;
        self.in_vain = in_vain;
    }

    /// Whether sessions that this device opened to follow others came to nothing, several in a row.
    pub(crate) const fn renews_in_vain(&self) -> bool {
        self.in_vain >= limits::RENEWALS_IN_VAIN_MAX
    }

    /// Something was sent in the active session.
    pub(super) fn sent(&mut self, session: &Session, now_ms: u64) {
        if self.unanswered_ms == 0 {
            self.unanswered_ms = now_ms;
        }
        self.count(session, now_ms);
    }

    /// Something was opened in a session, after [`Clock::follow`].
    pub(super) fn heard(&mut self, session: &Session, now_ms: u64) {
        if self.session != Some(session.id()) {
            self.heard_elsewhere_ms = now_ms;
            return;
        }
        self.heard_ms = now_ms;
        self.unanswered_ms = 0;
        if self.confirmed_ms == 0 {
            self.confirmed_ms = now_ms;
        }
        self.count(session, now_ms);
    }

    /// As [`Clock::heard`], where a session was begun by the peer.
    pub(super) fn heard_if_opened(&mut self, session: &Session, now_ms: u64) {
        if session.has_heard_peer() {
            self.heard(session, now_ms);
        }
    }

    fn count(&mut self, session: &Session, now_ms: u64) {
        self.messages = self.messages.saturating_add(1);
        let mixed = session.epochs_mixed();
        if mixed > self.mixed {
            self.mixed = mixed;
            self.mixed_ms = now_ms;
            self.messages = 0;
            self.in_vain = 0;
        }
    }

    /// Whether something that was sent at `sent_ms` would have been acknowledged by now: the device was
    /// heard half a day later, or has taken up a session since.
    pub(crate) fn should_have_arrived(&self, sent_ms: u64) -> bool {
        // SES-64.
        let patience = u64::from(limits::RESEND_HEARD_HOURS).saturating_mul(HOUR_MS);
        self.heard_ms >= sent_ms.saturating_add(patience) || self.confirmed_ms > sent_ms
    }

    /// Whether the active session should be followed by a new one.
    pub(crate) fn renewal(&self, session: &Session, now_ms: u64) -> Renewal {
        // SES-36, SES-61, SES-62, SES-100.
        if session.envelopes_left() == 0 {
            return Renewal::Ended;
        }
        let since = |ms: u64| now_ms.saturating_sub(ms);
        let horizon = u64::from(limits::HORIZON_DAYS).saturating_mul(DAY_MS);
        let retry = u64::from(limits::RETRY_HOURS).saturating_mul(HOUR_MS);
        let unanswered = self.unanswered_ms != 0 && since(self.unanswered_ms) >= horizon;
        let elsewhere = session.role() == Role::Initiator
            && !session.has_heard_peer()
            && self.heard_elsewhere_ms != 0
            && since(self.begun_ms) >= retry;
        let unmixed = session.prefix_ended()
            && self.heard_ms > self.mixed_ms
            && (self.messages >= limits::HORIZON_MESSAGES || since(self.mixed_ms) >= horizon);
        // Without further epochs nothing heals from a quantum computer before a new session does.
        let broken = session.epochs_failed();
        if unanswered || elsewhere || unmixed || broken {
            Renewal::Due
        } else {
            Renewal::NotDue
        }
    }

    /// The stored row.
    pub(super) fn to_row(self) -> Zeroizing<Vec<u8>> {
        let session = self.session.map_or([0; 32], |id| *id.as_bytes());
        let mut writer = Writer::new()
            .u8(FORMAT)
            .u8(u8::from(self.session.is_some()))
            .raw(&session);
        for time in [
            self.begun_ms,
            self.unanswered_ms,
            self.heard_ms,
            self.heard_elsewhere_ms,
            self.confirmed_ms,
            self.control_ms,
            self.mixed_ms,
        ] {
            writer = writer.u64(time);
        }
        writer = writer.u32(self.mixed).u32(self.messages);
        let row = writer.u8(u8::from(self.is_renewal)).u8(self.in_vain);
        Zeroizing::new(row.into_bytes())
    }

    /// Reads a stored row.
    pub(crate) fn from_row(row: &Row) -> Result<Self, EngineError> {
        read(Reader::new(&row.value)).map_err(|_| EngineError::CorruptRow(Table::Sessions))
    }
}

fn read(mut reader: Reader<'_>) -> Result<Clock, LayoutError> {
    let format = reader.u8()?;
    if format != FORMAT && format != FORMAT_1 {
        return Err(LayoutError::Value);
    }
    let has_session = reader.u8()? != 0;
    let session: [u8; 32] = reader.array()?;
    let mut clock = Clock {
        session: has_session.then(|| SessionId::new(session)),
        begun_ms: reader.u64()?,
        unanswered_ms: reader.u64()?,
        heard_ms: reader.u64()?,
        heard_elsewhere_ms: reader.u64()?,
        confirmed_ms: reader.u64()?,
        control_ms: reader.u64()?,
        mixed_ms: reader.u64()?,
        mixed: reader.u32()?,
        messages: reader.u32()?,
        is_renewal: false,
        in_vain: 0,
    };
    if format == FORMAT {
        clock.is_renewal = reader.u8()? != 0;
        clock.in_vain = reader.u8()?;
    }
    reader.finish()?;
    Ok(clock)
}

#[cfg(test)]
mod tests;
