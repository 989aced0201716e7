// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading a profile back: from rows in any order to the state that the engine decides on.

use std::collections::BTreeMap;

use waxwing_identity::DeviceManifest;
use waxwing_proto::{AccountKey, DeviceId, v1};
use waxwing_ratchet::{HandshakeId, Session, SessionId, SessionSet, SkippedId, SkippedRow};
use zeroize::Zeroizing;

use crate::account::{Account, Counters};
use crate::codec;
use crate::contacts::Contact;
use crate::error::EngineError;
use crate::keys;
use crate::outbox::Outbox;
use crate::outbox::shipment::Shipment;
use crate::outbox::unreceipted::Unreceipted;
use crate::prekeys::Prekeys;
use crate::row::{Row, Table};
use crate::sessions::clock::Clock;
use crate::sessions::{Peer, SeenHandshake, Sessions, epoch_rows};

/// What the rows of a profile say.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) account: Option<Account>,
    pub(crate) counters: Counters,
    pub(crate) progress: Option<v1::progress_row::Step>,
    pub(crate) own_manifests: Vec<DeviceManifest>,
    pub(crate) contacts: BTreeMap<AccountKey, Contact>,
    pub(crate) manifests: BTreeMap<AccountKey, DeviceManifest>,
    pub(crate) sessions: Sessions,
    pub(crate) prekeys: Prekeys,
    pub(crate) outbox: Outbox,
}

impl Snapshot {
    /// Reads the rows.
    ///
    /// # Errors
    /// [`EngineError`].
    pub(crate) fn read(rows: impl IntoIterator<Item = Row>) -> Result<Self, EngineError> {
        let mut tables: BTreeMap<Table, Vec<Row>> = BTreeMap::new();
        for row in rows {
            tables.entry(row.key.table).or_default().push(row);
        }
        let mut take = |table| tables.remove(&table).unwrap_or_default();
        let mut snapshot = Self::default();
        snapshot.read_account(&take(Table::Account))?;
        for row in take(Table::Progress) {
            let stored: v1::ProgressRow = codec::decode(&row)?;
            snapshot.progress = stored.step;
        }
        for row in take(Table::Contacts) {
            let contact = Contact::from_row(&row)?;
            snapshot.contacts.insert(contact.account, contact);
        }
        snapshot.read_manifests(&take(Table::Manifests))?;
        snapshot.read_sessions(&take(Table::Sessions), &take(Table::KemRows))?;
        for (session, rows) in by_session(&take(Table::SentHashes))? {
            snapshot.sessions.read_sent(session, &rows)?;
        }
        snapshot.read_skipped(&take(Table::SkippedKeys))?;
        for row in take(Table::Handshakes) {
            let id = fixed_scope(&row).map(HandshakeId::new)?;
            let seen = SeenHandshake::from_row(&row)?;
            snapshot.sessions.handshakes.insert(id, seen);
        }
        for row in take(Table::Prekeys) {
            snapshot.prekeys.read(&row)?;
        }
        snapshot.read_outbox(&take(Table::Outbox))?;
        Ok(snapshot)
    }

    fn read_account(&mut self, rows: &[Row]) -> Result<(), EngineError> {
        let find = |order: u64| rows.iter().find(|row| row.key.order == order);
        if let Some(row) = find(0) {
            let secrets =
                find(keys::DEVICE_SECRETS_ORDER).ok_or(EngineError::MissingRow(Table::Account))?;
            self.account = Some(Account::from_rows(row, secrets)?);
        }
        if let Some(row) = find(keys::COUNTERS_ORDER) {
            self.counters = Counters::from_row(row)?;
        }
        Ok(())
    }

    fn read_manifests(&mut self, rows: &[Row]) -> Result<(), EngineError> {
        let own = self.account.as_ref().and_then(|account| account.key);
        for row in rows {
            let manifest = DeviceManifest::decode(&row.value)
                .map_err(|_| EngineError::CorruptRow(Table::Manifests))?;
            if Some(*manifest.account()) == own {
                self.own_manifests.push(manifest);
            } else {
                self.manifests.insert(*manifest.account(), manifest);
            }
        }
        self.own_manifests.sort_by_key(DeviceManifest::version);
        Ok(())
    }

    fn read_sessions(&mut self, rows: &[Row], kem_rows: &[Row]) -> Result<(), EngineError> {
        let kem_rows = by_session(kem_rows)?;
        let corrupt = EngineError::CorruptRow(Table::Sessions);
        let mut prefixes: BTreeMap<(Peer, u64), Vec<u8>> = BTreeMap::new();
        let mut hot: Vec<(Peer, u64, &Row)> = Vec::new();
        for row in rows {
            let peer = peer_of(row)?;
            let (slot, kind) = (row.key.order >> 1, row.key.order & 1);
            if row.key.order == keys::SESSION_CLOCK_ORDER {
                self.sessions.peers.entry(peer).or_default().clock = Clock::from_row(row)?;
            } else if row.key.order == 0 {
                let set = SessionSet::decode(&row.value).map_err(|_| corrupt)?;
                self.sessions.peers.entry(peer).or_default().set = set;
            } else if kind == 1 {
                prefixes.insert((peer, slot), row.value.to_vec());
            } else {
                hot.push((peer, slot, row));
            }
        }
        for (peer, slot, row) in hot {
            let prefix = prefixes.remove(&(peer, slot));
            let mut kem = Vec::new();
            let id = Session::id_of(&row.value).map_err(|_| corrupt)?;
            for row in kem_rows.get(&id).into_iter().flatten() {
                kem.push(epoch_rows::kem_row(row)?);
            }
            let session =
                Session::restore(&row.value, prefix.as_deref(), kem).map_err(|_| corrupt)?;
            self.sessions.tags.insert_session(&session);
            self.sessions.owners.insert(session.id(), peer);
            self.sessions
                .peers
                .entry(peer)
                .or_default()
                .sessions
                .insert(session.id(), (slot, session));
        }
        Ok(())
    }

    fn read_skipped(&mut self, rows: &[Row]) -> Result<(), EngineError> {
        for row in rows {
            let session = fixed_scope(row).map(SessionId::new)?;
            let id = SkippedId::from_bytes(row.key.order.to_be_bytes());
            let skipped = SkippedRow::decode(id, &row.value)
                .map_err(|_| EngineError::CorruptRow(Table::SkippedKeys))?;
            self.sessions.tags.insert_skipped(session, &skipped);
            self.sessions.skipped.insert((session, id), skipped);
        }
        Ok(())
    }

    fn read_outbox(&mut self, rows: &[Row]) -> Result<(), EngineError> {
        let mut parts: BTreeMap<u64, BTreeMap<u64, Zeroizing<Vec<u8>>>> = BTreeMap::new();
        let mut shipments: Vec<&Row> = Vec::new();
        for row in rows {
            if keys::is_unreceipted_scope(&row.key.scope) {
                let content = Unreceipted::from_row(row)?;
                self.outbox.unreceipted.put(row.key.order, content);
                continue;
            }
            match keys::shipment_of_envelope_scope(&row.key.scope) {
                Some(number) => {
                    parts
                        .entry(number)
                        .or_default()
                        .insert(row.key.order, row.value.clone());
                }
                None => shipments.push(row),
            }
        }
        shipments.sort_by_key(|row| row.key.order);
        let none = BTreeMap::new();
        for row in shipments {
            let envelopes = parts.get(&row.key.order).unwrap_or(&none);
            self.outbox.add(Shipment::from_row(row, envelopes)?);
        }
        Ok(())
    }
}

/// The rows of each session, in the order of their names.
fn by_session(rows: &[Row]) -> Result<BTreeMap<SessionId, Vec<&Row>>, EngineError> {
    let mut sessions: BTreeMap<SessionId, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let session = fixed_scope(row).map(SessionId::new)?;
        sessions.entry(session).or_default().push(row);
    }
    for rows in sessions.values_mut() {
        rows.sort_by_key(|row| row.key.order);
    }
    Ok(sessions)
}

fn fixed_scope(row: &Row) -> Result<[u8; 32], EngineError> {
    row.key
        .scope
        .as_slice()
        .try_into()
        .map_err(|_| EngineError::CorruptRow(row.key.table))
}

fn peer_of(row: &Row) -> Result<Peer, EngineError> {
    let corrupt = EngineError::CorruptRow(row.key.table);
    let (account, device) = row
        .key
        .scope
        .split_at_checked(AccountKey::LENGTH)
        .ok_or(corrupt)?;
    Ok((
        AccountKey::try_from(account).map_err(|_| corrupt)?,
        DeviceId::try_from(device).map_err(|_| corrupt)?,
    ))
}
