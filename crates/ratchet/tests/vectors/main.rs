// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The known answers of `vectors/v1` for handshakes, conversations and padding: what the second
//! implementation sealed is sealed here to the same bytes and opened, and what it refuses is
//! refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics"
)]

mod continuations;
mod party;
#[path = "../../../../vectors/replay.rs"]
mod replay;
#[path = "../../../../vectors/scripted.rs"]
mod scripted;

use party::{Party, World};
use replay::{array, bytes, file, is_valid, list, number, text};
use serde_json::Value;
use waxwing_crypto::kdf::sha256;
use waxwing_ratchet::RatchetError;

/// [SES-7], [SES-8], [SES-9], [SES-10], [SES-11], [SES-12], [SES-13], [SES-14]: the prefix has every value of
/// the key schedule in it, or under its MACs.
#[test]
fn handshakes_are_made_alike() {
    // Byte for byte only where the backend follows from the randomness given.
    if !waxwing_crypto::backend::active().takes_randomness() {
        return;
    }
    for case in list(&file("handshakes")["handshakes"]) {
        let world = World::new(case);
        let session = world.initiate(case);
        assert_eq!(session.id().as_bytes(), &array(&case["values"]["th"]));
        assert_eq!(
            session.prefix_row().unwrap(),
            bytes(&case["values"]["prefix"])
        );
        assert_eq!(session.attempt(), number::<u32>(&case["attempt"]));
    }
}

/// [SES-16]: each changed byte of a prefix is refused, and the whole prefix is still accepted.
#[test]
fn changed_prefixes_are_refused() {
    for case in list(&file("handshakes")["handshakes"]) {
        let world = World::new(case);
        let mut a = Party::initiator(world.initiate(case));
        let envelope = a.seal(b"text", vec![vec![7; 16]]).unwrap();
        for refused in list(&case["refused"]) {
            let mut forged = envelope.clone();
            // Version and kind of the envelope stand before the prefix.
            forged[2 + number::<usize>(&refused["at"])] ^= 1;
            let mut b = Party::responder();
            assert!(b.open(&world, &forged).is_err(), "{}", refused["name"]);
        }
        let mut b = Party::responder();
        assert_eq!(b.open(&world, &envelope).unwrap(), b"text");
    }
}

/// [SES-24] to [SES-40], [SES-90] to [SES-101]: both sides of each conversation, byte for byte; among it header
/// keys and tags ([SES-27], [SES-33], [SES-34]), envelopes ([ENV-1]) and units of epochs ([ENV-60]).
#[test]
fn conversations_are_held_alike() {
    // Byte for byte only where the backend follows from the randomness given.
    if !waxwing_crypto::backend::active().takes_randomness() {
        return;
    }
    let file = file("conversations");
    for conversation in list(&file["conversations"]) {
        let mut held = Held::new(&file["responder"]);
        let id = held.a.session().id();
        assert_eq!(id.as_bytes(), &array(&conversation["th"]));
        let (mut sent, mut opened, mut refused) = (0, 0, 0);
        for event in list(&conversation["events"]) {
            if event.get("send").is_some() {
                held.send(event);
                sent += 1;
            } else if event.get("refuse_send").is_some() {
                let error = held
                    .side(&event["refuse_send"])
                    .seal(b"", vec![vec![0; 16]]);
                assert_eq!(error, Err(RatchetError::ChainExhausted));
            } else if held.arrive(event) {
                opened += 1;
            } else {
                refused += 1;
            }
        }
        assert!(sent + refused > 0 && opened > 0, "{}", conversation["name"]);
    }
}

/// Two parties and every envelope that was sealed between them.
struct Held {
    world: World,
    a: Party,
    b: Party,
    envelopes: Vec<Vec<u8>>,
}

impl Held {
    fn new(values: &Value) -> Self {
        let world = World::new(values);
        let a = Party::initiator(world.initiate(values));
        Self {
            world,
            a,
            b: Party::responder(),
            envelopes: Vec::new(),
        }
    }

    fn side(&mut self, who: &Value) -> &mut Party {
        match text(who) {
            "A" => &mut self.a,
            _ => &mut self.b,
        }
    }

    fn send(&mut self, event: &Value) {
        let step = event.get("ratchet_secret").map(bytes);
        let kem = event.get("kem_random").map(bytes);
        let random = [bytes(&event["random"])];
        let draws = step.into_iter().chain(kem).chain(random).collect();
        let content = bytes(&event["content"]);
        let envelope = self.side(&event["send"]).seal(&content, draws).unwrap();
        match event.get("bytes") {
            Some(expected) => assert_eq!(envelope, bytes(expected)),
            None => assert_eq!(sha256(&[&envelope]), array(&event["sha256"])),
        }
        assert_eq!(self.envelopes.len(), number::<usize>(&event["envelope"]));
        self.envelopes.push(envelope);
    }

    /// Whether the envelope was opened.
    fn arrive(&mut self, event: &Value) -> bool {
        let mut envelope = match event.get("bytes") {
            Some(sealed) => bytes(sealed),
            None => self.envelopes[number::<usize>(&event["envelope"])].clone(),
        };
        if let Some(at) = event.get("changed_byte") {
            envelope[number::<usize>(at)] ^= 1;
        }
        let Self { world, a, b, .. } = self;
        let receiver = if event["arrive"] == "A" { a } else { b };
        let opened = receiver.open(world, &envelope);
        if is_valid(event) {
            assert_eq!(opened.unwrap(), bytes(&event["content"]));
            return true;
        }
        assert!(opened.is_err(), "opened: {event}");
        let Err(error) = opened else { return false };
        let alarm = text(&event["verdict"]) == "SES-30";
        assert_eq!(error.is_alarm(), alarm, "{}: {error}", event["name"]);
        false
    }
}

/// What B draws for its first content: the secret of its step, the seed of the first epoch's key
/// where the slack has room for it ([SES-91]), and the randomness of the salt.
fn first_draws(slack: usize) -> Vec<Vec<u8>> {
    let kem = (slack >= 55).then(|| vec![3; 64]);
    let step = [vec![2; 32]];
    step.into_iter().chain(kem).chain([vec![0; 16]]).collect()
}

/// [ENV-5], [ENV-6]: seen from outside, as lengths of envelopes.
#[test]
fn contents_are_padded_alike() {
    let values = &file("conversations")["responder"];
    let mut compared = 0;
    for case in list(&file("padding")["lengths"]) {
        let prefix = number::<usize>(&case["prefix"]);
        let mut held = Held::new(values);
        if prefix == 0 {
            let hello = held.a.seal(b"", vec![vec![0; 16]]).unwrap();
            held.b.open(&held.world, &hello).unwrap();
        }
        let content = vec![1; number(&case["content"])];
        let padded = number::<usize>(&case["padded"]);
        let envelope = match prefix {
            0 => held
                .b
                .seal(&content, first_draws(padded - 2 - content.len()))
                .unwrap(),
            2684 => held.a.seal(&content, vec![vec![0; 16]]).unwrap(),
            // Initiators with larger manifests.
            _ => continue,
        };
        let overhead = 1 + 1 + prefix + 16 + 16 + 60 + 16;
        assert_eq!(envelope.len(), overhead + padded, "{case}");
        compared += 1;
    }
    assert_eq!(compared, 38);
}
