// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client's first packets, which anybody can decrypt who sees them (RFC 9001, section 5.2).

use std::collections::BTreeMap;

use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{DirectionalKeys, Version};

use super::hello::{Fields, Hello};

/// What the first packets of one connection say in the clear and behind keys that everybody has.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) destination: Vec<u8>,
    pub(crate) source: Vec<u8>,
    pub(crate) hello: Hello,
}

/// The keys of the client's first packets.
fn keys(destination: &[u8]) -> DirectionalKeys {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    let suite = suite.quic_suite().unwrap();
    suite.keys(destination, Side::Server, Version::V1).remote
}

/// Reads what a client sent, datagram by datagram, until its first message is whole.
pub(crate) fn read<'a>(datagrams: impl Iterator<Item = &'a [u8]>) -> First {
    let mut ids: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut pieces = BTreeMap::new();
    for datagram in datagrams {
        let mut rest = datagram;
        // Packets behind one another in one datagram; those with a short header come later.
        while rest.first().is_some_and(|first| first & 0x80 != 0) {
            let (packet, after) = Packet::read(rest);
            rest = after;
            if packet.kind != 0 {
                continue;
            }
            assert!(packet.token.is_empty(), "a token would be known again");
            let ids =
                ids.get_or_insert_with(|| (packet.destination.clone(), packet.source.clone()));
            if packet.destination == ids.0 {
                take_crypto(&packet.decrypt(&keys(&ids.0)), &mut pieces);
            }
        }
        if let Some(hello) = Hello::read(&joined(&pieces)) {
            let (destination, source) = ids.unwrap();
            return First {
                destination,
                source,
                hello,
            };
        }
    }
    panic!("the first message is not whole");
}

struct Packet<'a> {
    kind: u8,
    destination: Vec<u8>,
    source: Vec<u8>,
    token: &'a [u8],
    /// The whole packet, and where its number begins.
    bytes: &'a [u8],
    number_at: usize,
}

impl<'a> Packet<'a> {
    /// A packet with a long header (RFC 9000, section 17.2), and what follows it.
    fn read(datagram: &'a [u8]) -> (Self, &'a [u8]) {
        let mut fields = Fields(datagram);
        let kind = u8::try_from(fields.number(1)).unwrap() >> 4 & 3;
        assert_eq!(fields.number(4), 1, "another version");
        let length = fields.number(1);
        let destination = fields.take(length).to_vec();
        let length = fields.number(1);
        let source = fields.take(length).to_vec();
        let token: &[u8] = if kind == 0 {
            let length = fields.varint();
            fields.take(length)
        } else {
            &[]
        };
        let length = fields.varint();
        let number_at = datagram.len() - fields.0.len();
        let (bytes, after) = datagram.split_at(number_at + length);
        let packet = Self {
            kind,
            destination,
            source,
            token,
            bytes,
            number_at,
        };
        (packet, after)
    }

    /// Its frames (RFC 9001, sections 5.3 and 5.4).
    fn decrypt(&self, keys: &DirectionalKeys) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        let sample = self.bytes[self.number_at + 4..][..keys.header.sample_len()].to_vec();
        let (first, rest) = bytes.split_first_mut().unwrap();
        let number = &mut rest[self.number_at - 1..][..4];
        keys.header
            .decrypt_in_place(&sample, first, number)
            .unwrap();
        let size = usize::from(bytes[0] & 3) + 1;
        let number = Fields(&bytes[self.number_at..][..size]).number(size);
        let (header, payload) = bytes.split_at_mut(self.number_at + size);
        let number = u64::try_from(number).unwrap();
        keys.packet
            .decrypt_in_place(number, header, payload)
            .unwrap()
            .to_vec()
    }
}

/// The frames of a first flight: padding, pings, acknowledgements and pieces of TLS messages.
fn take_crypto(frames: &[u8], pieces: &mut BTreeMap<usize, Vec<u8>>) {
    let mut fields = Fields(frames);
    while !fields.is_empty() {
        match fields.varint() {
            0 | 1 => {}
            2 => {
                let [_, _, ranges, _] = [(); 4].map(|()| fields.varint());
                for _ in 0..ranges * 2 {
                    fields.varint();
                }
            }
            6 => {
                let (offset, length) = (fields.varint(), fields.varint());
                pieces.insert(offset, fields.take(length).to_vec());
            }
            other => panic!("a frame of kind {other}"),
        }
    }
}

/// The pieces from the beginning to the first gap.
fn joined(pieces: &BTreeMap<usize, Vec<u8>>) -> Vec<u8> {
    let mut all = Vec::new();
    for (offset, piece) in pieces {
        if *offset <= all.len() && offset + piece.len() > all.len() {
            all.extend_from_slice(&piece[all.len() - offset..]);
        }
    }
    all
}
