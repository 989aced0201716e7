// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One device of the model: nothing but the rows that a client would store, and the real state
//! machine that is put together from them for each event.
//!
//! The randomness of an event is derived from what the event is, so that the same event in the same
//! state gives the same bytes, and states that were reached in different ways are found to be equal.

#[path = "seen.rs"]
mod seen;

use std::collections::BTreeMap;
use std::rc::Rc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use waxwing_crypto::{DeviceSecrets, RecoveryWords, kdf};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, Signatory};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{
    Claim, Continuation, Envelope, EpochPhase, Found, HandshakeId, KemChanges, KemRowId,
    LocalDevice, Opened, PrekeySecret, RatchetError, ResponderKeys, Session, SessionId, SessionSet,
    SkippedId, SkippedRow, TagTable, find, initiate_next,
};

use self::seen::Seen;

/// Some day in 2024, in seconds.
const START: u64 = 20_000 * 86_400;
/// What passes when a mailbox is drained: the life of a superseded session.
const TWO_DAYS: u64 = 48 * 3600;

/// A fault of a device, planted so that the explorer can be seen to find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The second device sends in the session that it took in last, whatever the order says.
    NewestIsActive,
    /// The second device names no session in its handshakes.
    NothingContinued,
    /// The second device counts each attempt as the first.
    AttemptsNotCounted,
    /// Who read a device out foresees all its randomness.
    Foreseen,
    /// Who computes ratchet keys foresees the rest, too.
    KemForeseen,
}

/// What does not change in a run.
pub(crate) struct Keys {
    secrets: DeviceSecrets,
    manifest: DeviceManifest,
    signed: PrekeySecret,
    bundle: PrekeyBundle,
    /// With a pair whose secret the device does not have any more, as a restored server hands it out.
    dead_bundle: PrekeyBundle,
}

/// What the server hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Prekeys {
    Live,
    Dead,
}

fn rng(parts: &[&[u8]]) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(kdf::sha256(parts))
}

impl Keys {
    pub(crate) fn new(side: u8) -> Self {
        let rng = &mut rng(&[b"model keys", &[side]]);
        let owner = RecoveryWords::generate(rng).account_secret();
        let secrets = DeviceSecrets::generate(rng);
        let keys = secrets.public_keys(DeviceId::new([side; 16]));
        let (account, by) = (owner.account_key(), Signatory::Account);
        let membership = secrets
            .signing
            .sign(&keys.membership_signable(&account))
            .unwrap();
        let device = keys.countersigned(&account, membership).unwrap();
        let admission = owner.sign(&device.admission_signable(20_000, &by)).unwrap();
        let draft = ManifestDraft::first(account, device.admit(20_000, by, admission).unwrap());
        let signature = owner.sign(&draft.signable().unwrap()).unwrap();
        let manifest = draft.finish(signature).unwrap();
        let own = local(&secrets, &manifest);
        let (signed, live) = PrekeySecret::generate_signed(&own, 1, START, rng).unwrap();
        let (_, dead) = PrekeySecret::generate_signed(&own, 2, START, rng).unwrap();
        let [bundle, dead_bundle] = [live, dead].map(|pair| {
            let wire = v1::PrekeyBundle {
                device_id: own.device.to_wire(),
                signed_pair: pair.as_bytes().clone(),
                ..v1::PrekeyBundle::default()
            };
            PrekeyBundle::check(&wire, &manifest).unwrap()
        });
        Self {
            secrets,
            manifest,
            signed,
            bundle,
            dead_bundle,
        }
    }
}

fn local<'a>(secrets: &'a DeviceSecrets, manifest: &'a DeviceManifest) -> LocalDevice<'a> {
    LocalDevice {
        account: *manifest.account(),
        device: manifest.devices()[0].id(),
        secrets,
        manifest,
    }
}

/// The rows of a device about the one peer device that there is.
#[derive(Clone, Default)]
pub(crate) struct Party {
    pub(crate) side: u8,
    now: u64,
    hot: BTreeMap<SessionId, Rc<[u8]>>,
    prefixes: BTreeMap<SessionId, Rc<[u8]>>,
    skipped: BTreeMap<(SessionId, SkippedId), Rc<[u8]>>,
    kem: BTreeMap<(SessionId, KemRowId), Vec<u8>>,
    handshakes: BTreeMap<HandshakeId, SessionId>,
    set: SessionSet,
    /// In the order in which they were taken in.
    newest: Option<SessionId>,
    pub(crate) handshakes_made: u8,
    /// Of them, those against prekeys that the peer does not have any more.
    pub(crate) dead_made: u8,
    pub(crate) contents_sent: u8,
    /// How many contents of the peer were opened.
    pub(crate) contents_opened: u8,
    pub(crate) drains: u8,
    /// The newest step that is known of each session, of whichever side.
    pub(crate) steps: BTreeMap<SessionId, u32>,
    /// The newest step of the peer that was opened in each session.
    pub(crate) heard: BTreeMap<SessionId, u32>,
    /// Where the last content was sent.
    pub(crate) sent_at: Option<(SessionId, u32)>,
}

/// Why an envelope was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its session is gone, or it was opened before.
    NotNeeded(RatchetError),
    /// The device thinks that the peer is there twice.
    Alarm(RatchetError),
    /// Anything else: between honest devices it must not happen.
    Broken(RatchetError),
}

impl Party {
    pub(crate) fn new(side: u8) -> Self {
        Self {
            side,
            now: START,
            ..Self::default()
        }
    }

    /// All rows in one string: two parties with the same one behave alike.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut all = vec![
            self.side,
            self.handshakes_made,
            self.dead_made,
            self.contents_sent,
            self.contents_opened,
            self.drains,
        ];
        all.extend_from_slice(&self.now.to_be_bytes());
        all.extend_from_slice(self.newest.as_ref().map_or(&[0; 32], |id| id.as_bytes()));
        all.extend(self.set.encode());
        for (id, row) in &self.hot {
            all.extend_from_slice(id.as_bytes());
            all.extend_from_slice(row);
            all.extend_from_slice(self.prefixes.get(id).map_or(&[][..], |row| &**row));
        }
        for ((id, skipped), row) in &self.skipped {
            all.extend_from_slice(id.as_bytes());
            all.extend_from_slice(&skipped.to_bytes());
            all.extend_from_slice(row);
        }
        for ((id, name), row) in &self.kem {
            all.extend_from_slice(id.as_bytes());
            all.push(name.to_byte());
            all.extend_from_slice(row);
        }
        for (handshake, id) in &self.handshakes {
            all.extend_from_slice(handshake.as_bytes());
            all.extend_from_slice(id.as_bytes());
        }
        all
    }

    pub(crate) fn active(&self, plant: Option<Plant>) -> Option<SessionId> {
        if plant == Some(Plant::NewestIsActive) && self.side == 1 {
            return self.newest.filter(|id| self.hot.contains_key(id));
        }
        self.set.active()
    }

    /// Whether the active session is an own one that nobody has answered.
    pub(crate) fn is_unanswered(&self, plant: Option<Plant>) -> bool {
        self.active(plant)
            .is_some_and(|id| !self.session(id).has_heard_peer())
    }

    /// What the active session continues.
    pub(crate) fn continues(&self) -> Option<SessionId> {
        let named = *self.session(self.active(None)?).predecessor();
        (named != [0; 32]).then(|| SessionId::new(named))
    }

    pub(crate) fn keeps(&self, id: SessionId) -> bool {
        self.hot.contains_key(&id)
    }

    pub(crate) fn session_count(&self) -> usize {
        self.hot.len()
    }

    /// How many epochs are mixed in a session.
    pub(crate) fn mixed(&self, id: SessionId) -> u32 {
        self.session(id).epochs_mixed()
    }

    /// The first epoch of a session whose secret is not stored, nor what it is computed from.
    pub(crate) fn first_unknown_epoch(&self, id: SessionId) -> u32 {
        let session = self.session(id);
        let under_way = session.epochs_mixed() + 1;
        match session.epoch_phase() {
            EpochPhase::Offering | EpochPhase::Ready | EpochPhase::Answering => under_way + 1,
            _ => under_way,
        }
    }

    /// What a thief with a quantum computer makes of a sending of the device that it once read out: it
    /// computes the ratchet key of a step from what is seen, and has none of the device's other
    /// randomness: the first `seen` bytes. Where it lost the thread before, nothing happens.
    pub(crate) fn follow(&mut self, id: SessionId, seen: usize) {
        let device = rng(&[b"model content", &[self.side, self.contents_sent]]);
        let own = rng(&[b"model thief", &[self.side, self.contents_sent]]);
        let mut rng = Seen {
            left: seen,
            device,
            own,
        };
        self.contents_sent = self.contents_sent.saturating_add(1);
        if !self.hot.contains_key(&id) {
            return;
        }
        if let Ok(sealed) = self.session(id).encrypt(&[self.side], &mut rng) {
            self.steps.insert(id, sealed.sent.position.step);
            self.keep(&sealed.session);
            self.keep_kem(id, sealed.kem);
        }
    }

    fn session(&self, id: SessionId) -> Session {
        let prefix = self.prefixes.get(&id).map(|row| &**row);
        let kem = self.kem.iter().filter(|((session, _), _)| *session == id);
        let kem = kem.map(|((_, row), value)| (*row, value.as_slice()));
        Session::restore(&self.hot[&id], prefix, kem).unwrap()
    }

    fn sessions(&self) -> BTreeMap<SessionId, Session> {
        let all = self.hot.keys().map(|id| (*id, self.session(*id)));
        all.collect()
    }

    /// Makes a handshake, and sends the first content with it.
    pub(crate) fn open(
        &mut self,
        keys: &Keys,
        peer: &Keys,
        prekeys: Prekeys,
        plant: Option<Plant>,
    ) -> Vec<u8> {
        let rng = &mut rng(&[b"model handshake", &[self.side, self.handshakes_made]]);
        let sessions = self.sessions();
        let mut next = self.set.continuation(|id| sessions.get(&id));
        if self.side == 1 && plant == Some(Plant::NothingContinued) {
            next = Continuation::first(0);
        }
        if self.side == 1
            && plant == Some(Plant::AttemptsNotCounted)
            && next.predecessor().is_none()
        {
            next = Continuation::first(0);
        }
        let own = local(&keys.secrets, &keys.manifest);
        let bundle = match prekeys {
            Prekeys::Live => &peer.bundle,
            Prekeys::Dead => &peer.dead_bundle,
        };
        let session = initiate_next(&own, bundle, &next, self.now, rng).unwrap();
        self.handshakes_made = self.handshakes_made.saturating_add(1);
        self.dead_made += u8::from(prekeys == Prekeys::Dead);
        // A planted fault may be refused by the own set already; nothing is opened then.
        if self.place(&session, &sessions).is_ok() {
            self.keep(&session);
        }
        self.send(plant)
    }

    /// Sends a content in the active session.
    pub(crate) fn send(&mut self, plant: Option<Plant>) -> Vec<u8> {
        let rng = &mut rng(&[b"model content", &[self.side, self.contents_sent]]);
        let id = self.active(plant).unwrap();
        let content = [self.side, self.contents_sent];
        let sealed = self.session(id).encrypt(&content, rng).unwrap();
        self.contents_sent = self.contents_sent.saturating_add(1);
        let step = sealed.sent.position.step;
        self.steps.insert(id, step);
        self.sent_at = Some((id, step));
        self.keep(&sealed.session);
        self.keep_kem(id, sealed.kem);
        sealed.envelope
    }

    /// Opens an envelope of the peer; on an error nothing changes.
    pub(crate) fn receive(&mut self, keys: &Keys, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let envelope = Envelope::parse(bytes).map_err(Refusal::Broken)?;
        let sessions = self.sessions();
        // Only the skipped keys: the window of tags is a cache, and nothing may depend on it.
        let mut tags = TagTable::new();
        for ((id, skipped), row) in &self.skipped {
            tags.insert_skipped(*id, &SkippedRow::decode(*skipped, row).unwrap());
        }
        let known = |id: &HandshakeId| self.handshakes.get(id).copied();
        match find(&tags, &envelope, sessions.values(), known) {
            Found::Session { id, .. } if !self.hot.contains_key(&id) => {
                Err(Refusal::NotNeeded(RatchetError::Replay))
            }
            Found::Session { id, skipped } => {
                let row = skipped.map(|row| {
                    let stored = &self.skipped[&(id, row)];
                    SkippedRow::decode(row, stored).unwrap()
                });
                let opened = sessions[&id]
                    .decrypt(&envelope, row.as_ref(), self.now)
                    .map_err(refusal)?;
                Ok(self.commit(opened))
            }
            Found::Handshake if envelope.prefix().unwrap().signed_prekey() != 1 => {
                Err(Refusal::NotNeeded(RatchetError::PrekeyUnknown))
            }
            Found::Handshake => {
                let own = local(&keys.secrets, &keys.manifest);
                let secrets = ResponderKeys {
                    signed: &keys.signed,
                    one_time: None,
                };
                let claim = Claim::check(&own, &envelope, &secrets).map_err(refusal)?;
                let judged = self
                    .set
                    .judge(&claim, |id| sessions.get(&id), self.now)
                    .map_err(refusal)?;
                let opened = claim.accept(&judged, self.now).map_err(refusal)?.opened;
                self.place(&opened.session, &sessions).map_err(refusal)?;
                let session = &opened.session;
                self.handshakes.insert(session.handshake_id(), session.id());
                Ok(self.commit(opened))
            }
            Found::Unknown => Err(Refusal::NotNeeded(RatchetError::UnknownTag)),
        }
    }

    /// Two days pass, the mailbox is drained, and what is over goes.
    pub(crate) fn drain(&mut self) {
        self.drains = self.drains.saturating_add(1);
        self.now = self.now.saturating_add(TWO_DAYS);
        let sessions = self.sessions();
        self.set.record_drained(self.now);
        self.now = self.now.saturating_add(TWO_DAYS);
        for id in self.set.expire(|id| sessions.get(&id), self.now) {
            self.forget(id);
        }
    }

    /// Whether any key that is stored now opens an envelope that was opened before.
    pub(crate) fn still_opens(&self, bytes: &[u8]) -> bool {
        let envelope = Envelope::parse(bytes).unwrap();
        let rows: Vec<SkippedRow> = self
            .skipped
            .iter()
            .map(|((_, id), row)| SkippedRow::decode(*id, row).unwrap())
            .collect();
        self.sessions().values().any(|session| {
            let keys = rows.iter().map(Some).chain([None]);
            let mut tried = keys.map(|row| session.decrypt(&envelope, row, self.now));
            tried.any(|opened| opened.is_ok())
        })
    }

    fn place(
        &mut self,
        session: &Session,
        sessions: &BTreeMap<SessionId, Session>,
    ) -> Result<(), RatchetError> {
        let placed = self.set.place(session, |id| sessions.get(&id), self.now)?;
        self.set = placed.set;
        self.newest = Some(session.id());
        for id in placed.evicted {
            self.forget(id);
        }
        Ok(())
    }

    fn keep(&mut self, session: &Session) {
        let id = session.id();
        self.hot.insert(id, Rc::from(session.hot_row().as_slice()));
        match session.prefix_row() {
            // Most states share their prefixes.
            Some(prefix) => {
                self.prefixes.entry(id).or_insert_with(|| Rc::from(prefix));
            }
            None => {
                self.prefixes.remove(&id);
            }
        }
    }

    fn keep_kem(&mut self, id: SessionId, changes: KemChanges) {
        for (row, value) in changes {
            match value {
                Some(value) => self.kem.insert((id, row), value.to_vec()),
                None => self.kem.remove(&(id, row)),
            };
        }
    }

    fn forget(&mut self, id: SessionId) {
        self.kem.retain(|(session, _), _| *session != id);
        self.hot.remove(&id);
        self.prefixes.remove(&id);
        self.skipped.retain(|(session, _), _| *session != id);
    }

    fn commit(&mut self, opened: Opened) -> Vec<u8> {
        let (id, step) = (opened.session.id(), opened.position.step);
        for newest in [&mut self.steps, &mut self.heard] {
            let newest = newest.entry(id).or_default();
            *newest = step.max(*newest);
        }
        self.keep(&opened.session);
        self.keep_kem(id, opened.kem);
        for row in &opened.skipped_added {
            let encoded = Rc::from(row.encode().as_slice());
            self.skipped.insert((id, row.id()), encoded);
        }
        if let Some(row) = opened.skipped_removed {
            self.skipped.remove(&(id, row)).unwrap();
        }
        if opened.prefix_ended {
            self.set.record_prefix_ended(id, self.now).unwrap();
        }
        self.contents_opened = self.contents_opened.saturating_add(1);
        opened.content.to_vec()
    }
}

fn refusal(error: RatchetError) -> Refusal {
    match error {
        error if error.is_alarm() => Refusal::Alarm(error),
        RatchetError::Replay | RatchetError::Superseded | RatchetError::UnknownTag => {
            Refusal::NotNeeded(error)
        }
        error => Refusal::Broken(error),
    }
}
