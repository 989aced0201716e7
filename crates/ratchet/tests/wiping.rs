// SPDX-License-Identifier: Apache-2.0 OR MIT
//! [SES-41]: "Secrets are wiped when they are dropped". All memory of the process that can be written is
//! searched for what two devices hold, while they hold it and after it was dropped.
//!
//! Not found out here: what a computation leaves on the stack until later calls write over it. The
//! expansion of AES keys does, and AES-GCM, which copies what it decrypts in blocks. So the stack below
//! the test is written over before each search.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test that fails panics"
)]

#[path = "../../crypto/tests/memory/mod.rs"]
mod memory;

use std::collections::BTreeMap;

use memory::{MASK, found, found_each};
use rand_core::{TryCryptoRng, TryRng};
use waxwing_crypto::{DeviceSecrets, RecoveryWords, Secret, kdf};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, Signatory};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{
    Envelope, LocalDevice, Opened, PrekeySecret, ResponderKeys, Sealed, Session, SkippedRow,
    accept, initiate,
};

const NOW: u64 = 20_000 * 86_400;

/// Secret bytes by what they are, masked.
type Hidden = BTreeMap<String, Vec<u8>>;

fn hide(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ MASK).collect()
}

/// Writes over what calls before have left on the stack.
#[inline(never)]
fn sweep() {
    core::hint::black_box(&mut [0_u8; 512 * 1024]);
}

/// How often one lies in memory.
fn count(masked: &[u8]) -> usize {
    sweep();
    found(masked)
}

/// How often each lies in memory.
fn places(hidden: &Hidden) -> BTreeMap<&str, usize> {
    sweep();
    let all: Vec<&[u8]> = hidden.values().map(Vec::as_slice).collect();
    let names = hidden.keys().map(String::as_str);
    names.zip(found_each(&all)).collect()
}

fn assert_there(hidden: &Hidden) {
    let missing: Vec<_> = places(hidden)
        .into_iter()
        .filter(|(_, n)| *n == 0)
        .collect();
    assert!(missing.is_empty(), "not found: {missing:?}");
}

fn assert_nowhere(hidden: &Hidden) {
    let left: Vec<_> = places(hidden)
        .into_iter()
        .filter(|(_, n)| *n != 0)
        .collect();
    assert!(left.is_empty(), "left: {left:?}");
}

/// Gives bytes that are nowhere but where they are written to, and keeps them masked.
struct Source {
    state: u64,
    given: Vec<Vec<u8>>,
}

impl Source {
    const fn new(seed: u64) -> Self {
        Self {
            state: seed << 32 | 0x9e37_79b9,
            given: Vec::new(),
        }
    }
}

impl TryRng for Source {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let mut masked = Vec::with_capacity(bytes.len());
        for byte in bytes.iter_mut() {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            masked.push(self.state.to_le_bytes()[3]);
            *byte = self.state.to_le_bytes()[3] ^ MASK;
        }
        self.given.push(masked);
        Ok(())
    }
}

impl TryCryptoRng for Source {}

/// A device and its account.
struct Device {
    secrets: DeviceSecrets,
    manifest: DeviceManifest,
}

impl Device {
    fn new(id: u8, rng: &mut Source) -> Self {
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
        let manifest = draft.finish(signature).unwrap();
        Self { secrets, manifest }
    }

    fn local(&self) -> LocalDevice<'_> {
        LocalDevice {
            account: *self.manifest.account(),
            device: self.manifest.devices()[0].id(),
            secrets: &self.secrets,
            manifest: &self.manifest,
        }
    }
}

/// The secret fields of a hot row, in the order in which `State::encode` writes them.
fn secrets(turn: u32, session: &Session) -> Hidden {
    let row = session.hot_row();
    let (flags, mut at) = (row[1], 115);
    let mut hidden = Hidden::new();
    let mut take = |name: &str, behind: usize| {
        hidden.insert(format!("{turn} {name}"), hide(&row[at..at + 32]));
        at += 32 + behind;
    };
    take("root", 4 + 32);
    for name in ["own next", "peer next"] {
        take(&format!("{name} tag key"), 0);
        take(&format!("{name} header key"), 0);
    }
    if flags & 1 != 0 {
        take("ratchet key", 32);
        take("sending chain", 12);
        take("sending tag key", 0);
        take("sending header key", 0);
    }
    if flags & 2 != 0 {
        take("receiving chain", 12);
        take("receiving tag key", 0);
        take("receiving header key", if flags & 4 == 0 { 0 } else { 12 });
    }
    for (flag, name) in [(8, "peer"), (16, "own"), (32, "proved")] {
        if flags & flag != 0 {
            take(&format!("continuity {name}"), 0);
        }
    }
    // Number, cursor, failed and map of the epochs stand behind.
    assert_eq!(at + 4 + 2 + 8, row.len());
    hidden
}

/// Two devices that have not spoken yet, and the prekeys of the second.
struct Pair {
    devices: [Device; 2],
    signed: PrekeySecret,
    one_time: PrekeySecret,
    bundle: PrekeyBundle,
    rng: Source,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut rng = Source::new(seed);
        let devices = [Device::new(1, &mut rng), Device::new(2, &mut rng)];
        let own = devices[1].local();
        let (signed, signed_pair) = PrekeySecret::generate_signed(&own, 1, NOW, &mut rng).unwrap();
        let (one_time, one_time_pair) =
            PrekeySecret::generate_one_time(&own, 1, NOW, &mut rng).unwrap();
        let bundle = v1::PrekeyBundle {
            device_id: own.device.to_wire(),
            signed_pair: signed_pair.as_bytes().clone(),
            one_time_pair: one_time_pair.as_bytes().clone(),
        };
        let bundle = PrekeyBundle::check(&bundle, &devices[1].manifest).unwrap();
        Self {
            devices,
            signed,
            one_time,
            bundle,
            rng,
        }
    }

    fn initiate(&mut self) -> Session {
        initiate(
            &self.devices[0].local(),
            &self.bundle,
            0,
            NOW,
            &mut self.rng,
        )
        .unwrap()
    }

    fn accept(&self, envelope: &[u8]) -> Opened {
        let keys = ResponderKeys {
            signed: &self.signed,
            one_time: Some(&self.one_time),
        };
        let envelope = Envelope::parse(envelope).unwrap();
        let accepted = accept(&self.devices[1].local(), &envelope, &keys, NOW);
        accepted.unwrap().opened
    }

    /// Two sessions that have heard each other.
    fn talking(&mut self) -> [Session; 2] {
        let sealed = self.initiate().encrypt(b"1", &mut self.rng).unwrap();
        let b = self.accept(&sealed.envelope).session;
        [sealed.session, b]
    }
}

fn open(session: &Session, sealed: &Sealed) -> Opened {
    let envelope = Envelope::parse(&sealed.envelope).unwrap();
    session.decrypt(&envelope, None, NOW).unwrap()
}

/// [SES-13], [SES-24], [SES-29], [SES-31]: of each state nothing is left but what the next one holds, and
/// of the last one nothing at all.
#[test]
fn a_dropped_session_is_nowhere() {
    let mut pair = Pair::new(1);
    let [mut a, mut b] = pair.talking();
    let mut seen = Hidden::new();
    for turn in 0..12_u32 {
        // B, B, A, A and so on: each state with a step and one within a chain.
        let (from, to) = if turn / 2 % 2 == 0 {
            (&mut b, &mut a)
        } else {
            (&mut a, &mut b)
        };
        let sealed = from.encrypt(&[7; 300], &mut pair.rng).unwrap();
        *to = open(to, &sealed).session;
        *from = sealed.session;
        let mut held = secrets(turn, &a);
        held.extend(secrets(1000 + turn, &b));
        assert_there(&held);
        seen.retain(|_, secret| !held.values().any(|kept| kept == secret));
        assert_nowhere(&seen);
        seen.extend(held);
    }
    drop((a, b));
    assert_nowhere(&seen);
    drop(pair);
    assert_nowhere(&seen);
}

/// [SES-31], [SES-32]: "a message key is consumed by its one use", on both sides.
#[test]
fn a_used_message_key_is_nowhere() {
    let mut pair = Pair::new(2);
    let [mut a, mut b] = pair.talking();
    for turn in 0..3_u32 {
        let chain = Secret::<32>::from_slice(&{
            let row = a.hot_row();
            waxwing_crypto::SecretBytes::from(row[375..407].to_vec())
        })
        .unwrap();
        let n = turn + 1;
        let key = kdf::hmac(chain.expose(), &[&[1], &n.to_be_bytes()]);
        let mut used = Hidden::new();
        used.insert("chain key".to_owned(), hide(chain.expose()));
        used.insert("message key".to_owned(), hide(key.expose()));
        assert_there(&used);
        drop((chain, key));
        let sealed = a.encrypt(&[7; 300], &mut pair.rng).unwrap();
        b = open(&b, &sealed).session;
        a = sealed.session;
        assert_nowhere(&used);
    }
}

/// [SES-28]: a skipped key is there until its row goes.
#[test]
fn a_dropped_skipped_key_is_nowhere() {
    let mut pair = Pair::new(3);
    let [mut a, b] = pair.talking();
    let mut sealed = Vec::new();
    for _ in 0..5 {
        let next = a.encrypt(&[7; 300], &mut pair.rng).unwrap();
        a = next.session;
        sealed.push(next.envelope);
    }
    let last = Envelope::parse(&sealed[4]).unwrap();
    let opened = b.decrypt(&last, None, NOW).unwrap();
    let rows = opened.skipped_added;
    assert_eq!(rows.len(), 4);
    let hidden: Hidden = rows
        .iter()
        .map(|row| (format!("{:?}", row.id()), hide(&row.encode()[21..53])))
        .collect();
    drop((a, b));
    assert_there(&hidden);
    // One of them is stored, read and used.
    let stored = rows[1].encode();
    let row = SkippedRow::decode(rows[1].id(), &stored).unwrap();
    drop((rows, stored));
    assert_eq!(places(&hidden).values().filter(|n| **n > 0).count(), 1);
    let envelope = Envelope::parse(&sealed[1]).unwrap();
    let used = opened.session.decrypt(&envelope, Some(&row), NOW).unwrap();
    drop(row);
    assert_nowhere(&hidden);
    drop(used);
}

/// [SES-13], [SES-17]: the secrets of prekeys, of the ephemeral key and of the first ratchet key.
#[test]
fn dropped_prekeys_and_the_inputs_of_a_handshake_are_nowhere() {
    let mut pair = Pair::new(4);
    let mut prekeys = Hidden::new();
    for (name, secret) in [("signed", &pair.signed), ("one-time", &pair.one_time)] {
        let row = secret.encode();
        prekeys.insert(format!("{name} X25519"), hide(&row[10..42]));
        // A seed `d || z`: `z` is a part of the expanded key, too.
        prekeys.insert(format!("{name} d"), hide(&row[74..106]));
        prekeys.insert(format!("{name} z"), hide(&row[106..138]));
    }
    assert_there(&prekeys);

    let before = pair.rng.given.len();
    let session = pair.initiate();
    // Without a backend that makes its own randomness: what is encapsulated, EK and R.
    let drawn: Hidden = (0..)
        .map(|at: u32| format!("draw {at}"))
        .zip(pair.rng.given[before..].iter().cloned())
        .collect();
    assert!(drawn.len() >= 2);
    let ratchet = hide(&session.hot_row()[311..343]);
    let (kept, wiped): (Hidden, Hidden) = drawn.into_iter().partition(|(_, one)| *one == ratchet);
    assert_eq!(kept.len(), 1);
    assert_there(&kept);
    assert_nowhere(&wiped);

    let sealed = session.encrypt(&[7; 300], &mut pair.rng).unwrap();
    let accepted = pair.accept(&sealed.envelope);
    drop(pair);
    assert_nowhere(&prekeys);
    drop((session, sealed, accepted));
    assert_nowhere(&kept);
}

/// A content is in memory as long as who opened it keeps it.
#[test]
fn a_dropped_content_is_nowhere() {
    let mut pair = Pair::new(5);
    let [a, b] = pair.talking();
    let mut content = vec![0; 40_000];
    pair.rng.try_fill_bytes(&mut content).unwrap();
    // Far from the beginning, where what was given back is used again at once.
    let masked = pair.rng.given.last().unwrap()[30_000..30_064].to_vec();
    let sealed = a.encrypt(&content, &mut pair.rng).unwrap();
    content.fill(0);
    assert_eq!(count(&masked), 0, "sealed in its place");
    let opened = open(&b, &sealed);
    assert_eq!(count(&masked), 1);
    let Opened {
        content, session, ..
    } = opened;
    assert_eq!(count(&masked), 1);
    drop(content);
    assert_eq!(count(&masked), 0);
    // What does not open leaves nothing either.
    let mut forged = sealed.envelope.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Envelope::parse(&forged).unwrap();
    assert!(b.decrypt(&forged, None, NOW).is_err());
    assert_eq!(count(&masked), 0);
    drop(session);
}

/// [SES-99]: "its key, secret and units are then wiped", when it is mixed on both sides.
#[test]
fn a_mixed_epoch_is_nowhere() {
    let mut pair = Pair::new(6);
    let [mut a, mut b] = pair.talking();
    let mut hidden = Hidden::new();
    for turn in 0..40 {
        let (from, to) = if turn % 2 == 0 {
            (&mut b, &mut a)
        } else {
            (&mut a, &mut b)
        };
        let sealed = from.encrypt(&[7; 100], &mut pair.rng).unwrap();
        let opened = open(to, &sealed);
        *from = sealed.session;
        *to = opened.session;
        for (row, value) in sealed.kem.into_iter().chain(opened.kem) {
            // The row of what is secret: the owner's seed, or the secret of whoever has it. Of both the
            // end, as an allocator writes over the beginning of what it was given back.
            let Some(value) = value.filter(|_| row.to_byte() == 0) else {
                continue;
            };
            let (kind, mut fields) = (value[1], Hidden::new());
            fields.insert(format!("row {kind}"), hide(&value[22..38]));
            if kind == 1 {
                fields.insert("row 1 z".to_owned(), hide(&value[38..70]));
            }
            drop(value);
            // The row is gone, and the session has it.
            if a.epochs_mixed() + b.epochs_mixed() == 0 {
                assert_there(&fields);
                hidden.append(&mut fields);
            }
        }
        if a.epochs_mixed() == 1 && b.epochs_mixed() == 1 {
            break;
        }
    }
    assert_eq!((a.epochs_mixed(), b.epochs_mixed()), (1, 1));
    assert_eq!(hidden["row 2"], hidden["row 3"]);
    assert_eq!(hidden.len(), 4);
    assert_nowhere(&hidden);
    drop((a, b));
}
