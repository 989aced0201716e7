// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Golden files of a conversation: each side's rows as they were stored, and the envelopes that an
//! older version sent. The rows are written again; the envelopes have to open.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

#[path = "../../../vectors/compat/golden.rs"]
mod golden;

use std::sync::LazyLock;

use golden::Golden;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use waxwing_crypto::{DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, PrekeyPair, Signatory};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{
    Acknowledgement, Envelope, EpochPhase, KemRowId, LocalDevice, PrekeySecret, ResponderKeys,
    SentHashes, SentRowId, Session, SessionSet, SkippedId, SkippedRow, accept, initiate,
};

/// Some day in 2024, in seconds.
const NOW: u64 = 20_000 * 86_400;

/// The golden files by name.
type Files = std::collections::BTreeMap<&'static str, Vec<u8>>;

/// In the order in which they are made.
const FILES: [(&str, &str); 30] = [
    ("alice-device", "device secrets of alice"),
    ("alice-manifest", "manifest of alice"),
    ("bob-device", "device secrets of bob"),
    ("bob-manifest", "manifest of bob"),
    ("bob-signed-secret", "row of bob's signed prekey"),
    ("bob-signed-pair", "bob's signed prekey pair"),
    ("bob-one-time-secret", "row of bob's one-time prekey"),
    ("bob-one-time-pair", "bob's one-time prekey pair"),
    ("alice-hot-1", "alice's session after two envelopes"),
    ("alice-prefix", "row of alice's handshake prefix"),
    ("envelope-1", "alice to bob, with prefix: `first`"),
    ("envelope-2", "alice to bob, with prefix: `second`"),
    ("bob-hot-1", "bob's session after envelope 1"),
    ("bob-set-1", "bob's set of sessions"),
    ("bob-set-2", "bob's set of sessions, in the second format"),
    ("bob-hot-2", "bob's session after envelope 3"),
    ("envelope-3", "bob to alice, without prefix: `answer`"),
    (
        "envelope-4",
        "alice to bob, number 0 of a new chain, opened after envelope 5: `late`",
    ),
    (
        "envelope-5",
        "alice to bob, number 1 of that chain: `early`",
    ),
    (
        "bob-skipped",
        "row of the skipped key of envelope 4: step and number, then the row",
    ),
    (
        "bob-hot-3",
        "format 3: bob's session, whose first KEM epoch has begun",
    ),
    ("bob-kem-0", "row of the key that bob offers in it"),
    ("bob-sent-1", "row of the hash of what bob has sent"),
    (
        "alice-hot-3",
        "format 3: alice's session, which holds units of that key",
    ),
    ("alice-kem-1", "row of those units"),
    ("bob-hot-4", "format 4: bob's session, as that of format 3"),
    ("bob-kem-0-4", "row of the key that bob offers in it"),
    (
        "bob-sent-2",
        "row of the hash of what bob has sent, in the second format",
    ),
    (
        "alice-hot-4",
        "format 4: alice's session, as that of format 3",
    ),
    ("alice-kem-1-4", "row of the units that it holds"),
];

/// A device with its account.
struct Party {
    secrets: DeviceSecrets,
    manifest: DeviceManifest,
}

impl Party {
    fn make(seed: u8, rng: &mut ChaCha20Rng) -> Self {
        let owner = RecoveryWords::generate(rng).account_secret();
        let secrets = DeviceSecrets::generate(rng);
        let keys = secrets.public_keys(DeviceId::new([seed; 16]));
        let (account, by) = (owner.account_key(), Signatory::Account);
        let membership = secrets
            .signing
            .sign(&keys.membership_signable(&account))
            .unwrap();
        let device = keys.countersigned(&account, membership).unwrap();
        let admission = owner.sign(&device.admission_signable(20_000, &by)).unwrap();
        let draft = ManifestDraft::first(account, device.admit(20_000, by, admission).unwrap());
        let signature = owner.sign(&draft.signable().unwrap()).unwrap();
        Self {
            secrets,
            manifest: draft.finish(signature).unwrap(),
        }
    }

    fn read(files: &Files, device: &str, manifest: &str) -> Self {
        Self {
            secrets: DeviceSecrets::from_sealed_row(&files[device]).unwrap(),
            manifest: DeviceManifest::decode(&files[manifest]).unwrap(),
        }
    }

    fn local(&self) -> LocalDevice<'_> {
        LocalDevice {
            account: *self.manifest.account(),
            device: self.manifest.devices().first().unwrap().id(),
            secrets: &self.secrets,
            manifest: &self.manifest,
        }
    }
}

/// Plays a conversation and keeps what a device would store and send.
fn play() -> Files {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let rng = &mut rng;
    let mut files = Files::new();
    let (alice, bob) = (Party::make(1, rng), Party::make(2, rng));
    let (signed, signed_pair) = PrekeySecret::generate_signed(&bob.local(), 7, NOW, rng).unwrap();
    let (one_time, one_time_pair) =
        PrekeySecret::generate_one_time(&bob.local(), 8, NOW, rng).unwrap();
    let wire = v1::PrekeyBundle {
        device_id: bob.local().device.to_wire(),
        signed_pair: signed_pair.as_bytes().clone(),
        one_time_pair: one_time_pair.as_bytes().clone(),
    };
    let bundle = PrekeyBundle::check(&wire, &bob.manifest).unwrap();
    let session = initiate(&alice.local(), &bundle, 0, NOW, rng).unwrap();
    let first = session.encrypt(b"first", rng).unwrap();
    let second = first.session.encrypt(b"second", rng).unwrap();
    files.insert("alice-hot-1", second.session.hot_row().to_vec());
    files.insert(
        "alice-prefix",
        second.session.prefix_row().unwrap().to_vec(),
    );

    let keys = ResponderKeys {
        signed: &signed,
        one_time: Some(&one_time),
    };
    let envelope = Envelope::parse(&first.envelope).unwrap();
    let accepted = accept(&bob.local(), &envelope, &keys, NOW).unwrap();
    files.insert("bob-hot-1", accepted.opened.session.hot_row().to_vec());
    let set = SessionSet::new()
        .place(&accepted.opened.session, |_| None, NOW)
        .unwrap()
        .set;
    files.insert("bob-set-2", set.encode());
    let answer = accepted.opened.session.encrypt(b"answer", rng).unwrap();
    files.insert("bob-hot-2", answer.session.hot_row().to_vec());
    files.insert("bob-hot-4", answer.session.hot_row().to_vec());
    for (row, value) in answer.kem {
        assert_eq!(row.to_byte(), 0);
        files.insert("bob-kem-0-4", value.unwrap().to_vec());
    }
    let sent = SentHashes::new().record(&answer.sent);
    assert_eq!((sent.put.0.step, sent.put.0.n), (2, 0));
    files.insert("bob-sent-2", sent.put.1);

    let envelope = Envelope::parse(&answer.envelope).unwrap();
    let opened = second.session.decrypt(&envelope, None, NOW).unwrap();
    files.insert("alice-hot-4", opened.session.hot_row().to_vec());
    for (row, value) in opened.kem {
        assert_eq!(row.to_byte(), 1);
        files.insert("alice-kem-1-4", value.unwrap().to_vec());
    }
    let late = opened.session.encrypt(b"late", rng).unwrap();
    let early = late.session.encrypt(b"early", rng).unwrap();
    let envelope = Envelope::parse(&early.envelope).unwrap();
    let opened = answer.session.decrypt(&envelope, None, NOW).unwrap();
    let skipped = opened.skipped_added.last().unwrap();
    files.insert(
        "bob-skipped",
        [skipped.id().to_bytes().as_slice(), &skipped.encode()].concat(),
    );

    for (name, envelope) in [
        ("envelope-1", first.envelope),
        ("envelope-2", second.envelope),
        ("envelope-3", answer.envelope),
        ("envelope-4", late.envelope),
        ("envelope-5", early.envelope),
        ("alice-device", alice.secrets.to_sealed_row().to_vec()),
        ("alice-manifest", alice.manifest.as_bytes().to_vec()),
        ("bob-device", bob.secrets.to_sealed_row().to_vec()),
        ("bob-manifest", bob.manifest.as_bytes().to_vec()),
        ("bob-signed-secret", signed.encode().to_vec()),
        ("bob-signed-pair", signed_pair.as_bytes().to_vec()),
        ("bob-one-time-secret", one_time.encode().to_vec()),
        ("bob-one-time-pair", one_time_pair.as_bytes().to_vec()),
    ] {
        files.insert(name, envelope);
    }
    files
}

/// Read once: both tests use all of them.
static STORED: LazyLock<Files> = LazyLock::new(|| {
    let mut golden = Golden::open("ratchet");
    let made = std::cell::OnceCell::new();
    let mut files = Files::new();
    for (name, what) in FILES {
        let stored = golden.bytes(name, what, || made.get_or_init(play)[name].clone());
        files.insert(name, stored);
    }
    golden.finish();
    files
});

/// A session that was stored. Its row is written again in the newest format and read back from it.
fn restored(files: &Files, hot: &str, prefix: Option<&str>) -> Session {
    let prefix = prefix.map(|name| files[name].as_slice());
    let session = Session::restore(&files[hot], prefix, []).unwrap();
    let again = Session::restore(&session.hot_row(), prefix, []).unwrap();
    assert_eq!(*again.hot_row(), *session.hot_row(), "{hot}");
    // The fields that every format has, behind its number and its flags.
    let fields = |row: &[u8]| row.get(2..100).map(<[u8]>::to_vec);
    assert_eq!(fields(&session.hot_row()), fields(&files[hot]), "{hot}");
    assert_eq!(session.prefix_row(), prefix, "{hot}");
    session
}

#[test]
fn an_old_conversation_goes_on() {
    let files = &*STORED;
    let bob = Party::read(files, "bob-device", "bob-manifest");
    let alice = Party::read(files, "alice-device", "alice-manifest");
    let signed = PrekeySecret::decode(&files["bob-signed-secret"]).unwrap();
    let one_time = PrekeySecret::decode(&files["bob-one-time-secret"]).unwrap();
    assert_eq!(
        (signed.id(), one_time.id(), signed.head()),
        (7, 8, Some(&bob.manifest.head()))
    );
    assert_eq!(signed.encode().as_slice(), files["bob-signed-secret"]);
    assert_eq!(one_time.encode().as_slice(), files["bob-one-time-secret"]);
    for (name, id) in [("bob-signed-pair", 7), ("bob-one-time-pair", 8)] {
        let pair = PrekeyPair::decode(&files[name]).unwrap();
        let key = bob.local().secrets.signing.device_key();
        pair.verify(&key, bob.manifest.account(), &bob.local().device)
            .unwrap();
        assert_eq!(pair.id(), id);
    }

    // Both envelopes with a prefix open the session, whichever comes first.
    let keys = ResponderKeys {
        signed: &signed,
        one_time: Some(&one_time),
    };
    for (name, content) in [
        ("envelope-1", b"first".as_slice()),
        ("envelope-2", b"second"),
    ] {
        let envelope = Envelope::parse(&files[name]).unwrap();
        assert_eq!(envelope.as_bytes(), files[name]);
        let prefix = envelope.prefix().unwrap();
        assert_eq!(
            (prefix.signed_prekey(), prefix.one_time_prekey()),
            (7, Some(8))
        );
        assert_eq!(prefix.as_bytes(), files["alice-prefix"]);
        let accepted = accept(&bob.local(), &envelope, &keys, NOW).unwrap();
        assert_eq!(accepted.opened.content.as_slice(), content);
        assert_eq!(accepted.one_time_used, Some(8));
        assert_eq!(&accepted.initiator.account, alice.manifest.account());
        assert_eq!(accepted.initiator.manifest.head(), alice.manifest.head());
    }

    let mine = restored(files, "alice-hot-1", Some("alice-prefix"));
    let theirs = restored(files, "bob-hot-1", None);
    assert_eq!(mine.id(), theirs.id());
    let set = SessionSet::decode(&files["bob-set-1"]).unwrap();
    assert_eq!(set.active(), Some(theirs.id()));
    // Written by the version before predecessors; it goes on in the second format.
    assert_eq!(SessionSet::decode(&set.encode()).unwrap(), set);
    let set = SessionSet::decode(&files["bob-set-2"]).unwrap();
    assert_eq!(set.active(), Some(theirs.id()));
    assert_eq!(set.encode(), files["bob-set-2"]);

    let envelope = Envelope::parse(&files["envelope-3"]).unwrap();
    assert!(envelope.prefix().is_none());
    let opened = mine.decrypt(&envelope, None, NOW).unwrap();
    assert_eq!(opened.content.as_slice(), b"answer");
    assert!(opened.prefix_ended);
}

#[test]
fn an_old_skipped_key_opens_its_envelope() {
    let files = &*STORED;
    let session = restored(files, "bob-hot-2", None);
    let early = Envelope::parse(&files["envelope-5"]).unwrap();
    let opened = session.decrypt(&early, None, NOW).unwrap();
    assert_eq!(opened.content.as_slice(), b"early");

    let (id, row) = files["bob-skipped"].split_first_chunk::<8>().unwrap();
    let skipped = SkippedRow::decode(SkippedId::from_bytes(*id), row).unwrap();
    assert_eq!(skipped.encode().as_slice(), row);
    let late = Envelope::parse(&files["envelope-4"]).unwrap();
    assert_eq!(skipped.tag(), late.tag());
    let opened = opened.session.decrypt(&late, Some(&skipped), NOW).unwrap();
    assert_eq!(opened.content.as_slice(), b"late");
    assert_eq!(opened.skipped_removed, Some(skipped.id()));
}

fn in_an_epoch(hot: &str, row: u8, kem: &str) -> Session {
    let files = &*STORED;
    let rows = [(KemRowId::from_byte(row), files[kem].as_slice())];
    Session::restore(&files[hot], None, rows).unwrap()
}

/// What was stored in the midst of an epoch goes on with it.
#[test]
fn an_old_epoch_goes_on() {
    let bob = in_an_epoch("bob-hot-4", 0, "bob-kem-0-4");
    let alice = in_an_epoch("alice-hot-4", 1, "alice-kem-1-4");
    assert_eq!(bob.hot_row().as_slice(), STORED["bob-hot-4"]);
    assert_eq!(alice.hot_row().as_slice(), STORED["alice-hot-4"]);
    talk(
        bob,
        alice,
        &STORED["bob-sent-2"],
        Some(Acknowledgement::Ours),
    );
}

/// Format 3 and the first format of what was sent: hashes of another kind, which are never taken for
/// somebody else's.
#[test]
fn an_old_epoch_goes_on_without_its_hashes() {
    let bob = in_an_epoch("bob-hot-3", 0, "bob-kem-0");
    let alice = in_an_epoch("alice-hot-3", 1, "alice-kem-1");
    talk(bob, alice, &STORED["bob-sent-1"], None);
}

/// `first` is what the first acknowledgement is judged to be.
fn talk(mut bob: Session, mut alice: Session, sent: &[u8], first: Option<Acknowledgement>) {
    assert_eq!(bob.epoch_phase(), EpochPhase::Offering);
    assert_eq!(alice.epoch_phase(), EpochPhase::Collecting);
    let name = SentRowId { step: 2, n: 0 };
    let mut sent = SentHashes::restore([(name, sent)]).unwrap();

    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for turn in 0..20 {
        let (from, to) = if turn % 2 == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let sealed = from.encrypt(b"text", &mut rng).unwrap();
        let envelope = Envelope::parse(&sealed.envelope).unwrap();
        let opened = to.decrypt(&envelope, None, NOW).unwrap();
        if turn % 2 == 0 {
            let judged = opened.acknowledged.map(|one| sent.judge(&one));
            let wanted = Some(Acknowledgement::Ours).filter(|_| turn > 0).or(first);
            assert_eq!(judged, wanted, "turn {turn}");
        } else {
            sent.record(&sealed.sent);
        }
        (*from, *to) = (sealed.session, opened.session);
    }
    assert!(alice.epochs_mixed() >= 1 && bob.epochs_mixed() >= 1);
}
