// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client's first TLS message (RFC 8446, section 4.1.2), read by a parser of this test.

use std::collections::BTreeMap;

pub(crate) const X25519MLKEM768: u16 = 0x11ec;

const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const KEY_SHARE: u16 = 51;
pub(crate) const QUIC_PARAMETERS: u16 = 57;

/// Fields, one after the other.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    pub(crate) fn number(&mut self, size: usize) -> usize {
        let bytes = self.take(size);
        bytes.iter().fold(0, |sum, it| sum << 8 | usize::from(*it))
    }

    /// What stands behind its length, which has `size` bytes.
    fn vector(&mut self, size: usize) -> &'a [u8] {
        let length = self.number(size);
        self.take(length)
    }

    /// An integer of variable length (RFC 9000, section 16).
    pub(crate) fn varint(&mut self) -> usize {
        let size = 1 << (self.0[0] >> 6);
        self.number(size) & ((1 << (size * 8 - 2)) - 1)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    version: usize,
    pub(crate) random: Vec<u8>,
    pub(crate) session_id: Vec<u8>,
    suites: Vec<u8>,
    compressions: Vec<u8>,
    pub(crate) extensions: BTreeMap<u16, Vec<u8>>,
}

impl Hello {
    /// Reads a whole handshake message; `None` where it is not whole.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        if message.len() < 4 {
            return None;
        }
        let mut message = Fields(message);
        assert_eq!(message.number(1), 1, "this is no ClientHello");
        let length = message.number(3);
        if message.0.len() < length {
            return None;
        }
        let mut fields = Fields(message.take(length));
        let version = fields.number(2);
        let random = fields.take(32).to_vec();
        let session_id = fields.vector(1).to_vec();
        let suites = fields.vector(2).to_vec();
        let compressions = fields.vector(1).to_vec();
        let mut rest = Fields(fields.vector(2));
        assert!(fields.is_empty());
        let mut extensions = BTreeMap::new();
        while !rest.is_empty() {
            let kind = u16::try_from(rest.number(2)).unwrap();
            let known = extensions.insert(kind, rest.vector(2).to_vec());
            assert_eq!(known, None);
        }
        Some(Self {
            version,
            random,
            session_id,
            suites,
            compressions,
            extensions,
        })
    }

    pub(crate) fn server_name(&self) -> &[u8] {
        let mut list = Fields(Fields(&self.extensions[&SERVER_NAME]).vector(2));
        assert_eq!(list.number(1), 0);
        let name = list.vector(2);
        assert!(list.is_empty());
        name
    }

    pub(crate) fn protocol(&self) -> &[u8] {
        let mut list = Fields(Fields(&self.extensions[&ALPN]).vector(2));
        let name = list.vector(1);
        assert!(list.is_empty(), "one protocol");
        name
    }

    pub(crate) fn groups(&self) -> Vec<u16> {
        let list = Fields(&self.extensions[&GROUPS]).vector(2);
        let groups = list.chunks(2).map(|it| u16::from_be_bytes([it[0], it[1]]));
        groups.collect()
    }

    /// The groups of the key shares, and how long these are.
    pub(crate) fn key_shares(&self) -> Vec<(u16, usize)> {
        let mut list = Fields(Fields(&self.extensions[&KEY_SHARE]).vector(2));
        let mut shares = Vec::new();
        while !list.is_empty() {
            let group = u16::try_from(list.number(2)).unwrap();
            shares.push((group, list.vector(2).len()));
        }
        shares
    }

    pub(crate) fn key_share(&self) -> Vec<u8> {
        self.extensions[&KEY_SHARE][6..].to_vec()
    }

    /// The ticket by which a session is resumed.
    pub(crate) fn ticket(&self) -> Option<Vec<u8>> {
        let mut fields = Fields(self.extensions.get(&PRE_SHARED_KEY)?);
        Some(Fields(fields.vector(2)).vector(2).to_vec())
    }

    /// Everything but random values and what a ticket brings: what would tell clients apart.
    pub(crate) fn masked(&self) -> Self {
        let mut masked = self.clone();
        masked.random.fill(0);
        masked.session_id.fill(0);
        masked.extensions.remove(&PRE_SHARED_KEY);
        masked.extensions.remove(&EARLY_DATA);
        if let Some(share) = masked.extensions.get_mut(&KEY_SHARE) {
            share[6..].fill(0);
        }
        if let Some(parameters) = masked.extensions.get_mut(&QUIC_PARAMETERS) {
            *parameters = masked_parameters(parameters);
        }
        masked
    }
}

/// QUIC's transport parameters (RFC 9000, section 18), in the order of their numbers, without the ids of
/// the connection and without those that mean nothing.
fn masked_parameters(bytes: &[u8]) -> Vec<u8> {
    /// The id that the client has chosen for the connection.
    const SOURCE_ID: usize = 0x0f;
    let mut fields = Fields(bytes);
    let mut found = BTreeMap::new();
    while !fields.is_empty() {
        let kind = fields.varint();
        let length = fields.varint();
        let value = fields.take(length);
        // RFC 9000, section 18.1: reserved ones are there so that nobody chokes on the unknown.
        if kind % 31 != 27 {
            let is_id = kind == SOURCE_ID;
            found.insert(
                kind,
                if is_id {
                    vec![0; length]
                } else {
                    value.to_vec()
                },
            );
        }
    }
    format!("{found:?}").into_bytes()
}
