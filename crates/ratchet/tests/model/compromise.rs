// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device is read out at some moment, with everything that it stores, and everything that is sent to
//! it afterwards is recorded. What opens with both is exactly what the specification says: chains that
//! the peer began against a key of before. One answer to a step of afterwards, and nothing opens any
//! more, in new sessions neither. Who sends with what was read out is believed until the peer has opened
//! a step that the device made afterwards, and opens a session until the peer has opened the next.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use waxwing_ratchet::SessionId;

use crate::party::{Keys, Party, Prekeys};
use crate::thief::may_open;

/// The sessions that the peer opened, each with the session, and the step of the device in it, that it
/// continues.
type OpenedByPeer = BTreeMap<SessionId, Option<(SessionId, u32)>>;

struct Walk {
    keys: [Keys; 2],
    parties: [Party; 2],
    under_way: [Vec<Vec<u8>>; 2],
    rng: ChaCha20Rng,
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self {
            keys: [Keys::new(0), Keys::new(1)],
            parties: [Party::new(0), Party::new(1)],
            under_way: [Vec::new(), Vec::new()],
            rng: ChaCha20Rng::seed_from_u64(seed),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.next_u32() as usize % bound
    }

    /// A content of one device, seldom in a new session. Returns the envelope.
    fn send(&mut self, side: usize) -> Vec<u8> {
        let opens = self.parties[side].active(None).is_none() || self.below(12) == 0;
        let party = &mut self.parties[side];
        let envelope = if opens {
            party.open(&self.keys[side], &self.keys[1 - side], Prekeys::Live, None)
        } else {
            party.send(None)
        };
        self.under_way[1 - side].push(envelope.clone());
        envelope
    }

    /// Something arrives: in any order, one in eight never, one in eight again later.
    fn arrive(&mut self, side: usize) {
        if self.under_way[side].is_empty() {
            return;
        }
        let at = self.below(self.under_way[side].len());
        let fate = self.below(8);
        let envelope = if fate == 0 {
            self.under_way[side][at].clone()
        } else {
            self.under_way[side].remove(at)
        };
        if fate != 1 {
            let opened = self.parties[side].receive(&self.keys[side], &envelope);
            assert!(
                !matches!(opened, Err(crate::party::Refusal::Alarm(_))),
                "{opened:?}"
            );
        }
    }

    fn some(&mut self, events: usize) {
        for _ in 0..events {
            let side = self.below(2);
            if self.below(2) == 0 {
                self.send(side);
            } else {
                self.arrive(side);
            }
        }
    }
}

/// Returns how many of the recorded contents opened, and how many did not.
fn read_out(seed: u64) -> (usize, usize) {
    let mut walk = Walk::new(seed);
    walk.some(10 + usize::try_from(seed % 20).unwrap());
    let mut thief = walk.parties[0].clone();
    let known = thief.steps.clone();
    let mut opened_by_peer = OpenedByPeer::new();
    let (mut opened, mut closed) = (0, 0);
    for _ in 0..40 {
        if walk.below(3) == 0 {
            let before = walk.parties[1].handshakes_made;
            let envelope = walk.send(1);
            let peer = &walk.parties[1];
            let (session, step) = peer.sent_at.unwrap();
            if peer.handshakes_made > before && peer.active(None) == Some(session) {
                let heard = |named| peer.heard.get(&named).copied().unwrap_or_default();
                let salt = peer.continues().map(|named| (named, heard(named)));
                opened_by_peer.insert(session, salt);
            }
            let salt = opened_by_peer.get(&session).copied().flatten();
            let may_open = may_open(&known, session, step, salt);
            let opens = thief.receive(&walk.keys[0], &envelope).is_ok();
            assert!(may_open || !opens, "seed {seed}: step {step} opens");
            if known.contains_key(&session) && thief.keeps(session) {
                assert_eq!(opens, may_open, "seed {seed}: step {step}");
            }
            opened += usize::from(opens);
            closed += usize::from(!opens);
        } else if walk.below(2) == 0 {
            walk.send(0);
        } else {
            let side = walk.below(2);
            walk.arrive(side);
        }
    }
    (opened, closed)
}

#[test]
fn a_device_that_was_read_out_heals_as_it_is_said() {
    let (mut opened, mut closed) = (0, 0);
    for seed in 0..60 {
        let (more_opened, more_closed) = read_out(seed);
        opened += more_opened;
        closed += more_closed;
    }
    assert!(
        opened > 50 && closed > 50,
        "{opened} opened, {closed} did not"
    );
}

/// The session that a device would send in, and the first step that it makes there from now on.
fn next_own_step(device: &Party) -> Option<(SessionId, u32)> {
    let session = device.active(None)?;
    let newest = device.steps.get(&session).copied()?;
    let heard = device.heard.get(&session).copied().unwrap_or_default();
    // Where the newest step is its own, the peer's comes between.
    Some((session, newest + 1 + u32::from(heard != newest)))
}

/// What a copy tries at the peer, at each moment, with everything that it could open since.
#[derive(Debug, Default)]
struct Tries {
    /// Contents that were believed before the copy was shut out, and those that were refused.
    believed: usize,
    refused: usize,
    /// The same of sessions.
    opened: usize,
    shut_out: usize,
}

impl Tries {
    /// The peer as it is now is asked, and stays as it is.
    fn ask(&mut self, walk: &Walk, copy: &Party, (session, next): (SessionId, u32)) {
        let peer = &walk.parties[1];
        let heard = peer.heard.get(&session).copied().unwrap_or_default();
        let believes = |envelope: &[u8]| peer.clone().receive(&walk.keys[1], envelope).is_ok();

        let mut sender = copy.clone();
        if sender.active(None) == Some(session) && peer.keeps(session) {
            let envelope = sender.send(None);
            let (_, step) = sender.sent_at.unwrap();
            let is_believed = believes(&envelope);
            // An older chain's lost numbers can be used up as long as their keys are kept.
            if heard >= next && step >= next {
                assert!(!is_believed, "step {step} after {heard} of the device");
                self.refused += 1;
            }
            self.believed += usize::from(is_believed);
        }
        let mut opener = copy.clone();
        if opener.active(None) == Some(session) {
            let envelope = opener.open(&walk.keys[0], &walk.keys[1], Prekeys::Live, None);
            let is_opened = believes(&envelope);
            if heard >= next + 2 {
                assert!(!is_opened, "a session after step {heard} of the device");
                self.shut_out += 1;
            }
            self.opened += usize::from(is_opened);
        }
    }
}

#[test]
fn who_sends_with_what_was_read_out_is_shut_out_as_it_is_said() {
    let mut tries = Tries::default();
    for seed in 100..160 {
        let mut walk = Walk::new(seed);
        walk.some(10 + usize::try_from(seed % 20).unwrap());
        let mut copy = walk.parties[0].clone();
        let Some(next) = next_own_step(&copy) else {
            continue;
        };
        // Its randomness is not the device's.
        copy.contents_sent = 200;
        copy.handshakes_made = 200;
        for _ in 0..45 {
            if walk.below(3) == 0 {
                let envelope = walk.send(1);
                let _ = copy.receive(&walk.keys[0], &envelope);
            } else if walk.below(3) == 0 {
                walk.send(0);
            } else {
                let side = walk.below(2);
                walk.arrive(side);
            }
            tries.ask(&walk, &copy, next);
        }
    }
    let Tries {
        believed,
        refused,
        opened,
        shut_out,
    } = tries;
    assert!(
        believed.min(refused).min(opened).min(shut_out) > 50,
        "{tries:?}"
    );
}
