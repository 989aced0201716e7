// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device: its keys, its rows, and what it does with an envelope.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use rand_chacha::ChaCha20Rng;
use waxwing_crypto::{DeviceSecrets, RecoveryWords};
use waxwing_identity::{DeviceManifest, ManifestDraft, PrekeyBundle, Signatory};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{
    Acknowledgement, Claim, Envelope, Found, HandshakeId, LocalDevice, Opened, PrekeySecret,
    RatchetError, ResponderKeys, SentHashes, Session, SessionId, SessionSet, SkippedRow, TagTable,
    find, initiate_next,
};

use crate::rows::{Batch, Key, Rows};

/// What an envelope came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Content,
    /// It was opened before, or its session is over.
    NotNeeded,
}

pub(crate) struct Device {
    secrets: DeviceSecrets,
    manifest: DeviceManifest,
    /// The prekeys whose public halves its server hands out.
    prekeys: BTreeMap<u32, PrekeySecret>,
    /// What is needed to write to the peer first.
    peer: Option<PrekeyBundle>,
    rows: Rows,
    conversation: BTreeSet<Vec<u8>>,
}

type Fallible<T> = Result<T, Box<dyn Error>>;

impl Device {
    /// An account with one device.
    pub(crate) fn new(id: u8, now: u64, rng: &mut ChaCha20Rng) -> Fallible<Self> {
        let today = u32::try_from(now / 86_400)?;
        let owner = RecoveryWords::generate(rng).account_secret();
        let account = owner.account_key();
        let secrets = DeviceSecrets::generate(rng);
        let keys = secrets.public_keys(DeviceId::new([id; 16]));
        let membership = secrets.signing.sign(&keys.membership_signable(&account))?;
        let device = keys.countersigned(&account, membership)?;
        let by = Signatory::Account;
        let admission = owner.sign(&device.admission_signable(today, &by))?;
        let draft = ManifestDraft::first(account, device.admit(today, by, admission)?);
        let signature = owner.sign(&draft.signable()?)?;
        Ok(Self {
            secrets,
            manifest: draft.finish(signature)?,
            prekeys: BTreeMap::new(),
            peer: None,
            rows: Rows::default(),
            conversation: BTreeSet::new(),
        })
    }

    pub(crate) const fn manifest(&self) -> &DeviceManifest {
        &self.manifest
    }

    fn local(&self) -> Fallible<LocalDevice<'_>> {
        Ok(LocalDevice {
            account: *self.manifest.account(),
            device: self.manifest.devices().first().ok_or("no device")?.id(),
            secrets: &self.secrets,
            manifest: &self.manifest,
        })
    }

    /// Makes a prekey pair, and what its server hands out of it.
    pub(crate) fn publishes(
        &mut self,
        now: u64,
        rng: &mut ChaCha20Rng,
    ) -> Fallible<v1::PrekeyBundle> {
        let local = self.local()?;
        let (secret, pair) = PrekeySecret::generate_signed(&local, 1, now, rng)?;
        let bundle = v1::PrekeyBundle {
            device_id: local.device.to_wire(),
            signed_pair: pair.as_bytes().clone(),
            ..v1::PrekeyBundle::default()
        };
        self.prekeys.insert(secret.id(), secret);
        Ok(bundle)
    }

    /// Checks what a server says about the peer: the server is not trusted.
    pub(crate) fn knows(
        &mut self,
        peer: &DeviceManifest,
        bundle: &v1::PrekeyBundle,
    ) -> Fallible<()> {
        self.peer = Some(PrekeyBundle::check(bundle, peer)?);
        Ok(())
    }

    fn sessions(&self) -> Result<BTreeMap<SessionId, Session>, RatchetError> {
        let mut sessions = BTreeMap::new();
        for (key, hot) in self.rows.iter() {
            if let Key::Hot(id) = key {
                let kem = self.rows.iter().filter_map(|(key, value)| match key {
                    Key::Kem(of, row) if of == id => Some((row, value)),
                    _ => None,
                });
                let session = Session::restore(hot, self.rows.get(Key::Prefix(id)), kem)?;
                sessions.insert(id, session);
            }
        }
        Ok(sessions)
    }

    fn set(&self) -> Result<SessionSet, RatchetError> {
        self.rows
            .get(Key::Set)
            .map_or_else(|| Ok(SessionSet::new()), SessionSet::decode)
    }

    fn sent(&self, id: SessionId) -> Result<SentHashes, RatchetError> {
        SentHashes::restore(self.rows.iter().filter_map(|(key, value)| match key {
            Key::Sent(of, row) if of == id => Some((row, value)),
            _ => None,
        }))
    }

    /// Seals a content in the active session, or in a new one. What is returned may leave: the rows
    /// behind it are stored.
    pub(crate) fn send(
        &mut self,
        content: &[u8],
        now: u64,
        rng: &mut ChaCha20Rng,
    ) -> Fallible<Vec<u8>> {
        let sessions = self.sessions()?;
        let set = self.set()?;
        let mut batch = Batch::default();
        let opened;
        let session = match set.active().and_then(|id| sessions.get(&id)) {
            Some(session) => session,
            None => {
                let next = set.continuation(|id| sessions.get(&id));
                let bundle = self.peer.as_ref().ok_or("no bundle of the peer")?;
                opened = initiate_next(&self.local()?, bundle, &next, now, rng)?;
                self.place(&opened, &set, &sessions, now, &mut batch)?;
                if let Some(prefix) = opened.prefix_row() {
                    batch.put(Key::Prefix(opened.id()), prefix);
                }
                &opened
            }
        };
        let id = session.id();
        let sealed = session.encrypt(content, rng)?;
        batch.put(Key::Hot(id), &sealed.session.hot_row());
        for (row, value) in sealed.kem {
            match value {
                Some(value) => batch.put(Key::Kem(id, row), &value),
                None => batch.delete(Key::Kem(id, row)),
            }
        }
        let changes = self.sent(id)?.record(&sealed.sent);
        batch.put(Key::Sent(id, changes.put.0), &changes.put.1);
        for row in changes.delete {
            batch.delete(Key::Sent(id, row));
        }
        self.rows.commit(batch);
        self.conversation.insert(content.to_vec());
        Ok(sealed.envelope)
    }

    /// Finds the session of an envelope, or the handshake in it, and opens it.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: u64) -> Fallible<Received> {
        // Whatever a stranger sends ends here or at the header: nothing is stored of it.
        let envelope = Envelope::parse(bytes)?;
        let sessions = self.sessions()?;
        // A real program keeps this table and applies `Opened::changes` to it.
        let mut tags = TagTable::new();
        for session in sessions.values() {
            tags.insert_session(session);
        }
        for (key, value) in self.rows.iter() {
            if let Key::Skipped(session, id) = key {
                tags.insert_skipped(session, &SkippedRow::decode(id, value)?);
            }
        }
        let made = |id: &HandshakeId| {
            let known = self.rows.get(Key::Handshake(*id))?;
            known.try_into().ok().map(SessionId::new)
        };
        let mut batch = Batch::default();
        let opened = match find(&tags, &envelope, sessions.values(), made) {
            Found::Session { id, skipped } => {
                let Some(session) = sessions.get(&id) else {
                    return Ok(Received::NotNeeded);
                };
                let row = match skipped {
                    Some(row) => {
                        let value = self.rows.get(Key::Skipped(id, row)).ok_or("a lost row")?;
                        Some(SkippedRow::decode(row, value)?)
                    }
                    None => None,
                };
                match session.decrypt(&envelope, row.as_ref(), now) {
                    Err(RatchetError::Replay) => return Ok(Received::NotNeeded),
                    opened => opened?,
                }
            }
            Found::Handshake => {
                let prefix = envelope.prefix().ok_or("no prefix")?;
                let signed = self.prekeys.get(&prefix.signed_prekey());
                let keys = ResponderKeys {
                    signed: signed.ok_or("a prekey that is gone")?,
                    one_time: None,
                };
                let claim = Claim::check(&self.local()?, &envelope, &keys)?;
                // Here a real program looks at `claim.initiator()`: is its manifest known, is it blocked?
                let set = self.set()?;
                let judged = set.judge(&claim, |id| sessions.get(&id), now)?;
                let opened = claim.accept(&judged, now)?.opened;
                self.place(&opened.session, &set, &sessions, now, &mut batch)?;
                let id = opened.session.id();
                batch.put(Key::Handshake(opened.session.handshake_id()), id.as_bytes());
                opened
            }
            Found::Unknown => return Ok(Received::NotNeeded),
        };
        let content = opened.content.to_vec();
        self.take(opened, now, &mut batch)?;
        self.rows.commit(batch);
        self.conversation.insert(content);
        Ok(Received::Content)
    }

    /// The rows that an opened envelope changes.
    fn take(&self, opened: Opened, now: u64, batch: &mut Batch) -> Fallible<()> {
        let session = &opened.session;
        let id = session.id();
        batch.put(Key::Hot(id), &session.hot_row());
        for row in &opened.skipped_added {
            batch.put(Key::Skipped(id, row.id()), &row.encode());
        }
        if let Some(row) = opened.skipped_removed {
            batch.delete(Key::Skipped(id, row));
        }
        if opened.prefix_ended {
            batch.delete(Key::Prefix(id));
            let mut set = self.set()?;
            if set.iter().any(|known| known == id) {
                set.record_prefix_ended(id, now)?;
                batch.put(Key::Set, &set.encode());
            }
        }
        if let Some(acknowledged) = &opened.acknowledged
            && self.sent(id)?.judge(acknowledged) == Acknowledgement::Foreign
        {
            return Err("this device exists twice: tell its owner".into());
        }
        for (row, value) in opened.kem {
            match value {
                Some(value) => batch.put(Key::Kem(id, row), &value),
                None => batch.delete(Key::Kem(id, row)),
            }
        }
        Ok(())
    }

    /// Puts a session into the set; what has to make room goes.
    fn place(
        &self,
        session: &Session,
        set: &SessionSet,
        sessions: &BTreeMap<SessionId, Session>,
        now: u64,
        batch: &mut Batch,
    ) -> Result<(), RatchetError> {
        let placed = set.place(session, |id| sessions.get(&id), now)?;
        for id in placed.evicted {
            self.rows.delete_session(id, batch);
        }
        batch.put(Key::Set, &placed.set.encode());
        Ok(())
    }

    /// What was read and written, without its order.
    pub(crate) const fn read_and_written(&self) -> &BTreeSet<Vec<u8>> {
        &self.conversation
    }

    /// How many KEM epochs the active session has mixed.
    pub(crate) fn epochs(&self) -> Fallible<u32> {
        let active = self.set()?.active().ok_or("no session")?;
        let sessions = self.sessions()?;
        let session = sessions.get(&active).ok_or("no active session")?;
        Ok(session.epochs_mixed())
    }

    /// How many bytes are stored.
    pub(crate) fn stored(&self) -> usize {
        self.rows.bytes()
    }
}
