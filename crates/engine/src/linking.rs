// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Linking a second device through a rendezvous on the account's server.
//!
//! The new device writes its public keys into slot 0 and shows a code; the first device reads the
//! code, checks the keys against its digest and writes the account into slot 1. Both then show the same
//! words. When the user has compared them on both, the new device counter-signs (slot 2), the first
//! device admits it in the next manifest, and the account's state follows inside the encryption. The
//! slots are sealed with a key from the code: the server can only drop them.

pub(crate) mod first_device;
pub(crate) mod new_device;
#[cfg(test)]
mod tests;

use waxwing_crypto::RendezvousKey;
use waxwing_identity::{DeviceKeys, Digest, RendezvousSecret};
use waxwing_proto::v1::request::Call;
use waxwing_proto::v1::response::Result as Reply;
use waxwing_proto::{AccountKey, ServerAddress, limits, v1};

use crate::command::CommandId;
use crate::effect::Plane;
use crate::engine::{Engine, Turn};
use crate::event::RequestFailure;
use crate::pending::{LinkingCall, Pending};
use crate::timers::Timer;

// IDN-43.
/// The new device's keys.
pub(crate) const SLOT_OFFER: u32 = 0;
/// The account that the first device answers with.
pub(crate) const SLOT_ANSWER: u32 = 1;
/// The new device's counter-signature; sealed emptiness where the user found other words.
pub(crate) const SLOT_MEMBERSHIP: u32 = 2;

/// How long the server is asked to wait for a slot, in milliseconds.
const WAIT_MS: u32 = 20_000;
/// How long it is left alone after it had nothing, in milliseconds.
const SLOT_PAUSE_MS: u64 = 500;
/// The deadline of such a call, in milliseconds.
const WAIT_DEADLINE_MS: u32 = 30_000;
/// A linking is given up when the server forgets its rendezvous, in milliseconds.
pub(crate) const LIFETIME_MS: u64 = limits::RENDEZVOUS_LIFETIME_SECONDS * 1000;
/// How often the new device asks whether it is listed, in milliseconds.
pub(crate) const LISTED_POLL_MS: u64 = 1000;
/// Words that the user compares: 11 bits each.
const SAFETY_WORDS: usize = 6;

/// A linking under way, on one of its sides. What must survive a restart is in the progress row.
#[derive(Default)]
pub(crate) struct Linking {
    pub(crate) side: Side,
    /// Who waits for the next result.
    pub(crate) command: Option<CommandId>,
    /// The slot that is asked for again after a pause.
    pub(crate) slot: Option<u32>,
    /// Whether the new device is listed and waits for the account's state.
    pub(crate) awaits_state: bool,
}

/// The sides.
#[derive(Default)]
pub(crate) enum Side {
    /// None.
    #[default]
    Idle,
    /// The new device.
    New {
        secret: RendezvousSecret,
        /// The account that answered.
        account: Option<AccountKey>,
    },
    /// The device that is listed already.
    First {
        server: ServerAddress,
        secret: RendezvousSecret,
        /// The keys that fit the code; `None` until the slot was read.
        offered: Option<DeviceKeys>,
        code: Box<waxwing_identity::LinkCode>,
        approved: bool,
    },
}

impl Side {
    pub(crate) const fn secret(&self) -> Option<&RendezvousSecret> {
        match self {
            Self::Idle => None,
            Self::New { secret, .. } | Self::First { secret, .. } => Some(secret),
        }
    }
}

impl Engine {
    pub(crate) fn put_slot(&mut self, turn: &mut Turn<'_>, slot: u32, value: &[u8]) {
        let (Some(server), Some(secret)) = (self.linking_server(), self.linking.side.secret())
        else {
            return;
        };
        let Ok(sealed) = RendezvousKey::derive(secret).seal(slot, value, turn.rng) else {
            return;
        };
        let call = Call::PutRendezvous(v1::PutRendezvousRequest {
            locator: secret.locator().to_wire(),
            slot,
            value: sealed.into(),
        });
        self.request(
            Plane::Anonymous,
            server,
            call,
            Pending::Linking(LinkingCall::Put(slot)),
        );
    }

    pub(crate) fn fetch_slot(&mut self, slot: u32) {
        let (Some(server), Some(secret)) = (self.linking_server(), self.linking.side.secret())
        else {
            return;
        };
        let call = Call::FetchRendezvous(v1::FetchRendezvousRequest {
            locator: secret.locator().to_wire(),
            slot,
            wait_ms: WAIT_MS,
        });
        self.request_with_deadline(
            Plane::Anonymous,
            server,
            call,
            Pending::Linking(LinkingCall::Fetch(slot)),
            WAIT_DEADLINE_MS,
        );
    }

    /// Asks again after a pause: a server that answers at once with nothing must not set the pace.
    fn fetch_slot_later(&mut self, turn: &Turn<'_>, slot: u32) {
        self.linking.slot = Some(slot);
        self.timers
            .set(Timer::LinkingSlot, turn.after_ms(SLOT_PAUSE_MS));
    }

    pub(crate) fn linking_slot_due(&mut self) {
        if let Some(slot) = self.linking.slot.take() {
            self.fetch_slot(slot);
        }
    }

    fn linking_server(&self) -> Option<ServerAddress> {
        match &self.linking.side {
            Side::Idle => None,
            Side::New { .. } => self.own_server(),
            Side::First { server, .. } => Some(server.clone()),
        }
    }

    pub(crate) fn linking_responded(
        &mut self,
        turn: &mut Turn<'_>,
        call: LinkingCall,
        outcome: Result<Reply, RequestFailure>,
    ) {
        let on_new_device = match &self.linking.side {
            Side::Idle => return,
            Side::New { .. } => true,
            Side::First { .. } => false,
        };
        match (call, outcome) {
            (LinkingCall::Put(slot), Ok(Reply::PutRendezvous(_))) => {
                if on_new_device {
                    self.new_device_put(slot);
                } else {
                    self.first_device_put();
                }
            }
            (LinkingCall::Fetch(slot), Ok(Reply::FetchRendezvous(reply))) => {
                if reply.value.is_empty() {
                    self.fetch_slot_later(turn, slot);
                    return;
                }
                let opened = self
                    .linking
                    .side
                    .secret()
                    .map(RendezvousKey::derive)
                    .and_then(|key| key.open(slot, &reply.value).ok());
                if on_new_device {
                    self.new_device_fetched(turn, opened.as_ref().map(|value| value.as_slice()));
                } else {
                    let value = opened.as_ref().map(|value| value.as_slice());
                    self.first_device_fetched(turn, slot, value);
                }
            }
            (LinkingCall::Chain, Ok(Reply::FetchManifests(reply))) => {
                self.chain_for_new_device(turn, &reply);
            }
            (LinkingCall::Chain, _) => self.poll_listed_later(turn),
            (LinkingCall::Fetch(slot), Err(RequestFailure::Timeout)) => {
                self.fetch_slot_later(turn, slot);
            }
            (_, Ok(_)) => self.fail_linking(Self::failure(RequestFailure::Malformed)),
            (_, Err(failure)) => self.fail_linking(Self::failure(failure)),
        }
    }
}

/// Words that both sides show: whoever stood between them would have other keys and other words.
pub(crate) fn safety_words(
    account: &AccountKey,
    keys: &DeviceKeys,
    secret: &RendezvousSecret,
) -> String {
    // IDN-49.
    let digest = Digest::of(&[
        b"waxwing/1 linking words\0",
        account.as_bytes(),
        keys.digest().as_bytes(),
        secret.locator().as_bytes(),
    ]);
    let list = bip39::Language::English.word_list();
    let mut words = Vec::with_capacity(SAFETY_WORDS);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in digest.as_bytes() {
        bits = ((bits << 8) | u32::from(*byte)) & 0x000f_ffff;
        count = count.saturating_add(8);
        if count >= 11 {
            count = count.saturating_sub(11);
            let index = (bits >> count) & 0x7ff;
            let word = usize::try_from(index)
                .ok()
                .and_then(|index| list.get(index));
            words.extend(word.copied());
        }
        if words.len() == SAFETY_WORDS {
            break;
        }
    }
    words.join(" ")
}
