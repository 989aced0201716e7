// SPDX-License-Identifier: Apache-2.0 OR MIT
//! KEM epochs, counted: messages for an epoch, bytes for a message, messages until a compromise is
//! healed. Nothing here is timed.

use waxwing_crypto::DhSecret;

use super::world::{NOW, Party, acquainted};
use crate::Envelope;
use crate::session::kem::Phase;
use crate::session::state::State;

/// The length of the contents.
const CONTENT: usize = 100;
/// The length of their envelopes, with or without an epoch under way.
const ENVELOPE: usize = 622;

/// Talk in turns, with an epoch under way from the start.
struct Talk {
    parties: [Party; 2],
    /// Whose turn it is.
    turn: usize,
    /// Messages so far.
    messages: u32,
    /// Lost in each hundred, by a linear congruence.
    loss: u32,
    seed: u32,
}

impl Talk {
    fn new(loss: u32, seed: u32) -> Self {
        let (a, b) = acquainted();
        Self {
            parties: [b, a],
            turn: 0,
            messages: 0,
            loss,
            seed,
        }
    }

    /// One message; `None` where it is lost.
    fn message(&mut self) -> Option<Vec<u8>> {
        let [first, second] = &mut self.parties;
        let (from, to) = if self.turn == 0 {
            (first, second)
        } else {
            (second, first)
        };
        self.turn ^= 1;
        self.messages += 1;
        let envelope = from.send(to, &[0x61; CONTENT]);
        assert_eq!(envelope.len(), ENVELOPE);
        self.seed = self
            .seed
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        if (self.seed >> 8) % 100 < self.loss {
            return None;
        }
        assert_eq!(to.receive(&envelope).unwrap(), [0x61; CONTENT]);
        Some(envelope)
    }

    fn mixed(&self) -> u32 {
        let mixed = self
            .parties
            .each_ref()
            .map(|party| party.active().epochs_mixed());
        mixed[0].max(mixed[1])
    }

    /// Messages for each of `epochs` epochs.
    fn epochs(&mut self, epochs: u32) -> Vec<u32> {
        let mut begins = vec![self.messages];
        for _ in 0..epochs {
            let before = self.mixed();
            while self.mixed() == before {
                self.message();
                assert!(self.messages < 10_000);
            }
            begins.push(self.messages);
        }
        begins.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// [SES-91] to [SES-99]: 37 and 35 units in slacks of 12 are 4 messages and 3, each between two of
/// the other side; the step that mixes is the last.
#[test]
fn an_epoch_takes_thirteen_messages_and_no_byte() {
    let mut talk = Talk::new(0, 1);
    talk.epochs(1);
    assert_eq!(talk.epochs(6), [13; 6]);
    let [b, a] = &talk.parties;
    assert_eq!(a.active().epochs_mixed(), 7);
    assert!(b.active().epochs_mixed() >= 6);
    assert!(talk.parties.iter().all(|party| party.epochs_failed == 0));
}

#[test]
fn epochs_complete_with_loss() {
    for (loss, mean, longest) in [(30, 24, 60), (60, 90, 300)] {
        let mut talk = Talk::new(loss, 7);
        let epochs = talk.epochs(12);
        let sum: u32 = epochs.iter().sum();
        assert!(sum <= 12 * mean, "{loss} % loss: {epochs:?}");
        assert!(epochs.iter().all(|one| *one <= longest), "{epochs:?}");
        assert!(talk.parties.iter().all(|party| party.epochs_failed == 0));
    }
}

/// Somebody who had everything that A holds, and who from then on breaks every X25519 agreement:
/// what the ratchet secrets of A are for A, they are for it. It has no randomness of A's and B's KEM.
struct Shadow {
    state: State,
    since: u32,
}

impl Shadow {
    /// Follows a message of A or of B as far as it can.
    fn follow(&mut self, a: &State, envelope: Option<&Envelope<'_>>) {
        let own = |state: &State| {
            let chain = state.sending.as_ref()?;
            Some(DhSecret::restore(
                chain.ratchet.expose().duplicate(),
                *chain.ratchet.public(),
            ))
        };
        if let Some(envelope) = envelope {
            let secret = own(&self.state);
            if let Ok(received) = self.state.receive(secret.as_ref(), envelope, 20_000) {
                self.state = received.state;
            }
        } else if self.state.sending.is_none()
            && let Some(secret) = own(a)
        {
            let _ = self
                .state
                .make_step(secret, &mut crate::KemChanges::default());
        }
        if let (Some(own), Some(chain)) = (&mut self.state.sending, &a.sending) {
            own.n = chain.n;
        }
    }

    fn knows(&self, a: &State) -> bool {
        self.state.root.expose() == a.root.expose()
    }
}

/// The messages from a compromise of A until its root is unknown again, for a compromise before
/// each of two epochs' messages.
fn healing() -> Vec<u32> {
    let mut talk = Talk::new(0, 1);
    talk.epochs(2);
    let mut shadows: Vec<Shadow> = Vec::new();
    let mut healed = Vec::new();
    for round in 0..26 + 30 {
        if round < 26 {
            shadows.push(Shadow {
                state: talk.parties[1].active().state().duplicate(),
                since: talk.messages,
            });
        }
        let from_a = talk.turn == 1;
        let envelope = talk.message().unwrap();
        let parsed = Envelope::parse(&envelope).unwrap();
        let a = talk.parties[1].active();
        for shadow in &mut shadows {
            shadow.follow(a.state(), (!from_a).then_some(&parsed));
        }
        // A step of B that mixes is refused by a shadow that lacks the secret: its root stays behind.
        shadows.retain(|shadow| {
            let knows = shadow.knows(a.state());
            if !knows {
                healed.push(talk.messages - shadow.since);
            }
            knows
        });
    }
    assert!(shadows.is_empty());
    healed
}

/// An epoch heals what was compromised before its first message; what was compromised in its midst
/// is healed by the next one.
#[test]
fn a_compromise_heals_within_two_epochs() {
    let healed = healing();
    assert_eq!(healed.len(), 26);
    let sum: u32 = healed.iter().sum();
    assert_eq!(healed.iter().max(), Some(&25));
    assert!(sum <= 26 * 19, "mean {}", f64::from(sum) / 26.0);
}

/// Everything that both sides hold after an epoch was mixed opens nothing of before.
#[test]
fn nothing_recorded_opens_with_what_is_held_later() {
    let mut talk = Talk::new(0, 1);
    talk.epochs(1);
    let mut recorded = Vec::new();
    let before = talk.mixed();
    while talk.mixed() < before + 2 {
        recorded.extend(talk.message());
    }
    for _ in 0..2 {
        talk.message();
    }
    for party in &mut talk.parties {
        assert!(party.skipped.is_empty());
        let session = party.active();
        let phase = &session.state().epochs.phase;
        assert!(matches!(
            phase,
            Phase::Idle | Phase::Offering(..) | Phase::Collecting(_)
        ));
        for envelope in &recorded {
            let parsed = Envelope::parse(envelope).unwrap();
            assert!(session.decrypt(&parsed, None, NOW).is_err());
        }
    }
}
