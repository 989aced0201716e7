// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loss, duplication and reordering: nothing that arrives is lost, and nothing is opened twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{NOW, Party, acquainted, strangers};
use crate::{Envelope, RatchetError};

#[test]
fn the_first_envelopes_may_be_lost() {
    for lost in [1, 2, 63, 64, 65, 256, 999] {
        let (mut a, mut b) = strangers();
        let envelopes: Vec<_> = (0..=lost).map(|_| a.send(&mut b, b"x")).collect();
        b.receive(&envelopes[lost]).unwrap();
        assert_eq!(b.skipped.len(), lost);
        let answer = b.send(&mut a, b"answer");
        a.receive(&answer).unwrap();
        // The lost ones come after all, last first, prefix and all.
        for envelope in envelopes[..lost].iter().rev() {
            assert_eq!(b.receive(envelope).unwrap(), b"x");
        }
        assert!(b.skipped.is_empty());
    }
}

/// [SES-19]: beyond the window of tags a repeated prefix leads to its session, and the one-time pair that it
/// names is not needed again.
#[test]
fn a_repeated_prefix_is_known_again_whatever_its_number() {
    let (mut a, mut b) = strangers();
    let envelopes: Vec<_> = (0..400).map(|_| a.send(&mut b, b"x")).collect();
    for at in [0, 200, 399, 100, 1] {
        assert_eq!(b.receive(&envelopes[at]).unwrap(), b"x");
        b.restart();
    }
    assert_eq!(b.hot.len(), 1);
    assert_eq!(b.skipped.len(), 395);
}

#[test]
fn a_gap_in_front_of_a_running_session() {
    for lost in [1, 15, 16, 17, 63, 64, 65, 256, 998] {
        let (mut a, mut b) = acquainted();
        let envelopes: Vec<_> = (0..=lost).map(|_| a.send(&mut b, b"x")).collect();
        b.receive(&envelopes[lost]).unwrap();
        b.restart();
        for envelope in &envelopes[..lost] {
            b.receive(envelope).unwrap();
            assert!(b.receive(envelope).is_err());
        }
        assert!(b.skipped.is_empty());
        // [SES-35]: what is ready for this chain, up to its end, and for the next.
        let next = lost + 2;
        let ready = (16 + next).min(64).min(1000 - next);
        assert_eq!(b.tags.len(), ready + 16);
    }
}

#[test]
fn a_chain_may_be_lost_but_for_its_end() {
    let (mut a, mut b) = acquainted();
    let old: Vec<_> = (0..300).map(|_| a.send(&mut b, b"old")).collect();
    b.receive(&old[0]).unwrap();
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    let new: Vec<_> = (0..200).map(|_| a.send(&mut b, b"new")).collect();
    b.receive(&new[150]).unwrap();
    assert_eq!(b.skipped.len(), 299 + 150);
    b.restart();
    for envelope in old[1..].iter().chain(&new[..150]).chain(&new[151..]) {
        b.receive(envelope).unwrap();
    }
    assert!(b.skipped.is_empty());
}

#[test]
fn beyond_the_limit_the_oldest_skipped_keys_go_and_no_envelope_is_refused() {
    let (mut a, mut b) = acquainted();
    let answer = b.send(&mut a, b"turn");
    a.receive(&answer).unwrap();
    let old: Vec<_> = (0..1000).map(|_| a.send(&mut b, b"old")).collect();
    b.receive(&old[999]).unwrap();
    assert_eq!(b.skipped.len(), 999);
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    let new: Vec<_> = (0..500).map(|_| a.send(&mut b, b"new")).collect();
    b.receive(&new[499]).unwrap();
    assert_eq!(b.skipped.len(), 1000);
    assert!(b.receive(&old[0]).is_err());
    assert_eq!(b.receive(&old[998]).unwrap(), b"old");
    assert_eq!(b.receive(&new[0]).unwrap(), b"new");

    // Both chains are skipped in one opening: still at most 1000 rows.
    let (mut a, mut b) = acquainted();
    let old: Vec<_> = (0..998).map(|_| a.send(&mut b, b"old")).collect();
    let answer = b.send(&mut a, b"turn");
    a.receive(&answer).unwrap();
    let new: Vec<_> = (0..1000).map(|_| a.send(&mut b, b"new")).collect();
    let envelope = Envelope::parse(&new[999]).unwrap();
    let opened = b.active().decrypt(&envelope, None, NOW).unwrap();
    assert_eq!(opened.skipped_added.len(), 1000);
    assert_eq!(b.receive(&new[999]).unwrap(), b"new");
    assert_eq!(b.skipped.len(), 1000);
    assert!(b.receive(&old[0]).is_err());
    assert_eq!(b.receive(&old[997]).unwrap(), b"old");
}

#[test]
fn a_replay_is_refused_and_changes_nothing() {
    let (mut a, mut b) = strangers();
    let first = a.send(&mut b, b"first");
    b.receive(&first).unwrap();
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    let second = a.send(&mut b, b"second");
    b.receive(&second).unwrap();
    let before = b.snapshot();
    for replayed in [&first, &second] {
        let error = b.receive(replayed).unwrap_err();
        assert!(matches!(
            error,
            RatchetError::Replay | RatchetError::UnknownTag
        ));
        assert_eq!(b.snapshot(), before);
    }
}

#[derive(Debug, Clone)]
enum Act {
    Send(bool),
    Deliver(bool, usize),
    Duplicate(bool, usize),
    Lose(bool, usize),
    Restart(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let which = || any::<proptest::sample::Index>().prop_map(|index| index.index(1 << 16));
    prop_oneof![
        5 => any::<bool>().prop_map(Act::Send),
        5 => (any::<bool>(), which()).prop_map(|(side, at)| Act::Deliver(side, at)),
        1 => (any::<bool>(), which()).prop_map(|(side, at)| Act::Duplicate(side, at)),
        1 => (any::<bool>(), which()).prop_map(|(side, at)| Act::Lose(side, at)),
        1 => any::<bool>().prop_map(Act::Restart),
    ]
}

/// What is under way to one party, and what it has opened.
#[derive(Default)]
struct Road {
    under_way: Vec<(u32, Vec<u8>)>,
    sent: u32,
    lost: u32,
    opened: BTreeMap<u32, u32>,
}

impl Road {
    fn send(&mut self, from: &mut Party, to: &mut Party) {
        let envelope = from.send(to, &self.sent.to_be_bytes());
        self.under_way.push((self.sent, envelope));
        self.sent += 1;
    }

    /// Delivers one envelope, perhaps not for the last time.
    fn deliver(&mut self, to: &mut Party, at: usize, again: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let at = at % self.under_way.len();
        let (number, envelope) = self.under_way[at].clone();
        if !again {
            self.under_way.remove(at);
        }
        let before = to.snapshot();
        match to.receive(&envelope) {
            Ok(content) => {
                assert_eq!(content, number.to_be_bytes());
                *self.opened.entry(number).or_default() += 1;
            }
            Err(error) => {
                assert!(
                    self.opened.contains_key(&number),
                    "{number} refused: {error}"
                );
                assert!(!error.is_alarm());
                assert_eq!(to.snapshot(), before);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both sides may write first, so this crosses handshakes as well.
    #[test]
    fn what_arrives_is_opened_once(acts in proptest::collection::vec(act(), 1..60)) {
        let mut parties = [Party::new(1, 2), Party::new(2, 2)];
        let mut roads = [Road::default(), Road::default()];
        for act in acts {
            let [a, b] = &mut parties;
            let [to_a, to_b] = &mut roads;
            match act {
                Act::Send(true) => to_b.send(a, b),
                Act::Send(false) => to_a.send(b, a),
                Act::Deliver(true, at) => to_a.deliver(a, at, false),
                Act::Deliver(false, at) => to_b.deliver(b, at, false),
                Act::Duplicate(true, at) => to_a.deliver(a, at, true),
                Act::Duplicate(false, at) => to_b.deliver(b, at, true),
                Act::Lose(side, at) => {
                    let road = if side { to_a } else { to_b };
                    if !road.under_way.is_empty() {
                        let (number, _) = road.under_way.remove(at % road.under_way.len());
                        road.lost += u32::from(!road.opened.contains_key(&number));
                    }
                }
                Act::Restart(side) => if side { a.restart() } else { b.restart() },
            }
        }
        // Everything that is still under way arrives; then both talk once more.
        let [a, b] = &mut parties;
        let [to_a, to_b] = &mut roads;
        while !to_a.under_way.is_empty() { to_a.deliver(a, 0, false); }
        while !to_b.under_way.is_empty() { to_b.deliver(b, 0, false); }
        for _ in 0..2 {
            to_b.send(a, b);
            to_b.deliver(b, 0, false);
            to_a.send(b, a);
            to_a.deliver(a, 0, false);
        }
        prop_assert_eq!(a.set.active(), b.set.active());
        for road in [to_a, to_b] {
            prop_assert!(road.opened.values().all(|times| *times == 1));
            let opened = u32::try_from(road.opened.len()).unwrap();
            prop_assert_eq!(opened + road.lost, road.sent);
        }
    }
}
