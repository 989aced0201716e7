// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parties that keep their sessions as the engine does: in rows, with one commit for each message.
//! After every commit the session is read back from its rows, so a state that does not survive its
//! encoding shows at once.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use waxwing_crypto::{DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, PrekeyPair, Signatory};
use waxwing_proto::limits::SESSION_STATE_SIZE_MAX;
use waxwing_proto::{DeviceId, v1};

use crate::{
    Accepted, Acknowledgement, Claim, Envelope, Found, HandshakeId, KemChanges, KemRowId,
    LocalDevice, Opened, PrekeySecret, RatchetError, ResponderKeys, SentHash, SentHashes,
    SentRowId, Session, SessionId, SessionSet, SkippedId, SkippedRow, TagTable, find,
    initiate_next,
};

/// Some day in 2024.
pub(super) const NOW: u64 = 20_000 * 86_400;

/// The sessions of a party as they are read back from their rows.
type Restored = BTreeMap<SessionId, Session>;

/// One device of one account, and everything that it stores about one peer device.
pub(super) struct Party {
    /// Seconds since the Unix epoch.
    pub(super) now: u64,
    pub(super) secrets: DeviceSecrets,
    pub(super) manifest: DeviceManifest,
    pub(super) signed: (PrekeySecret, PrekeyPair),
    one_time: Vec<(PrekeySecret, PrekeyPair)>,
    handed_out: usize,
    pub(super) hot: BTreeMap<SessionId, Vec<u8>>,
    prefixes: BTreeMap<SessionId, Vec<u8>>,
    pub(super) skipped: BTreeMap<(SessionId, SkippedId), Vec<u8>>,
    handshakes: BTreeMap<HandshakeId, SessionId>,
    pub(super) set: SessionSet,
    pub(super) tags: TagTable,
    pub(super) kem: BTreeMap<(SessionId, KemRowId), Vec<u8>>,
    pub(super) sent_rows: BTreeMap<(SessionId, SentRowId), Vec<u8>>,
    pub(super) sent: Vec<SentHash>,
    /// What each acknowledgement was found to be.
    pub(super) judged: Vec<Acknowledgement>,
    /// How often an envelope showed that an epoch is broken.
    pub(super) epochs_failed: u32,
    pub(super) acknowledged: Vec<SentHash>,
    pub(super) rng: ChaCha20Rng,
}

impl Party {
    pub(super) fn new(seed: u8, one_time_pairs: u32) -> Self {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let owner = RecoveryWords::generate(&mut rng).account_secret();
        let secrets = DeviceSecrets::generate(&mut rng);
        let keys = secrets.public_keys(DeviceId::new([seed; 16]));
        let account = owner.account_key();
        let membership = secrets
            .signing
            .sign(&keys.membership_signable(&account))
            .unwrap();
        let device = keys.countersigned(&account, membership).unwrap();
        let by = Signatory::Account;
        let admission = owner.sign(&device.admission_signable(20_000, &by)).unwrap();
        let entry = device.admit(20_000, by, admission).unwrap();
        let draft = ManifestDraft::first(account, entry);
        let signature = owner.sign(&draft.signable().unwrap()).unwrap();
        let manifest = draft.finish(signature).unwrap();
        let local = local(&secrets, &manifest);
        let signed = PrekeySecret::generate_signed(&local, 1, NOW, &mut rng).unwrap();
        let one_time = (1..=one_time_pairs)
            .map(|id| PrekeySecret::generate_one_time(&local, id, NOW, &mut rng).unwrap())
            .collect();
        Self {
            now: NOW,
            secrets,
            manifest,
            signed,
            one_time,
            handed_out: 0,
            hot: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            skipped: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            set: SessionSet::new(),
            tags: TagTable::new(),
            kem: BTreeMap::new(),
            sent_rows: BTreeMap::new(),
            sent: Vec::new(),
            judged: Vec::new(),
            epochs_failed: 0,
            acknowledged: Vec::new(),
            rng,
        }
    }

    pub(super) fn local(&self) -> LocalDevice<'_> {
        local(&self.secrets, &self.manifest)
    }

    pub(super) fn one_time(&self) -> &[(PrekeySecret, PrekeyPair)] {
        &self.one_time
    }

    /// Others took the one-time pairs; the signed pair is the last resort.
    pub(super) fn hand_out_all(&mut self) {
        self.handed_out = self.one_time.len();
    }

    /// The server hands out what it handed out before, as after the restoring of a backup.
    pub(super) fn hand_back(&mut self) {
        self.handed_out = 0;
    }

    /// What this party's server hands out: each one-time pair once.
    pub(super) fn bundle(&mut self) -> PrekeyBundle {
        let one_time = self.one_time.get(self.handed_out);
        self.handed_out += 1;
        let wire = v1::PrekeyBundle {
            device_id: self.local().device.to_wire(),
            signed_pair: self.signed.1.as_bytes().clone(),
            one_time_pair: one_time
                .map(|(_, pair)| pair.as_bytes().clone())
                .unwrap_or_default(),
        };
        PrekeyBundle::check(&wire, &self.manifest).unwrap()
    }

    pub(super) fn session(&self, id: SessionId) -> Session {
        let prefix = self.prefixes.get(&id).map(Vec::as_slice);
        let kem = self
            .kem
            .range((id, KemRowId::from_byte(0))..=(id, KemRowId::from_byte(255)));
        let kem = kem.map(|((_, row), bytes)| (*row, bytes.as_slice()));
        Session::restore(&self.hot[&id], prefix, kem).unwrap()
    }

    pub(super) fn active(&self) -> Session {
        self.session(self.set.active().unwrap())
    }

    pub(super) fn sent_hashes(&self, id: SessionId) -> SentHashes {
        let rows = self
            .sent_rows
            .iter()
            .filter(|((session, _), _)| *session == id);
        SentHashes::restore(rows.map(|((_, row), bytes)| (*row, bytes.as_slice()))).unwrap()
    }

    pub(super) fn sessions(&self) -> Restored {
        let restored = self.hot.keys().map(|id| (*id, self.session(*id)));
        restored.collect()
    }

    pub(super) fn initiate(&mut self, peer: &mut Self) -> SessionId {
        let bundle = peer.bundle();
        let sessions = self.sessions();
        let next = self.set.continuation(|id| sessions.get(&id));
        let local = local(&self.secrets, &self.manifest);
        let session = initiate_next(&local, &bundle, &next, self.now, &mut self.rng).unwrap();
        self.place(&session).unwrap();
        self.commit(&session);
        self.tags.insert_session(&session);
        session.id()
    }

    /// Sends in the active session, opening one where there is none.
    pub(super) fn send(&mut self, peer: &mut Self, content: &[u8]) -> Vec<u8> {
        if self.set.active().is_none() {
            self.initiate(peer);
        }
        self.send_in(self.set.active().unwrap(), content)
    }

    pub(super) fn send_in(&mut self, id: SessionId, content: &[u8]) -> Vec<u8> {
        let sealed = self.session(id).encrypt(content, &mut self.rng).unwrap();
        self.commit(&sealed.session);
        self.commit_kem(id, sealed.kem);
        let mut hashes = self.sent_hashes(id);
        let changes = hashes.record(&sealed.sent);
        for row in changes.delete {
            assert!(self.sent_rows.remove(&(id, row)).is_some());
        }
        self.sent_rows.insert((id, changes.put.0), changes.put.1);
        assert_eq!(self.sent_hashes(id), hashes);
        self.sent.push(sealed.sent);
        sealed.envelope
    }

    /// Opens an envelope and commits what came of it; on an error commits nothing.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, RatchetError> {
        let envelope = Envelope::parse(bytes)?;
        let sessions = self.sessions();
        let known = |id: &HandshakeId| self.handshakes.get(id).copied();
        match find(&self.tags, &envelope, sessions.values(), known) {
            Found::Session { id, .. } if !self.hot.contains_key(&id) => Err(RatchetError::Replay),
            Found::Session { id, skipped } => {
                let row =
                    skipped.map(|row| SkippedRow::decode(row, &self.skipped[&(id, row)]).unwrap());
                let opened = self
                    .session(id)
                    .decrypt(&envelope, row.as_ref(), self.now)?;
                self.tags.apply(id, &opened.changes);
                Ok(self.commit_opened(opened))
            }
            Found::Handshake => {
                let accepted = self.accept(&envelope)?;
                self.place(&accepted.opened.session)?;
                if let Some(used) = accepted.one_time_used {
                    self.one_time.retain(|(secret, _)| secret.id() != used);
                    self.handed_out = self.handed_out.saturating_sub(1);
                }
                let session = &accepted.opened.session;
                self.handshakes.insert(session.handshake_id(), session.id());
                self.tags.insert_session(session);
                for row in &accepted.opened.skipped_added {
                    self.tags.insert_skipped(session.id(), row);
                }
                Ok(self.commit_opened(accepted.opened))
            }
            Found::Unknown => Err(RatchetError::UnknownTag),
        }
    }

    /// Who wants to open a session, and with what.
    pub(super) fn claim<'a>(&'a self, envelope: &Envelope<'a>) -> Result<Claim<'a>, RatchetError> {
        let prefix = envelope.prefix().unwrap();
        if prefix.signed_prekey() != self.signed.0.id() {
            return Err(RatchetError::PrekeyUnknown);
        }
        let one_time = match prefix.one_time_prekey() {
            None => None,
            Some(id) => {
                let found = self.one_time.iter().find(|(secret, _)| secret.id() == id);
                Some(&found.ok_or(RatchetError::PrekeyUnknown)?.0)
            }
        };
        let keys = ResponderKeys {
            signed: &self.signed.0,
            one_time,
        };
        Claim::check(&self.local(), envelope, &keys)
    }

    pub(super) fn accept(&self, envelope: &Envelope<'_>) -> Result<Accepted, RatchetError> {
        let sessions = self.sessions();
        let claim = self.claim(envelope)?;
        let judged = self.set.judge(&claim, |id| sessions.get(&id), self.now)?;
        claim.accept(&judged, self.now)
    }

    fn place(&mut self, session: &Session) -> Result<(), RatchetError> {
        let sessions = self.sessions();
        let placed = self.set.place(session, |id| sessions.get(&id), self.now)?;
        self.set = read_back(&placed.set);
        for id in placed.evicted {
            self.forget(id);
        }
        Ok(())
    }

    fn forget(&mut self, id: SessionId) {
        self.hot.remove(&id);
        self.prefixes.remove(&id);
        self.kem.retain(|(session, _), _| *session != id);
        self.sent_rows.retain(|(session, _), _| *session != id);
        self.tags.remove_session(id);
        self.skipped.retain(|(session, _), _| *session != id);
    }

    /// The mailbox was drained completely just now, and what is over goes.
    pub(super) fn drain(&mut self) -> Vec<SessionId> {
        let sessions = self.sessions();
        self.set.record_drained(self.now);
        let gone = self.set.expire(|id| sessions.get(&id), self.now);
        self.set = read_back(&self.set);
        for id in &gone {
            self.forget(*id);
        }
        gone
    }

    /// A copy of the device as it is now, with other randomness to come.
    pub(super) fn copy(&self, seed: u8, one_time_pairs: u32) -> Self {
        let mut copy = Self::new(seed, one_time_pairs);
        copy.rng = ChaCha20Rng::from_seed([seed ^ 0x55; 32]);
        copy.now = self.now;
        copy.hot = self.hot.clone();
        copy.prefixes = self.prefixes.clone();
        copy.skipped = self.skipped.clone();
        copy.handshakes = self.handshakes.clone();
        copy.set = self.set.clone();
        copy.handed_out = self.handed_out;
        let kept: Vec<u32> = self
            .one_time
            .iter()
            .map(|(secret, _)| secret.id())
            .collect();
        copy.one_time
            .retain(|(secret, _)| kept.contains(&secret.id()));
        copy.restart();
        copy
    }

    fn commit(&mut self, session: &Session) {
        let hot = session.hot_row();
        assert!(hot.len() <= SESSION_STATE_SIZE_MAX);
        self.hot.insert(session.id(), hot.to_vec());
        if let Some(prefix) = session.prefix_row() {
            self.prefixes.insert(session.id(), prefix.to_vec());
        }
    }

    fn commit_kem(&mut self, id: SessionId, changes: KemChanges) {
        for (row, value) in changes {
            match value {
                Some(value) => {
                    assert!(value.len() <= 1280, "{}", value.len());
                    self.kem.insert((id, row), value.to_vec());
                }
                None => assert!(self.kem.remove(&(id, row)).is_some()),
            }
        }
    }

    fn commit_opened(&mut self, opened: Opened) -> Vec<u8> {
        let id = opened.session.id();
        self.commit(&opened.session);
        self.commit_kem(id, opened.kem);
        self.epochs_failed += u32::from(opened.epoch_failed);
        let stored = self.kem.keys().filter(|(session, _)| *session == id);
        let mut named = opened.session.kem_rows();
        named.sort_unstable();
        assert!(stored.map(|(_, row)| *row).eq(named));
        if let Some(acknowledged) = &opened.acknowledged {
            self.judged.push(self.sent_hashes(id).judge(acknowledged));
        }
        for row in &opened.skipped_added {
            self.skipped.insert((id, row.id()), row.encode().to_vec());
        }
        if let Some(row) = opened.skipped_removed {
            assert!(self.skipped.remove(&(id, row)).is_some());
        }
        if opened.prefix_ended {
            self.prefixes.remove(&id);
            self.set.record_prefix_ended(id, self.now).unwrap();
        }
        for (session, row) in self.tags.overflow(&[id]) {
            self.skipped.remove(&(session, row));
            self.tags.forget(session, row);
        }
        self.acknowledged.extend(opened.acknowledged);
        opened.content.to_vec()
    }

    /// Everything that is stored, to show that an error changed nothing.
    pub(super) fn snapshot(&self) -> impl PartialEq + core::fmt::Debug + use<> {
        (
            self.hot.clone(),
            self.prefixes.clone(),
            self.skipped.clone(),
            (self.kem.clone(), self.sent_rows.clone()),
            self.set.clone(),
            self.one_time.len(),
            self.tags.len(),
        )
    }

    /// Forgets the tag table's windows and keeps the rows, as after a start.
    pub(super) fn restart(&mut self) {
        self.tags = TagTable::new();
        for session in self.sessions().values() {
            self.tags.insert_session(session);
        }
        for ((id, row), bytes) in &self.skipped {
            let row = SkippedRow::decode(*row, bytes).unwrap();
            self.tags.insert_skipped(*id, &row);
        }
    }
}

fn read_back(set: &SessionSet) -> SessionSet {
    let row = set.encode();
    let again = SessionSet::decode(&row).unwrap();
    assert_eq!(&again, set);
    assert_eq!(again.encode(), row);
    again
}

pub(super) fn local<'a>(
    secrets: &'a DeviceSecrets,
    manifest: &'a DeviceManifest,
) -> LocalDevice<'a> {
    LocalDevice {
        account: *manifest.account(),
        device: manifest.devices()[0].id(),
        secrets,
        manifest,
    }
}

/// Two parties that have not spoken yet.
pub(super) fn strangers() -> (Party, Party) {
    (Party::new(1, 3), Party::new(2, 3))
}

/// Two parties with a session whose prefix has ended on both sides.
pub(super) fn acquainted() -> (Party, Party) {
    let (mut a, mut b) = strangers();
    let envelope = a.send(&mut b, b"1");
    b.receive(&envelope).unwrap();
    let envelope = b.send(&mut a, b"2");
    a.receive(&envelope).unwrap();
    let envelope = a.send(&mut b, b"3");
    b.receive(&envelope).unwrap();
    (a, b)
}
