// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a device stores about the one peer that it has, and one batch of changes.
//!
//! A batch is committed as a whole before an envelope leaves or a content is shown: what crashes in between has
//! never happened. Every value but prefixes is secret and sealed by a real program.

use std::collections::BTreeMap;

use waxwing_ratchet::{HandshakeId, KemRowId, SentRowId, SessionId, SkippedId};

/// The name of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The state of a session: rewritten with each message, at most 1 KiB.
    Hot(SessionId),
    /// Until the peer has answered.
    Prefix(SessionId),
    /// A part of the KEM epoch under way.
    Kem(SessionId, KemRowId),
    /// The key of an envelope that has not arrived.
    Skipped(SessionId, SkippedId),
    /// Hashes of what was sent.
    Sent(SessionId, SentRowId),
    /// Which session a handshake has made, so that its repetitions are known.
    Handshake(HandshakeId),
    /// Which sessions there are, and which is active.
    Set,
}

/// The rows of a device.
#[derive(Default)]
pub(crate) struct Rows(BTreeMap<Key, Vec<u8>>);

/// Rows to write, and to delete.
#[derive(Default)]
pub(crate) struct Batch(BTreeMap<Key, Option<Vec<u8>>>);

impl Batch {
    pub(crate) fn put(&mut self, key: Key, value: &[u8]) {
        self.0.insert(key, Some(value.to_vec()));
    }

    pub(crate) fn delete(&mut self, key: Key) {
        self.0.insert(key, None);
    }
}

impl Rows {
    /// All of it or nothing, and durably: this is where a real store syncs.
    pub(crate) fn commit(&mut self, batch: Batch) {
        for (key, value) in batch.0 {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&[u8]> {
        self.0.get(&key).map(Vec::as_slice)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &[u8])> {
        self.0.iter().map(|(key, value)| (*key, value.as_slice()))
    }

    /// Everything of a session that is over.
    pub(crate) fn delete_session(&self, id: SessionId, batch: &mut Batch) {
        for (key, value) in self.iter() {
            let is_its = match key {
                Key::Hot(of) | Key::Prefix(of) => of == id,
                Key::Kem(of, _) => of == id,
                Key::Skipped(of, _) | Key::Sent(of, _) => of == id,
                Key::Handshake(_) => value == id.as_bytes(),
                Key::Set => false,
            };
            if is_its {
                batch.delete(key);
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}
