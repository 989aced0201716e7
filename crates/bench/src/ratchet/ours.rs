// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two parties of `waxwing-ratchet`, with everything that a client does for a message but the disk.

use anyhow::{Context, Result, bail};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use waxwing_crypto::{DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, Signatory};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{
    Envelope, Found, LocalDevice, PrekeySecret, ResponderKeys, Session, TagTable, accept, find,
    initiate,
};

const DAY: u32 = 20_000;
const NOW: u64 = DAY as u64 * 86_400;

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

struct End {
    session: Session,
    tags: TagTable,
}

impl End {
    fn new(session: Session) -> Self {
        let mut tags = TagTable::new();
        tags.insert_session(&session);
        Self { session, tags }
    }

    fn seal(&mut self, content: &[u8], rng: &mut ChaCha20Rng) -> Result<Vec<u8>> {
        let sealed = self.session.encrypt(content, rng)?;
        std::hint::black_box(sealed.session.hot_row());
        self.session = sealed.session;
        Ok(sealed.envelope)
    }

    fn open(&mut self, bytes: &[u8]) -> Result<()> {
        let envelope = Envelope::parse(bytes)?;
        let Found::Session { id, .. } = find(&self.tags, &envelope, [&self.session], |_| None)
        else {
            bail!("no session for an envelope");
        };
        let opened = self.session.decrypt(&envelope, None, NOW)?;
        std::hint::black_box(opened.session.hot_row());
        self.tags.apply(id, &opened.changes);
        self.session = opened.session;
        Ok(())
    }
}

/// Two parties whose handshake is behind them.
pub(super) struct Pair {
    alice: End,
    bob: End,
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

    pub(super) fn bob_opens(&mut self, envelope: &[u8]) -> Result<()> {
        self.bob.open(envelope)
    }

    /// One message, with a step: the direction changes each time.
    pub(super) fn turn(&mut self, size: usize) -> Result<()> {
        let (from, to) = if self.alice_is_next {
            (&mut self.alice, &mut self.bob)
        } else {
            (&mut self.bob, &mut self.alice)
        };
        self.alice_is_next = !self.alice_is_next;
        let envelope = from.seal(&vec![0x61; size], &mut self.rng)?;
        to.open(&envelope)
    }
}
