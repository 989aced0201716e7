// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two parties of `waxwing-ratchet`, with everything that a client does for a message but the disk.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Context, Result, bail};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use waxwing_crypto::{DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, Signatory};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{
    Acknowledgement, Envelope, Found, LocalDevice, PrekeySecret, ResponderKeys, SentHashes,
    Session, SkippedId, SkippedRow, TagTable, accept, find, initiate,
};

const DAY: u32 = 20_000;
pub(super) const NOW: u64 = DAY as u64 * 86_400;

struct Party {
    secrets: DeviceSecrets,
    manifest: DeviceManifest,
}

impl Party {
    fn new(id: u8, rng: &mut ChaCha20Rng) -> Result<Self> {
        let owner = RecoveryWords::generate(rng).account_secret();
        let secrets = DeviceSecrets::generate(rng);
        let keys = secrets.public_keys(DeviceId::new([id; 16]));
        let key = owner.account_key();
        let membership = secrets.signing.sign(&keys.membership_signable(&key))?;
        let device = keys.countersigned(&key, membership)?;
        let admission = owner.sign(&device.admission_signable(DAY, &Signatory::Account))?;
        let entry = device.admit(DAY, Signatory::Account, admission)?;
        let draft = ManifestDraft::first(key, entry);
        let signature = owner.sign(&draft.signable()?)?;
        Ok(Self {
            secrets,
            manifest: draft.finish(signature)?,
        })
    }

    fn local(&self) -> Result<LocalDevice<'_>> {
        Ok(LocalDevice {
            account: *self.manifest.account(),
            device: self.manifest.devices().first().context("no device")?.id(),
            secrets: &self.secrets,
            manifest: &self.manifest,
        })
    }
}

/// Two parties and the prekeys of one of them.
pub(super) struct Meeting {
    alice: Party,
    bob: Party,
    signed: PrekeySecret,
    one_time: PrekeySecret,
    bundle: v1::PrekeyBundle,
}

impl Meeting {
    pub(super) fn new(seed: u8) -> Result<Self> {
        let rng = &mut ChaCha20Rng::from_seed([seed; 32]);
        let (alice, bob) = (Party::new(1, rng)?, Party::new(2, rng)?);
        let local = bob.local()?;
        let (signed, signed_pair) = PrekeySecret::generate_signed(&local, 1, NOW, rng)?;
        let (one_time, one_time_pair) = PrekeySecret::generate_one_time(&local, 1, NOW, rng)?;
        let bundle = v1::PrekeyBundle {
            device_id: local.device.to_wire(),
            signed_pair: signed_pair.as_bytes().clone(),
            one_time_pair: one_time_pair.as_bytes().clone(),
        };
        Ok(Self {
            alice,
            bob,
            signed,
            one_time,
            bundle,
        })
    }

    /// Checks the bundle, opens a session with a first message, and accepts it.
    pub(super) fn establish(&self) -> Result<()> {
        let rng = &mut ChaCha20Rng::from_seed([9; 32]);
        self.meet(rng).map(drop)
    }

    /// The responder's sides of many sessions.
    pub(super) fn sessions(&self, count: usize) -> Result<Vec<Session>> {
        let rng = &mut ChaCha20Rng::from_seed([11; 32]);
        (0..count).map(|_| Ok(self.meet(rng)?.1)).collect()
    }

    /// The first envelope of a session.
    pub(super) fn first_envelope(&self) -> Result<Vec<u8>> {
        let rng = &mut ChaCha20Rng::from_seed([10; 32]);
        let bundle = PrekeyBundle::check(&self.bundle, &self.bob.manifest)?;
        let session = initiate(&self.alice.local()?, &bundle, 0, NOW, rng)?;
        Ok(session.encrypt(b"hello", rng)?.envelope)
    }

    /// Whether the responder accepts an envelope.
    pub(super) fn accepts(&self, bytes: &[u8]) -> Result<bool> {
        let keys = ResponderKeys {
            signed: &self.signed,
            one_time: Some(&self.one_time),
        };
        let envelope = Envelope::parse(bytes)?;
        Ok(accept(&self.bob.local()?, &envelope, &keys, NOW).is_ok())
    }

    fn meet(&self, rng: &mut ChaCha20Rng) -> Result<(Session, Session)> {
        let bundle = PrekeyBundle::check(&self.bundle, &self.bob.manifest)?;
        let session = initiate(&self.alice.local()?, &bundle, 0, NOW, rng)?;
        let sealed = session.encrypt(b"hello", rng)?;
        let keys = ResponderKeys {
            signed: &self.signed,
            one_time: Some(&self.one_time),
        };
        let envelope = Envelope::parse(&sealed.envelope)?;
        let accepted = accept(&self.bob.local()?, &envelope, &keys, NOW)?;
        Ok((sealed.session, accepted.opened.session))
    }
}

/// One side, with the rows that a client would write: they are made and thrown away.
pub(super) struct End {
    pub(super) session: Session,
    pub(super) tags: TagTable,
    sent: SentHashes,
    skipped: BTreeMap<SkippedId, SkippedRow>,
    /// Bytes of rows for each message so far.
    pub(super) written: Vec<usize>,
}

impl End {
    fn new(session: Session) -> Self {
        let mut tags = TagTable::new();
        tags.insert_session(&session);
        Self {
            session,
            tags,
            sent: SentHashes::new(),
            skipped: BTreeMap::new(),
            written: Vec::new(),
        }
    }

    fn seal(&mut self, content: &[u8], rng: &mut ChaCha20Rng) -> Result<Vec<u8>> {
        let sealed = self.session.encrypt(content, rng)?;
        let mut written = black_box(sealed.session.hot_row()).len();
        for (_, row) in sealed.kem {
            written += row.map_or(0, |row| black_box(row).len());
        }
        written += black_box(self.sent.record(&sealed.sent)).put.1.len();
        self.written.push(written);
        self.session = sealed.session;
        Ok(sealed.envelope)
    }

    fn open(&mut self, bytes: &[u8]) -> Result<()> {
        let envelope = Envelope::parse(bytes)?;
        let found = find(&self.tags, &envelope, [&self.session], |_| None);
        let Found::Session { id, skipped } = found else {
            bail!("no session for an envelope");
        };
        let row = skipped.and_then(|skipped| self.skipped.get(&skipped));
        let opened = self.session.decrypt(&envelope, row, NOW)?;
        let mut written = black_box(opened.session.hot_row()).len();
        for (_, row) in opened.kem {
            written += row.map_or(0, |row| black_box(row).len());
        }
        if let Some(acknowledged) = &opened.acknowledged
            && self.sent.judge(acknowledged) == Acknowledgement::Foreign
        {
            bail!("a copy of an honest device");
        }
        self.written.push(written);
        self.tags.apply(id, &opened.changes);
        if let Some(used) = opened.skipped_removed {
            self.skipped.remove(&used);
        }
        for row in opened.skipped_added {
            black_box(row.encode());
            self.skipped.insert(row.id(), row);
        }
        for (session, row) in self.tags.overflow(&[id]) {
            self.skipped.remove(&row);
            self.tags.forget(session, row);
        }
        self.session = opened.session;
        Ok(())
    }

    /// Forgets every skipped key.
    pub(super) fn forget_skipped(&mut self) {
        for id in core::mem::take(&mut self.skipped).into_keys() {
            self.tags.forget(self.session.id(), id);
        }
    }

    /// How many skipped keys are kept.
    pub(super) fn skipped(&self) -> usize {
        self.skipped.len()
    }
}

/// Two parties whose handshake is behind them.
pub(super) struct Pair {
    pub(super) alice: End,
    pub(super) bob: End,
    rng: ChaCha20Rng,
    alice_is_next: bool,
}

impl Pair {
    pub(super) fn talking(seed: u8) -> Result<Self> {
        let meeting = Meeting::new(seed)?;
        let mut rng = ChaCha20Rng::from_seed([seed ^ 0x55; 32]);
        let (alice, bob) = meeting.meet(&mut rng)?;
        let mut pair = Self {
            alice: End::new(alice),
            bob: End::new(bob),
            rng,
            alice_is_next: false,
        };
        for _ in 0..4 {
            pair.turn(1)?;
        }
        Ok(pair)
    }

    pub(super) fn alice_seals(&mut self, size: usize) -> Result<Vec<u8>> {
        self.alice.seal(&vec![0x61; size], &mut self.rng)
    }

    /// Bob sends something and Alice opens it.
    pub(super) fn bob_answers(&mut self) -> Result<()> {
        let envelope = self.bob.seal(&[0x62], &mut self.rng)?;
        self.alice.open(&envelope)
    }

    pub(super) fn bob_opens(&mut self, envelope: &[u8]) -> Result<()> {
        self.bob.open(envelope)
    }

    /// One message, with a step: the direction changes each time.
    pub(super) fn turn(&mut self, size: usize) -> Result<()> {
        self.turn_or_loss(size, false).map(drop)
    }

    /// As [`Pair::turn`], or the message is lost. Returns its envelope.
    pub(super) fn turn_or_loss(&mut self, size: usize, lost: bool) -> Result<Vec<u8>> {
        let (from, to) = if self.alice_is_next {
            (&mut self.alice, &mut self.bob)
        } else {
            (&mut self.bob, &mut self.alice)
        };
        self.alice_is_next = !self.alice_is_next;
        let envelope = from.seal(&vec![0x61; size], &mut self.rng)?;
        if !lost {
            to.open(&envelope)?;
        }
        Ok(envelope)
    }

    /// The side that sends next.
    pub(super) const fn next(&self) -> &End {
        if self.alice_is_next {
            &self.alice
        } else {
            &self.bob
        }
    }
}
