// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The listed device's side of a linking.

use waxwing_identity::{DeviceKeys, LinkCode, Signature};
use waxwing_proto::{DeviceId, limits};

use super::{LIFETIME_MS, SLOT_ANSWER, SLOT_MEMBERSHIP, SLOT_OFFER, Side, safety_words};
use crate::command::{Answer, CommandError, CommandId};
use crate::engine::{Engine, Turn};
use crate::timers::Timer;

impl Engine {
    pub(crate) fn inspect_device(
        &mut self,
        turn: &mut Turn<'_>,
        command: CommandId,
        code: LinkCode,
    ) {
        // IDN-66: what it would be given does not leave before the user has looked.
        let account = self.account.as_ref();
        if let Some(alarm) = account.and_then(|account| account.alarms.blocking()) {
            self.answer(command, Err(CommandError::TrustBlocked(alarm)));
            return;
        }
        let own = self.own_server();
        if own.as_ref().map(|own| &own.host) != Some(&code.server().host) {
            self.answer(command, Err(CommandError::LinkCodeMismatch));
            return;
        }
        let full = self
            .own_manifest()
            .is_some_and(|manifest| manifest.devices().len() >= limits::DEVICES_MAX);
        if full {
            self.answer(command, Err(CommandError::TooManyDevices));
            return;
        }
        if let Some(earlier) = self.linking.command.take() {
            self.answer(earlier, Err(CommandError::NoLinking));
        }
        self.linking.slot = None;
        // The rendezvous is on the account's own server, under the pins that this device holds.
        let Some(server) = own else { return };
        self.linking.side = Side::First {
            server,
            secret: code.secret().clone(),
            offered: None,
            code: Box::new(code),
            approved: false,
        };
        self.linking.command = Some(command);
        self.timers
            .set(Timer::LinkingExpired, turn.after_ms(LIFETIME_MS));
        self.fetch_slot(SLOT_OFFER);
    }

    pub(crate) fn first_device_fetched(
        &mut self,
        turn: &mut Turn<'_>,
        slot: u32,
        value: Option<&[u8]>,
    ) {
        match slot {
            SLOT_OFFER => self.offer_fetched(turn, value),
            SLOT_MEMBERSHIP => self.membership_fetched(turn, value),
            _ => {}
        }
    }

    /// The new device's keys: they must be those whose digest stands in the code.
    fn offer_fetched(&mut self, turn: &mut Turn<'_>, value: Option<&[u8]>) {
        // IDN-44.
        let Side::First { code, offered, .. } = &mut self.linking.side else {
            return;
        };
        let keys = value
            .and_then(|value| DeviceKeys::decode(value).ok())
            .filter(|keys| code.fits(keys));
        *offered = keys;
        if keys.is_none() {
            self.fail_linking(CommandError::LinkCodeMismatch);
            return;
        }
        let (Some(key), Some(account)) = (self.own_key(), &self.account) else {
            return;
        };
        let mut answer = key.as_bytes().to_vec();
        answer.extend_from_slice(account.address().as_bytes());
        self.put_slot(turn, SLOT_ANSWER, &answer);
    }

    /// The new device can read the account now: both sides show the words.
    pub(crate) fn first_device_put(&mut self) {
        let (
            Some(key),
            Side::First {
                offered: Some(keys),
                secret,
                ..
            },
        ) = (self.own_key(), &self.linking.side)
        else {
            return;
        };
        let offer = Answer::DeviceOffer {
            device: keys.id,
            safety_words: safety_words(&key, keys, secret),
        };
        if let Some(command) = self.linking.command.take() {
            self.answer(command, Ok(offer));
        }
    }

    pub(crate) fn approve_device(
        &mut self,
        _turn: &mut Turn<'_>,
        command: CommandId,
        device: DeviceId,
    ) {
        let account = self.account.as_ref();
        if let Some(alarm) = account.and_then(|account| account.alarms.blocking()) {
            self.answer(command, Err(CommandError::TrustBlocked(alarm)));
            return;
        }
        match &mut self.linking.side {
            Side::First {
                offered: Some(keys),
                approved,
                ..
            } if keys.id == device => *approved = true,
            Side::First { .. } => {
                self.answer(command, Err(CommandError::DeviceUnknown));
                return;
            }
            _ => {
                self.answer(command, Err(CommandError::NoLinking));
                return;
            }
        }
        self.linking.command = Some(command);
        self.fetch_slot(SLOT_MEMBERSHIP);
    }

    /// The new device's own word that it belongs to the account.
    fn membership_fetched(&mut self, turn: &mut Turn<'_>, value: Option<&[u8]>) {
        let (
            Some(key),
            Side::First {
                offered: Some(keys),
                approved: true,
                ..
            },
        ) = (self.own_key(), &self.linking.side)
        else {
            return;
        };
        let countersigned = value
            .and_then(|value| Signature::try_from(value).ok())
            .and_then(|membership| keys.countersigned(&key, membership).ok());
        match countersigned {
            Some(device) => self.admit(turn, &device),
            None => self.fail_linking(CommandError::LinkCodeMismatch),
        }
    }
}
