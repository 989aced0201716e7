// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two devices of the known answers: their keys, and what each of them keeps.

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_crypto::DeviceSecrets;
use waxwing_identity::{DeviceManifest, PrekeyBundle, PrekeyPair};
use waxwing_proto::{DeviceId, v1};
use waxwing_ratchet::{
    Claim, Continuation, Envelope, Found, KemChanges, KemRowId, LocalDevice, Opened, PrekeySecret,
    RatchetError, ResponderKeys, Session, SkippedRow, TagTable, accept, find, initiate_next,
};

use crate::replay::{array, bytes, number};
use crate::scripted::Scripted;

/// The day of all known answers, in seconds.
pub(crate) const NOW: u64 = 20_000 * 86_400;

struct Device {
    secrets: DeviceSecrets,
    manifest: DeviceManifest,
    id: DeviceId,
}

impl Device {
    fn new(value: &Value) -> Self {
        let row = [
            vec![1],
            bytes(&value["signing_secret"]),
            bytes(&value["dh_secret"]),
        ]
        .concat();
        let manifest = DeviceManifest::decode(&bytes(&value["manifest"])).unwrap();
        assert_eq!(manifest.account().as_bytes(), &array(&value["account"]));
        Self {
            secrets: DeviceSecrets::from_sealed_row(&row).unwrap(),
            manifest,
            id: DeviceId::new(array(&value["device"])),
        }
    }

    fn local(&self) -> LocalDevice<'_> {
        LocalDevice {
            account: *self.manifest.account(),
            device: self.id,
            secrets: &self.secrets,
            manifest: &self.manifest,
        }
    }
}

/// Both devices and the responder's prekeys.
pub(crate) struct World {
    initiator: Device,
    responder: Device,
    signed: (PrekeySecret, PrekeyPair),
    one_time: Option<(PrekeySecret, PrekeyPair)>,
}

impl World {
    /// Makes the prekey pairs again and compares them with those of the file.
    pub(crate) fn new(case: &Value) -> Self {
        let (initiator, values) = (Device::new(&case["initiator"]), &case["responder"]);
        let responder = Device::new(values);
        let draws = |kind: &str| {
            let seed = bytes(&values[format!("{kind}_kem_seed")]);
            Scripted::new([seed, bytes(&values[format!("{kind}_dh_secret")])])
        };
        let own = responder.local();
        let signed = PrekeySecret::generate_signed(&own, 3, NOW, &mut draws("signed")).unwrap();
        assert_eq!(signed.1.as_bytes(), &bytes(&values["signed_pair"]));
        let one_time = (!values["one_time_pair"].is_null()).then(|| {
            let pair =
                PrekeySecret::generate_one_time(&own, 11, NOW, &mut draws("one_time")).unwrap();
            assert_eq!(pair.1.as_bytes(), &bytes(&values["one_time_pair"]));
            pair
        });
        Self {
            initiator,
            responder,
            signed,
            one_time,
        }
    }

    /// The initiator's session, with the randomness of the file.
    pub(crate) fn initiate(&self, case: &Value) -> Session {
        self.initiate_next(case, &Continuation::first(number(&case["attempt"])))
    }

    /// As [`World::initiate`], after an earlier session.
    pub(crate) fn initiate_next(&self, case: &Value, next: &Continuation) -> Session {
        let one_time = self
            .one_time
            .as_ref()
            .map(|(_, pair)| pair.as_bytes().clone());
        let wire = v1::PrekeyBundle {
            device_id: self.responder.id.to_wire(),
            signed_pair: self.signed.1.as_bytes().clone(),
            one_time_pair: one_time.unwrap_or_default(),
        };
        let bundle = PrekeyBundle::check(&wire, &self.responder.manifest).unwrap();
        let names = ["kem_randomness", "ephemeral_secret", "ratchet_secret"];
        let mut draws = Scripted::new(names.map(|name| bytes(&case[name])));
        let own = self.initiator.local();
        let session = initiate_next(&own, &bundle, next, NOW, &mut draws).unwrap();
        draws.assert_used_up();
        session
    }

    /// Who wants to open a session, and with what; the file's pairs are all there are.
    pub(crate) fn claim<'a>(&'a self, envelope: &Envelope<'a>) -> Result<Claim<'a>, RatchetError> {
        let keys = ResponderKeys {
            signed: &self.signed.0,
            one_time: self.one_time.as_ref().map(|(secret, _)| secret),
        };
        Claim::check(&self.responder.local(), envelope, &keys)
    }

    fn accept(&self, envelope: &Envelope<'_>) -> Result<Opened, RatchetError> {
        let prefix = envelope.prefix().ok_or(RatchetError::UnknownTag)?;
        let own = |pair: &PrekeySecret, id| pair.id() == id;
        let one_time = self.one_time.as_ref().map(|(secret, _)| secret);
        if !own(&self.signed.0, prefix.signed_prekey()) {
            return Err(RatchetError::PrekeyUnknown);
        }
        let keys = ResponderKeys {
            signed: &self.signed.0,
            one_time: one_time
                .filter(|pair| prefix.one_time_prekey().is_some_and(|id| own(pair, id))),
        };
        let accepted = accept(&self.responder.local(), envelope, &keys, NOW)?;
        assert_eq!(
            accepted.initiator.manifest.head(),
            self.initiator.manifest.head()
        );
        assert_eq!(accepted.one_time_used, one_time.map(PrekeySecret::id));
        Ok(accepted.opened)
    }
}

/// One side's session with its rows, read back from them after each message.
pub(crate) struct Party {
    session: Option<Session>,
    skipped: Vec<SkippedRow>,
    tags: TagTable,
    kem: BTreeMap<KemRowId, Vec<u8>>,
}

impl Party {
    pub(crate) fn initiator(session: Session) -> Self {
        let mut party = Self::responder();
        party.tags.insert_session(&session);
        party.session = Some(session);
        party
    }

    /// Knows nothing before the first envelope.
    pub(crate) fn responder() -> Self {
        Self {
            session: None,
            skipped: Vec::new(),
            tags: TagTable::new(),
            kem: BTreeMap::new(),
        }
    }

    pub(crate) fn session(&self) -> &Session {
        self.session.as_ref().unwrap()
    }

    pub(crate) fn seal(
        &mut self,
        content: &[u8],
        draws: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, RatchetError> {
        let mut draws = Scripted::new(draws);
        let sealed = self.session().encrypt(content, &mut draws)?;
        draws.assert_used_up();
        self.keep_kem(sealed.kem);
        self.keep(sealed.session);
        Ok(sealed.envelope)
    }

    pub(crate) fn open(&mut self, world: &World, bytes: &[u8]) -> Result<Vec<u8>, RatchetError> {
        let envelope = Envelope::parse(bytes)?;
        let known = self
            .session
            .as_ref()
            .map(|session| (session.handshake_id(), session.id()));
        let same =
            |id: &_| known.and_then(|(handshake, session)| (handshake == *id).then_some(session));
        let opened = match find(&self.tags, &envelope, &self.session, same) {
            Found::Session { skipped, .. } => {
                let row = skipped.and_then(|id| self.skipped.iter().find(|row| row.id() == id));
                let opened = self.session().decrypt(&envelope, row, NOW)?;
                self.tags.apply(opened.session.id(), &opened.changes);
                opened
            }
            Found::Handshake => {
                let opened = world.accept(&envelope)?;
                self.tags.insert_session(&opened.session);
                for row in &opened.skipped_added {
                    self.tags.insert_skipped(opened.session.id(), row);
                }
                opened
            }
            Found::Unknown => return Err(RatchetError::UnknownTag),
        };
        let content = opened.content.to_vec();
        self.skipped
            .retain(|row| Some(row.id()) != opened.skipped_removed);
        self.skipped.extend(opened.skipped_added);
        self.keep_kem(opened.kem);
        self.keep(opened.session);
        Ok(content)
    }

    fn keep_kem(&mut self, changes: KemChanges) {
        for (row, value) in changes {
            match value {
                Some(value) => drop(self.kem.insert(row, value.to_vec())),
                None => drop(self.kem.remove(&row)),
            }
        }
    }

    fn keep(&mut self, session: Session) {
        self.session = Some(self.restored(&session));
    }

    fn restored(&self, session: &Session) -> Session {
        let kem = self.kem.iter().map(|(row, value)| (*row, value.as_slice()));
        Session::restore(&session.hot_row(), session.prefix_row(), kem).unwrap()
    }

    /// The session as it is read back from its rows.
    pub(crate) fn again(&self) -> Session {
        self.restored(self.session())
    }
}
