// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two planes. A connection is on the account plane once it has authenticated, on the
//! anonymous plane once it has made a call that names somebody else, and never on both: a server
//! that keeps to this cannot tie a sending to an account by its connection.

use std::sync::{Mutex, PoisonError};

use waxwing_proto::v1::ErrorCode;

use crate::refusal::Refusal;
use crate::wake::Mailbox;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has decided yet. Registration and manifests may be handed in.
    Undecided,
    Anonymous,
    Account(Mailbox),
}

/// On which plane a connection is.
#[derive(Debug)]
pub(crate) struct Plane(Mutex<State>);

impl Plane {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State::Undecided))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the anonymous plane, for a call that names somebody else.
    ///
    /// # Errors
    /// `WRONG_PLANE` on an authenticated connection.
    pub(crate) fn anonymous(&self) -> Result<(), Refusal> {
        // TRN-15.
        let mut state = self.state();
        match *state {
            State::Account(_) => Err(ErrorCode::WrongPlane.into()),
            State::Undecided | State::Anonymous => {
                *state = State::Anonymous;
                Ok(())
            }
        }
    }

    /// The device that has authenticated.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` where none has.
    pub(crate) fn account(&self) -> Result<Mailbox, Refusal> {
        match *self.state() {
            State::Account(mailbox) => Ok(mailbox),
            State::Undecided | State::Anonymous => Err(ErrorCode::Unauthenticated.into()),
        }
    }

    /// Whether the connection could still authenticate as this device.
    ///
    /// # Errors
    /// `WRONG_PLANE` on an anonymous connection and on one of another device.
    pub(crate) fn may_authenticate(&self, mailbox: Mailbox) -> Result<(), Refusal> {
        match *self.state() {
            State::Undecided => Ok(()),
            State::Account(known) if known == mailbox => Ok(()),
            State::Anonymous | State::Account(_) => Err(ErrorCode::WrongPlane.into()),
        }
    }

    /// Enters the account plane.
    ///
    /// # Errors
    /// As [`Self::may_authenticate`]: another call may have decided meanwhile.
    pub(crate) fn authenticate(&self, mailbox: Mailbox) -> Result<(), Refusal> {
        let mut state = self.state();
        match *state {
            State::Account(known) if known == mailbox => Ok(()),
            State::Undecided => {
                *state = State::Account(mailbox);
                Ok(())
            }
            State::Anonymous | State::Account(_) => Err(ErrorCode::WrongPlane.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use waxwing_proto::{AccountKey, DeviceId};

    use super::*;

    fn mailbox(n: u8) -> Mailbox {
        Mailbox {
            account: AccountKey::new([n; 32]),
            device: DeviceId::new([n; 16]),
        }
    }

    /// [TRN-15].
    #[test]
    fn a_connection_is_never_on_both_planes() {
        let wrong = Err(Refusal::new(ErrorCode::WrongPlane));
        let plane = Plane::new();
        assert!(plane.account().is_err());
        plane.authenticate(mailbox(1)).unwrap();
        plane.authenticate(mailbox(1)).unwrap();
        assert_eq!(plane.authenticate(mailbox(2)), wrong);
        assert_eq!(plane.anonymous(), wrong);
        assert_eq!(plane.account(), Ok(mailbox(1)));

        let plane = Plane::new();
        plane.anonymous().unwrap();
        plane.anonymous().unwrap();
        assert_eq!(plane.may_authenticate(mailbox(1)), wrong);
        assert_eq!(plane.authenticate(mailbox(1)), wrong);
        assert_eq!(
            plane.account(),
            Err(Refusal::new(ErrorCode::Unauthenticated))
        );
    }
}
