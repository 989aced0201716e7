// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The keys by which this account's server is known: what the server tells of them, what is kept of that,
//! and which of them a call takes.

mod telling;

use waxwing_proto::{AccountKey, KeyPin, ServerAddress, limits};

use crate::account::Account;
use crate::contacts::Contact;
use crate::effect::Effect;
use crate::engine::{Engine, Turn};
use crate::notice::{Notice, ServerKeys};

/// What a server told that showed `shown`, if it is to be kept in place of `held`: the key that it showed
/// first, then the one that is to follow.
fn judge(told: &[bytes::Bytes], shown: Option<KeyPin>, held: &[KeyPin]) -> Option<Vec<KeyPin>> {
    // TRN-93.
    let shown = shown.filter(|shown| held.contains(shown))?;
    let mut told = KeyPin::list_from_wire(told).ok()?;
    let at = told.iter().position(|pin| *pin == shown)?;
    told.swap(0, at);
    let is_twice = told.iter().skip(1).any(|pin| *pin == shown);
    (!is_twice).then_some(told)
}

/// The address of a server of which another one was held: what names the key alone that was the first of
/// two says nothing that was not known, and is older than the second.
pub(crate) fn address_after(held: Option<&ServerAddress>, said: ServerAddress) -> ServerAddress {
    // TRN-97.
    match held {
        Some(held) if held.is_at(&said) && said.key_pins.get(..) == held.key_pins.get(..1) => {
            held.clone()
        }
        _ => said,
    }
}

/// The address of a contact's server as another device of this account has it. What the contact has said to
/// this device stands, unless the other keys begin with the last of those that are held: they follow them.
pub(crate) fn address_of_device(
    held: Option<&ServerAddress>,
    said: ServerAddress,
    answered: bool,
) -> ServerAddress {
    // TRN-97.
    match held {
        Some(held)
            if answered && held.is_at(&said) && held.key_pins.last() != said.key_pins.first() =>
        {
            held.clone()
        }
        _ => address_after(held, said),
    }
}

impl Account {
    /// Takes other keys of the server. Gives whether one is new.
    fn take_key_pins(&mut self, key_pins: Vec<KeyPin>) -> bool {
        let before = core::mem::replace(&mut self.server.key_pins, key_pins);
        let now = &self.server.key_pins;
        let is_new = now.iter().any(|pin| !before.contains(pin));
        let former = before.into_iter().chain(self.former_key_pins.drain(..));
        let mut kept: Vec<KeyPin> = Vec::new();
        for pin in former {
            if !now.contains(&pin) && !kept.contains(&pin) {
                kept.push(pin);
            }
        }
        kept.truncate(limits::FORMER_KEY_PINS_MAX);
        self.former_key_pins = kept;
        is_new
    }

    /// Whether an address names this account's server, by a key that it has or had.
    fn is_own_server(&self, server: &ServerAddress) -> bool {
        let is_known =
            |pin: &KeyPin| self.server.key_pins.contains(pin) || self.former_key_pins.contains(pin);
        self.server.is_at(server) && server.key_pins.iter().any(is_known)
    }
}

impl Engine {
    /// Heeds what the server told, at a login, of the keys by which it is known.
    pub(crate) fn heed_server_keys(&mut self, turn: &mut Turn<'_>, told: &[bytes::Bytes]) {
        // TRN-93. Nothing comes of a server of an earlier version, nor over a resumed connection: who has
        // its tickets alone has not its key.
        if told.is_empty() || !self.connection.is_key_proved {
            return;
        }
        let shown = self.connection.server_key;
        let Some(account) = &mut self.account else {
            return;
        };
        let Some(key_pins) = judge(told, shown, &account.server.key_pins) else {
            self.notify(Notice::ServerKeys(ServerKeys::Refused));
            return;
        };
        if key_pins == account.server.key_pins {
            return;
        }
        // TRN-94.
        let is_own = |contact: &&Contact| {
            let route = contact.route.as_ref();
            route.is_some_and(|route| account.is_own_server(&route.server))
        };
        let neighbours: Vec<AccountKey> = self
            .contacts
            .values()
            .filter(is_own)
            .map(|contact| contact.account)
            .collect();
        let is_new = account.take_key_pins(key_pins.clone());
        // The account's row comes last: what is told again after a crash between is owed again.
        self.owe_address(turn, is_new, &neighbours);
        self.save_account();
        self.journal.push(Effect::KeyPins(key_pins));
        self.notify(Notice::ServerKeys(if is_new {
            ServerKeys::Announced
        } else {
            ServerKeys::Dropped
        }));
    }

    /// The server that a call about somebody else goes to: where it is this account's, the key that this
    /// account's own connection was shown last is the only one that is taken.
    pub(crate) fn address_for_others(&self, server: ServerAddress) -> ServerAddress {
        // TRN-95.
        let Some(account) = self.account.as_ref().filter(|it| it.is_own_server(&server)) else {
            return server;
        };
        let held = &account.server;
        let shown = self.connection.server_key;
        match shown.filter(|shown| held.key_pins.contains(shown)) {
            None => held.clone(),
            Some(shown) => ServerAddress {
                key_pins: vec![shown],
                ..held.clone()
            },
        }
    }

    /// An address that goes into the account's state for its other devices.
    pub(crate) fn address_for_devices(&self, server: &ServerAddress) -> ServerAddress {
        let own = self
            .account
            .as_ref()
            .filter(|account| account.is_own_server(server));
        own.map_or(server, |account| &account.server).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pin(number: u8) -> KeyPin {
        KeyPin([number; 32])
    }

    fn told(pins: &[u8]) -> Vec<bytes::Bytes> {
        pins.iter().map(|number| pin(*number).to_wire()).collect()
    }

    fn address(pins: &[u8]) -> ServerAddress {
        ServerAddress {
            host: "home.example".parse().unwrap(),
            port: 443,
            key_pins: pins.iter().copied().map(pin).collect(),
        }
    }

    /// [TRN-93].
    #[test]
    fn what_names_the_key_that_was_shown_is_kept() {
        let kept =
            |list: &[u8], shown, held: &[u8]| judge(&told(list), shown, &address(held).key_pins);
        let pins = |list: &[u8]| Some(address(list).key_pins);
        assert_eq!(kept(&[1], Some(pin(1)), &[1]), pins(&[1]));
        assert_eq!(kept(&[1, 2], Some(pin(1)), &[1]), pins(&[1, 2]));
        assert_eq!(kept(&[1, 3], Some(pin(1)), &[1, 2]), pins(&[1, 3]));
        assert_eq!(kept(&[2], Some(pin(2)), &[1, 2]), pins(&[2]));
        assert_eq!(kept(&[2, 3], Some(pin(2)), &[1, 2]), pins(&[2, 3]));
        // Present first, whatever the server puts first.
        assert_eq!(kept(&[2, 1], Some(pin(1)), &[1]), pins(&[1, 2]));
        // Without the key that was shown, with a key that is not held, and on a link that tells none.
        assert_eq!(kept(&[2], Some(pin(1)), &[1]), None);
        assert_eq!(kept(&[2, 3], Some(pin(1)), &[1, 2]), None);
        assert_eq!(kept(&[3, 4], Some(pin(3)), &[1, 2]), None);
        assert_eq!(kept(&[1, 2], None, &[1]), None);
    }

    /// [TRN-93].
    #[test]
    fn what_is_no_list_of_keys_is_not_kept() {
        let held = [pin(1)];
        let shown = Some(pin(1));
        assert_eq!(judge(&[], shown, &held), None);
        assert_eq!(judge(&told(&[1, 2, 3]), shown, &held), None);
        assert_eq!(judge(&told(&[1, 1]), shown, &held), None);
        let mut short = told(&[1, 2]);
        short[1] = short[1].slice(..31);
        assert_eq!(judge(&short, shown, &held), None);
        short[1] = bytes::Bytes::new();
        assert_eq!(judge(&short, shown, &held), None);
    }

    /// [TRN-97].
    #[test]
    fn an_older_list_does_not_take_a_newer_ones_place() {
        let after = |held: &[u8], said: &[u8]| {
            let after = address_after(Some(&address(held)), address(said));
            after.key_pins
        };
        assert_eq!(after(&[1, 2], &[1]), address(&[1, 2]).key_pins);
        assert_eq!(after(&[1, 2], &[2]), address(&[2]).key_pins);
        assert_eq!(after(&[1], &[1, 2]), address(&[1, 2]).key_pins);
        assert_eq!(after(&[1, 2], &[1, 3]), address(&[1, 3]).key_pins);
        assert_eq!(after(&[1], &[9]), address(&[9]).key_pins);
        let mut elsewhere = address(&[1]);
        elsewhere.port = 444;
        let held = address(&[1, 2]);
        assert_eq!(address_after(Some(&held), elsewhere.clone()), elsewhere);
        assert_eq!(address_after(None, held.clone()), held);
    }

    /// [TRN-97].
    #[test]
    fn an_older_device_does_not_take_back_what_a_contact_said() {
        let after = |held: &[u8], said: &[u8], answered| {
            let after = address_of_device(Some(&address(held)), address(said), answered);
            after.key_pins
        };
        let pins = |list: &[u8]| address(list).key_pins;
        for (held, said) in [
            (&[2][..], &[1][..]),
            (&[2], &[1, 2]),
            (&[2, 3], &[1, 2]),
            (&[2, 3], &[1]),
            (&[1, 2], &[1]),
            (&[1, 3], &[1, 2]),
        ] {
            assert_eq!(after(held, said, true), pins(held));
        }
        for (held, said) in [
            (&[1][..], &[1, 2][..]),
            (&[1, 2], &[2]),
            (&[1, 2], &[2, 3]),
            (&[1, 2], &[1, 2]),
        ] {
            assert_eq!(after(held, said, true), pins(said));
        }
        // Nothing came of the contact itself.
        assert_eq!(after(&[2], &[1], false), pins(&[1]));
        let mut elsewhere = address(&[1]);
        elsewhere.port = 444;
        let moved = address_of_device(Some(&address(&[2])), elsewhere.clone(), true);
        assert_eq!(moved, elsewhere);
    }
}
