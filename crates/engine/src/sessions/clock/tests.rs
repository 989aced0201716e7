// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When a session should be followed by another, to the envelope.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use waxwing_crypto::{DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, Signatory};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{Envelope, LocalDevice, PrekeySecret, ResponderKeys, accept, initiate};

use super::*;

/// Seconds.
const NOW: u64 = 20_000 * 86_400;
/// A content beside which no unit of an epoch fits.
const FULL: usize = 510;

fn account(id: u8, rng: &mut ChaCha20Rng) -> (DeviceSecrets, DeviceManifest) {
    let owner = RecoveryWords::generate(rng).account_secret();
    let secrets = DeviceSecrets::generate(rng);
    let keys = secrets.public_keys(DeviceId::new([id; 16]));
    let key = owner.account_key();
    let membership = secrets.signing.sign(&keys.membership_signable(&key));
    let device = keys.countersigned(&key, membership.unwrap()).unwrap();
    let by = Signatory::Account;
    let admission = owner.sign(&device.admission_signable(20_000, &by));
    let entry = device.admit(20_000, by, admission.unwrap()).unwrap();
    let draft = ManifestDraft::first(key, entry);
    let signature = owner.sign(&draft.signable().unwrap()).unwrap();
    (secrets, draft.finish(signature).unwrap())
}

/// An initiator and a responder, and what they say in turns.
struct Talk {
    sessions: [Session; 2],
    rng: ChaCha20Rng,
}

impl Talk {
    /// The responder has opened the first content.
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let (a, b) = (account(1, &mut rng), account(2, &mut rng));
        let [local_a, local_b] = [&a, &b].map(|(secrets, manifest)| LocalDevice {
            account: *manifest.account(),
            device: manifest.devices()[0].id(),
            secrets,
            manifest,
        });
        let signed = PrekeySecret::generate_signed(&local_b, 1, NOW, &mut rng);
        let (signed, pair) = signed.unwrap();
        let bundle = v1::PrekeyBundle {
            device_id: local_b.device.to_wire(),
            signed_pair: pair.as_bytes().clone(),
            ..Default::default()
        };
        let bundle = PrekeyBundle::check(&bundle, &b.1).unwrap();
        let session = initiate(&local_a, &bundle, 0, NOW, &mut rng).unwrap();
        let sealed = session.encrypt(b"hello", &mut rng).unwrap();
        let keys = ResponderKeys {
            signed: &signed,
            one_time: None,
        };
        let envelope = Envelope::parse(&sealed.envelope).unwrap();
        let accepted = accept(&local_b, &envelope, &keys, NOW).unwrap();
        Self {
            sessions: [sealed.session, accepted.opened.session],
            rng,
        }
    }

    /// One content, from the initiator (0) or the responder (1) to the other.
    fn say(&mut self, from: usize, length: usize) {
        let content = vec![7; length];
        let sealed = self.sessions[from].encrypt(&content, &mut self.rng);
        let sealed = sealed.unwrap();
        let envelope = Envelope::parse(&sealed.envelope).unwrap();
        let opened = self.sessions[from ^ 1].decrypt(&envelope, None, NOW);
        self.sessions[from ^ 1] = opened.unwrap().session;
        self.sessions[from] = sealed.session;
    }

    /// Both have heard each other, and the prefix has ended for both.
    fn confirmed() -> Self {
        let mut talk = Self::new();
        talk.say(1, FULL);
        talk.say(0, FULL);
        talk
    }
}

fn begun(session: &Session) -> Clock {
    let mut clock = Clock::default();
    clock.follow(Some(session.id()), 1);
    clock
}

/// [SES-61]: 200 envelopes of the active session since it began, whoever sent them, where its prefix
/// has ended and the other was heard.
#[test]
fn two_hundred_envelopes_without_an_epoch_are_enough() {
    let talk = Talk::confirmed();
    for session in &talk.sessions {
        let mut clock = begun(session);
        for number in 1..limits::HORIZON_MESSAGES {
            if number % 2 == 0 {
                clock.sent(session, 2);
            } else {
                clock.heard(session, 2);
            }
            assert_eq!(clock.renewal(session, 2), Renewal::NotDue, "{number}");
        }
        clock.sent(session, 2);
        assert_eq!(clock.renewal(session, 2), Renewal::Due);
        // In a restart nothing of it is lost.
        let row = Row {
            key: crate::keys::progress(),
            value: clock.to_row(),
        };
        let clock = Clock::from_row(&row).unwrap();
        assert_eq!(clock.renewal(session, 2), Renewal::Due);
    }
}

/// [SES-61]: not where the other was not heard, nor where the prefix has not ended, however much is
/// sent.
#[test]
fn two_hundred_envelopes_without_the_other_are_not() {
    let talk = Talk::confirmed();
    let session = &talk.sessions[0];
    let mut clock = begun(session);
    for _ in 0..2 * limits::HORIZON_MESSAGES {
        clock.sent(session, 2);
    }
    assert_eq!(clock.renewal(session, 2), Renewal::NotDue);
    // Nor where it was heard in another session.
    clock.session = Some(SessionId::new([9; 32]));
    clock.heard(session, 2);
    assert_eq!(clock.renewal(session, 2), Renewal::NotDue);

    let talk = Talk::new();
    let session = &talk.sessions[1];
    assert!(session.has_heard_peer() && !session.prefix_ended());
    let mut clock = begun(session);
    for _ in 0..2 * limits::HORIZON_MESSAGES {
        clock.heard(session, 2);
    }
    assert_eq!(clock.renewal(session, 2), Renewal::NotDue);
}

/// [SES-61]: the envelopes are counted since an epoch was mixed last.
#[test]
fn an_epoch_begins_the_two_hundred_anew() {
    let mut talk = Talk::confirmed();
    let mut clock = begun(&talk.sessions[0]);
    for _ in 0..limits::HORIZON_MESSAGES {
        clock.heard(&talk.sessions[0], 2);
    }
    assert_eq!(clock.renewal(&talk.sessions[0], 2), Renewal::Due);
    let mut from = 1;
    while talk.sessions[0].epochs_mixed() == 0 {
        assert_eq!(clock.renewal(&talk.sessions[0], 3), Renewal::Due);
        talk.say(from, 100);
        from ^= 1;
        clock.heard(&talk.sessions[0], 3);
    }
    let session = &talk.sessions[0];
    assert_eq!(clock.renewal(session, 3), Renewal::NotDue);
    for _ in 1..limits::HORIZON_MESSAGES {
        clock.heard(session, 4);
        assert_eq!(clock.renewal(session, 4), Renewal::NotDue);
    }
    clock.heard(session, 4);
    assert_eq!(clock.renewal(session, 4), Renewal::Due);
}

#[test]
fn a_row_comes_back() {
    let clock = Clock {
        session: Some(SessionId::new([3; 32])),
        begun_ms: 1,
        unanswered_ms: 2,
        heard_ms: 3,
        heard_elsewhere_ms: 4,
        confirmed_ms: 5,
        control_ms: 6,
        mixed_ms: 7,
        mixed: 8,
        messages: 9,
        is_renewal: true,
        in_vain: 1,
    };
    let row = |value: &[u8]| Row {
        key: crate::keys::progress(),
        value: Zeroizing::new(value.to_vec()),
    };
    let bytes = clock.to_row();
    assert_eq!(Clock::from_row(&row(&bytes)).unwrap(), clock);
    for length in 0..bytes.len() {
        assert!(Clock::from_row(&row(&bytes[..length])).is_err());
    }
    let mut before = bytes[..bytes.len() - 2].to_vec();
    before[0] = FORMAT_1;
    let read = Clock::from_row(&row(&before)).unwrap();
    assert_eq!(
        (read.messages, read.is_renewal, read.in_vain),
        (9, false, 0)
    );
}

/// [SES-67]: what nobody was heard during, what an epoch came of and what the other opened does
/// not count.
#[test]
fn two_renewals_in_a_row_without_effect_are_counted() {
    let renewed = |in_vain| Clock {
        is_renewal: true,
        in_vain,
        heard_elsewhere_ms: 1,
        ..Clock::default()
    };
    assert_eq!(renewed(0).renews(), 1);
    assert_eq!(renewed(1).renews(), 2);
    let mut clock = renewed(1);
    clock.heard_elsewhere_ms = 0;
    assert_eq!(clock.renews(), 1);
    clock = renewed(1);
    clock.is_renewal = false;
    assert_eq!(clock.renews(), 1);
    clock = renewed(0);
    clock.mixed = 1;
    assert_eq!(clock.renews(), 0);
    clock.follow(Some(SessionId::new([1; 32])), 5);
    clock.renewed(2);
    assert!(clock.renews_in_vain() && clock.is_renewal);
    clock.follow(Some(SessionId::new([2; 32])), 6);
    assert!(clock.renews_in_vain() && !clock.is_renewal);
}

#[test]
fn a_loss_shows_half_a_day_later() {
    let mut clock = Clock {
        heard_ms: 10 * HOUR_MS,
        ..Clock::default()
    };
    assert!(!clock.should_have_arrived(0));
    clock.heard_ms = 12 * HOUR_MS;
    assert!(clock.should_have_arrived(0));
    assert!(!clock.should_have_arrived(1));
    clock.confirmed_ms = 2;
    assert!(clock.should_have_arrived(1));
}

#[test]
fn a_new_session_begins_anew_and_keeps_the_control_content() {
    let mut clock = Clock {
        heard_ms: 9,
        messages: 7,
        control_ms: 8,
        ..Clock::default()
    };
    clock.follow(None, 20);
    assert_eq!(clock.messages, 7);
    clock.follow(Some(SessionId::new([1; 32])), 20);
    assert_eq!((clock.messages, clock.heard_ms, clock.begun_ms), (0, 0, 20));
    assert_eq!(clock.control_ms, 8);
}
