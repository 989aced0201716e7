// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deniability: "The recipient alone can make a transcript that verifies, so a transcript proves nothing
//! to others" (rationale, Deniability; [IDN-7]).
//!
//! Here B makes everything: with its own secrets and the public manifest of A, whose secrets are gone
//! before it begins. What it makes is opened by the code that opens what A sends, under the checks of
//! [SES-16]. That nobody else can is `an_impostor_without_the_device_secret_is_refused`.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use waxwing_crypto::backend::ParameterSet;
use waxwing_crypto::{DhSecret, Secret, aead, kdf, kem, labels, secret};
use waxwing_identity::DeviceManifest;

use super::world::{NOW, Party, acquainted, strangers};
use crate::session::header::HeaderKeys;
use crate::session::kem::Epochs;
use crate::session::root_key::RootKey;
use crate::session::state::{Continuity, ReceivingChain, State};
use crate::{
    Acknowledgement, Envelope, HandshakeId, KemChanges, PrekeySecret, Role, Session, SessionId,
    continuity,
};

/// A's device, with its secrets, is made and dropped here. What is left is what every server hands out.
fn public_part_of_a() -> DeviceManifest {
    Party::new(1, 0).manifest
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([0x77; 32])
}

/// What a session of A begins with: its identity in the form of [SES-10].
fn identity(a: &DeviceManifest, ratchet: &DhSecret, next: Option<&Predecessor>) -> Vec<u8> {
    let manifest = a.as_bytes();
    let mut bytes = [
        a.account().as_bytes().as_slice(),
        a.devices()[0].id().as_bytes(),
        &u16::try_from(manifest.len()).unwrap().to_be_bytes(),
        manifest,
        ratchet.public(),
        next.map_or(&[0; 32], |(id, _)| id.as_bytes()),
        &0_u32.to_be_bytes(),
        &next.map_or([0; 8], |(_, secret)| *continuity::name(secret).as_bytes()),
    ]
    .concat();
    bytes.resize(bytes.len().next_multiple_of(1024), 0);
    bytes
}

/// The session that a handshake continues, with the secret that [SES-50] asks for.
type Predecessor = (SessionId, Secret<32>);

/// [SES-7] to [SES-14] by B for A: a session with A as its initiator. Where the specification has A's
/// secret meet a public key of B, B's secret meets the public key of A.
fn make_up(
    b: &Party,
    a: &DeviceManifest,
    one_time: Option<&PrekeySecret>,
    next: Option<&Predecessor>,
    rng: &mut ChaCha20Rng,
) -> Session {
    let device = a.devices()[0];
    let signed = &b.signed.0;
    let pair = one_time.unwrap_or(signed);
    let (ephemeral, ratchet) = (DhSecret::generate(rng), DhSecret::generate(rng));
    let kem_key = pair.kem.encapsulation_key();
    let (ct, ss) = kem::encapsulate(ParameterSet::MlKem1024, &kem_key, rng).unwrap();

    let head = signed.head().unwrap();
    let h0 = kdf::sha256(&[
        b"hs0",
        &[0, 1],
        b.manifest.account().as_bytes(),
        b.manifest.devices()[0].id().as_bytes(),
        &head.version.to_be_bytes(),
        head.hash.as_bytes(),
        b.secrets.signing.device_key().as_bytes(),
        b.secrets.dh.public(),
        signed.dh.public(),
        one_time.map_or(&kdf::Z, |pair| pair.dh.public()),
        &kem_key,
        ephemeral.public(),
        &ct,
    ]);
    let with_signed = signed.dh.agree(ephemeral.public()).unwrap();
    let with_one_time = one_time.map(|pair| pair.dh.agree(ephemeral.public()).unwrap());
    let with_one_time = with_one_time.as_ref().map_or(&kdf::Z, Secret::expose);
    let ikm: [&[u8]; 3] = [with_signed.expose(), with_one_time, ss.expose()];
    let derived: Secret<64> = kdf::derive(&kdf::Z, &ikm, labels::HANDSHAKE_ID, &h0);
    let [k_id, c0] = secret::split(derived.expose());

    let identity = identity(a, &ratchet, next);
    let mut prefix = vec![1, 0, 1];
    prefix.extend_from_slice(&signed.id().to_be_bytes());
    prefix.extend_from_slice(&one_time.map_or(0, PrekeySecret::id).to_be_bytes());
    prefix.extend_from_slice(ephemeral.public());
    prefix.extend_from_slice(&ct);
    prefix.push(u8::try_from(identity.len() / 1024).unwrap());
    let sealed = aead::seal(&k_id, &[0; 12], &prefix, &identity).unwrap();
    prefix.extend_from_slice(&sealed);

    let (signing, dh) = (device.signing_key(), device.dh_key());
    let th = kdf::sha256(&[b"hs1", &h0, &identity, signing.as_bytes(), dh.as_bytes()]);
    // DH(IKd_A, SPK), which is all that speaks for A, and DH(EK, IKd_B).
    let by_a = signed.dh.agree(dh.as_bytes()).unwrap();
    let by_b = b.secrets.dh.agree(ephemeral.public()).unwrap();
    let ikm: [&[u8]; 2] = [by_a.expose(), by_b.expose()];
    let derived: Secret<64> = kdf::derive(c0.expose(), &ikm, labels::HANDSHAKE, &th);
    let [c1, k_conf] = secret::split(derived.expose());
    prefix.extend_from_slice(&kdf::hmac_public(k_conf.expose(), &[&th]));

    let salt = next.map_or(&kdf::Z, |(_, secret)| secret.expose());
    let derived: Secret<96> = kdf::derive(salt, &[c1.expose()], labels::HANDSHAKE_ROOT, &th);
    let [root, of_a, of_b] = secret::split(derived.expose());
    let mut state = State {
        id: SessionId::new(th),
        handshake: HandshakeId::new(kdf::sha256(&[ephemeral.public(), &ct])),
        role: Role::Initiator,
        predecessor: next.map_or([0; 32], |(id, _)| *id.as_bytes()),
        attempt: 0,
        created_at: NOW,
        step: 0,
        root: RootKey::new(root),
        sending: None,
        sending_next: HeaderKeys::derive(&of_a),
        previous_length: 0,
        remote: *signed.dh.public(),
        receiving: None,
        receiving_next: HeaderKeys::derive(&of_b),
        continuity: Continuity::default(),
        epochs: Epochs::first(),
    };
    state
        .make_step(ratchet, &mut KemChanges::default())
        .unwrap();
    Session::new(state, Some(Arc::from(prefix)))
}

/// The other side of a session in which B has just made a step, from what B holds.
fn mirror(b: &Session) -> Session {
    let (own, heard) = (b.state(), b.state().receiving.as_ref().unwrap());
    let sent = own.sending.as_ref().unwrap();
    let role = match own.role {
        Role::Initiator => Role::Responder,
        Role::Responder => Role::Initiator,
    };
    let state = State {
        role,
        sending: None,
        sending_next: own.receiving_next.duplicate(),
        previous_length: heard.n,
        remote: *sent.ratchet.public(),
        receiving: Some(ReceivingChain {
            step: own.step,
            key: sent.key.duplicate(),
            n: sent.n,
            mix: sent.mix,
            header: sent.header.duplicate(),
            newest: None,
        }),
        receiving_next: own.sending_next.duplicate(),
        continuity: Continuity::default(),
        epochs: Epochs::first(),
        ..own.duplicate()
    };
    Session::new(state, None)
}

/// More turns of a conversation of which B makes up the other side.
fn go_on(b: &mut Party, mut made_up: Session, turns: u8, rng: &mut ChaCha20Rng) {
    b.judged.clear();
    for turn in 0..turns {
        let sealed = made_up.encrypt(&[turn; 100], rng).unwrap();
        assert_eq!(b.receive(&sealed.envelope).unwrap(), [turn; 100]);
        let answer = b.send_in(made_up.id(), &[turn; 100]);
        let parsed = Envelope::parse(&answer).unwrap();
        made_up = sealed.session.decrypt(&parsed, None, NOW).unwrap().session;
    }
    // What A is said to have acknowledged is what B sent.
    assert!(b.judged.len() >= usize::from(turns) - 1);
    let ours = |judged: &Acknowledgement| *judged == Acknowledgement::Ours;
    assert!(b.judged.iter().all(ours), "{:?}", b.judged);
}

/// The lengths of a first envelope, an answer, a second turn, and B's row in the end.
type Shape = [usize; 4];

/// What the same conversation looks like where A takes part in it.
fn with_a(with_one_time: bool) -> Shape {
    let (mut a, mut b) = strangers();
    if !with_one_time {
        b.hand_out_all();
    }
    let first = a.send(&mut b, b"first");
    b.receive(&first).unwrap();
    let answer = b.send(&mut a, b"answer");
    a.receive(&answer).unwrap();
    let second = a.send(&mut b, b"second");
    b.receive(&second).unwrap();
    [first, answer, second, b.active().hot_row().to_vec()].map(|bytes| bytes.len())
}

/// A handshake, a content, an answer to it and a second turn. B's device takes them for A's, with
/// a one-time pair and without.
#[test]
fn the_recipient_alone_makes_a_transcript_that_verifies() {
    for with_one_time in [true, false] {
        let a = public_part_of_a();
        let mut b = Party::new(2, u32::from(with_one_time));
        let rng = &mut rng();
        let one_time = b.one_time().first().map(|(pair, _)| pair);
        let made_up = make_up(&b, &a, one_time, None, rng);

        let first = made_up.encrypt(b"first", rng).unwrap();
        let parsed = Envelope::parse(&first.envelope).unwrap();
        let initiator = b.accept(&parsed).unwrap().initiator;
        assert_eq!(initiator.account, *a.account());
        assert_eq!(initiator.device, a.devices()[0]);
        assert_eq!(initiator.manifest.as_bytes(), a.as_bytes());
        assert_eq!(b.receive(&first.envelope).unwrap(), b"first");
        assert!(b.one_time().is_empty(), "used up as by A");

        let session = b.set.active().unwrap();
        assert_eq!(session, made_up.id());
        let answer = b.send_in(session, b"answer");
        let parsed = Envelope::parse(&answer).unwrap();
        let opened = first.session.decrypt(&parsed, None, NOW).unwrap();
        assert_eq!(opened.content.as_slice(), b"answer");

        let sealed = opened.session.encrypt(b"second", rng).unwrap();
        let second = sealed.envelope;
        assert!(Envelope::parse(&second).unwrap().prefix().is_none());
        assert_eq!(b.receive(&second).unwrap(), b"second");
        assert!(b.active().prefix_ended());

        let row = b.active().hot_row().to_vec();
        let shape = [first.envelope, answer, second, row].map(|bytes| bytes.len());
        assert_eq!(shape, with_a(with_one_time));

        go_on(&mut b, sealed.session, 40, rng);
        assert!(b.active().epochs_mixed() >= 2, "nor do epochs sign");
    }
}

/// B goes on in A's name where a real conversation ended, within its session.
#[test]
fn the_recipient_alone_goes_on_with_a_conversation() {
    let mut b = acquainted().1;
    let session = b.set.active().unwrap();
    b.send_in(session, b"the last that A could get");
    let rng = &mut rng();
    let made_up = mirror(&b.active());
    go_on(&mut b, made_up, 5, rng);
}

/// Nor does a session prove more that continues a real one: the secret that [SES-50] asks of A is
/// B's as well.
#[test]
fn the_recipient_alone_makes_a_session_that_continues_another() {
    let (a, mut b) = {
        let (a, b) = acquainted();
        (a.manifest, b)
    };
    let before = b.active();
    let own = before.state().continuity.own.as_ref().unwrap();
    let next = (before.id(), own.duplicate());
    let rng = &mut rng();
    let made_up = make_up(&b, &a, Some(&b.one_time()[0].0), Some(&next), rng);
    let envelope = made_up.encrypt(b"once more", rng).unwrap().envelope;
    assert_eq!(b.receive(&envelope).unwrap(), b"once more");
    assert_eq!(b.set.active(), Some(made_up.id()));
    // Not every secret would do.
    let wrong = (before.id(), Secret::copy_of(&[9; 32]));
    let made_up = make_up(&b, &a, Some(&b.one_time()[0].0), Some(&wrong), rng);
    let envelope = made_up.encrypt(b"an alarm", rng).unwrap().envelope;
    assert!(b.receive(&envelope).unwrap_err().is_alarm());
}
