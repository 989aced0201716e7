// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two devices and a network that loses, doubles, reorders and changes what they send: the input is
//! the schedule. The devices are those of the model that `cargo xtask model` explores.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use self::party::{Keys, Party, Prekeys, Refusal};

#[path = "../../crates/ratchet/tests/model/party.rs"]
#[allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "shared with the tests of the ratchet, which use all of it and fail by panicking"
)]
mod party;

static KEYS: LazyLock<[Keys; 2]> = LazyLock::new(|| [Keys::new(0), Keys::new(1)]);

/// Steps of one schedule; more would only be slower.
const STEPS_MAX: usize = 60;
/// Handshakes of one side, live and dead ones.
const HANDSHAKES_MAX: u8 = 5;

/// An envelope on its way.
struct Flying {
    to: usize,
    bytes: Vec<u8>,
}

struct World {
    parties: [Party; 2],
    flying: Vec<Flying>,
    /// What each side has shown.
    shown: [BTreeSet<Vec<u8>>; 2],
}

/// Each step is two bytes: what happens, and to what. Whatever the network does, a content is shown
/// at most once and as it was sent, what was changed on the way is refused without a trace, and no
/// honest device takes the other for two.
pub(crate) fn two_devices(input: &[u8]) {
    let mut world = World {
        parties: [Party::new(0), Party::new(1)],
        flying: Vec::new(),
        shown: [BTreeSet::new(), BTreeSet::new()],
    };
    for step in input.chunks_exact(2).take(STEPS_MAX) {
        if let [what, which] = step {
            world.step(*what, usize::from(*which));
        }
    }
}

impl World {
    fn step(&mut self, what: u8, which: usize) {
        let side = which & 1;
        match what & 7 {
            0 | 1 => self.send(side),
            2 => self.open(side, Prekeys::Live),
            3 => self.open(side, Prekeys::Dead),
            4 => self.receive(which, false),
            5 => self.receive(which, true),
            6 => self.receive_changed(which),
            _ => drop(self.take(which)),
        }
    }

    fn send(&mut self, side: usize) {
        let Some(party) = self.parties.get_mut(side) else {
            return;
        };
        if party.active(None).is_none() {
            return self.open(side, Prekeys::Live);
        }
        let bytes = party.send(None);
        self.fly(side, bytes);
    }

    fn open(&mut self, side: usize, prekeys: Prekeys) {
        let [a, b] = &*KEYS;
        let (own, peer) = if side == 0 { (a, b) } else { (b, a) };
        let Some(party) = self.parties.get_mut(side) else {
            return;
        };
        if party.handshakes_made < HANDSHAKES_MAX {
            let bytes = party.open(own, peer, prekeys, None);
            self.fly(side, bytes);
        }
    }

    fn fly(&mut self, from: usize, bytes: Vec<u8>) {
        let to = from ^ 1;
        self.flying.push(Flying { to, bytes });
    }

    fn take(&mut self, which: usize) -> Option<Flying> {
        let at = which.checked_rem(self.flying.len())?;
        Some(self.flying.swap_remove(at))
    }

    fn receive(&mut self, which: usize, again: bool) {
        let Some(Flying { to, bytes }) = self.take(which) else {
            return;
        };
        let (Some(party), Some(keys)) = (self.parties.get_mut(to), KEYS.get(to)) else {
            return;
        };
        let before = party.canonical();
        match party.receive(keys, &bytes) {
            Ok(content) => {
                let from = u8::try_from(to ^ 1).unwrap_or(u8::MAX);
                assert!(content.first() == Some(&from), "not what was sent");
                let shown = self.shown.get_mut(to).expect("two sides");
                assert!(shown.insert(content), "a content was shown twice");
            }
            Err(Refusal::NotNeeded(_)) => {
                assert!(before == party.canonical(), "a refusal left a trace")
            }
            Err(Refusal::Alarm(error)) => panic!("a false alarm: {error}"),
            Err(Refusal::Broken(error)) => panic!("an honest envelope was refused: {error}"),
        }
        if again {
            self.flying.push(Flying { to, bytes });
        }
    }

    fn receive_changed(&mut self, which: usize) {
        let Some(Flying { to, mut bytes }) = self.take(which) else {
            return;
        };
        let at = which
            .wrapping_mul(131)
            .checked_rem(bytes.len())
            .unwrap_or(0);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1;
        }
        let (Some(party), Some(keys)) = (self.parties.get_mut(to), KEYS.get(to)) else {
            return;
        };
        let before = party.canonical();
        match party.receive(keys, &bytes) {
            Ok(_) => panic!("a changed envelope was opened"),
            Err(Refusal::Alarm(error)) => panic!("the network raised an alarm: {error}"),
            Err(_) => assert!(before == party.canonical(), "a refusal left a trace"),
        }
    }
}
