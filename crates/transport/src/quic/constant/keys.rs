// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packet keys of quinn, which see each packet right before it is encrypted: what it holds, and
//! its number. They encrypt as those below them do.

use core::any::Any;
use std::sync::Arc;

use bytes::BytesMut;
use quinn::crypto::{
    ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey,
    ServerConfig, Session, UnsupportedVersion,
};
use quinn::{ConnectError, ConnectionId, Side};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;

use super::Bare;

/// Whether a packet's payload is one ACK frame (RFC 9000, section 19.3) and padding.
fn is_bare(payload: &[u8]) -> bool {
    let mut rest = payload;
    let Some(kind) = integer(&mut rest).filter(|kind| matches!(kind, 2 | 3)) else {
        return false;
    };
    let Some([_largest, _delay, ranges, _first]) = integers(&mut rest) else {
        return false;
    };
    for _ in 0..ranges {
        if integers::<2>(&mut rest).is_none() {
            return false;
        }
    }
    if kind == 3 && integers::<3>(&mut rest).is_none() {
        return false;
    }
    rest.iter().all(|byte| *byte == 0)
}

fn integers<const N: usize>(bytes: &mut &[u8]) -> Option<[u64; N]> {
    let mut values = [0; N];
    for value in &mut values {
        *value = integer(bytes)?;
    }
    Some(values)
}

/// A variable-length integer (RFC 9000, section 16).
fn integer(bytes: &mut &[u8]) -> Option<u64> {
    let (first, mut rest) = bytes.split_first()?;
    let mut value = u64::from(first & 0x3f);
    for _ in 1..1_u32 << (first >> 6) {
        let (next, after) = rest.split_first()?;
        value = value << 8 | u64::from(*next);
        rest = after;
    }
    *bytes = rest;
    Some(value)
}

/// Keys for a client's sessions.
pub(super) struct ClientKeys {
    inner: Arc<dyn ClientConfig>,
    bare: Arc<Bare>,
}

impl ClientKeys {
    pub(super) fn new(inner: Arc<dyn ClientConfig>, bare: Arc<Bare>) -> Self {
        Self { inner, bare }
    }
}

impl ClientConfig for ClientKeys {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = Arc::clone(&self.inner).start_session(version, server_name, params)?;
        Ok(Box::new(WatchedSession::new(inner, &self.bare)))
    }
}

/// Keys for a server's sessions.
pub(super) struct ServerKeys {
    inner: Arc<dyn ServerConfig>,
    bare: Arc<Bare>,
}

impl ServerKeys {
    pub(super) fn new(inner: Arc<dyn ServerConfig>, bare: Arc<Bare>) -> Self {
        Self { inner, bare }
    }
}

impl ServerConfig for ServerKeys {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        self.inner.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.inner.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let inner = Arc::clone(&self.inner).start_session(version, params);
        Box::new(WatchedSession::new(inner, &self.bare))
    }
}

struct WatchedSession {
    inner: Box<dyn Session>,
    bare: Arc<Bare>,
    /// Whether the keys of the handshake's packets were given out: the next ones are for 1-RTT packets.
    is_past_handshake_keys: bool,
}

impl WatchedSession {
    fn new(inner: Box<dyn Session>, bare: &Arc<Bare>) -> Self {
        Self {
            inner,
            bare: Arc::clone(bare),
            is_past_handshake_keys: false,
        }
    }

    fn watched(&self, inner: Box<dyn PacketKey>) -> Box<dyn PacketKey> {
        Box::new(WatchedKey {
            inner,
            bare: Arc::clone(&self.bare),
        })
    }
}

impl Session for WatchedSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let Keys { header, packet } = self.inner.write_handshake(buf)?;
        let is_one_rtt = core::mem::replace(&mut self.is_past_handshake_keys, true);
        let local = if is_one_rtt {
            self.watched(packet.local)
        } else {
            packet.local
        };
        let packet = KeyPair {
            local,
            remote: packet.remote,
        };
        Some(Keys { header, packet })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let KeyPair { local, remote } = self.inner.next_1rtt_keys()?;
        let local = self.watched(local);
        Some(KeyPair { local, remote })
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

struct WatchedKey {
    inner: Box<dyn PacketKey>,
    bare: Arc<Bare>,
}

impl PacketKey for WatchedKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let end = buf.len().saturating_sub(self.inner.tag_len());
        if buf.get(header_len..end).is_some_and(is_bare) {
            self.bare.sent(packet);
        }
        self.inner.encrypt(packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One ACK of 37 after a delay of 300 (in two bytes), with one gap.
    const ACK: [u8; 8] = [2, 37, 0x41, 0x2c, 1, 4, 0, 7];

    #[test]
    fn an_acknowledgement_and_padding_are_bare() {
        assert!(is_bare(&ACK));
        assert!(is_bare(&[&ACK[..], &[0; 1000]].concat()));
        let mut with_marks = ACK;
        with_marks[0] = 3;
        assert!(is_bare(&[&with_marks[..], &[1, 2, 3], &[0; 9]].concat()));
        // The counts of marked packets are missing.
        assert!(!is_bare(&with_marks));
    }

    #[test]
    fn whatever_else_is_in_a_packet_is_seen() {
        // PING, before and after; nothing but padding; a frame that is cut off.
        assert!(!is_bare(&[&[1][..], &ACK].concat()));
        assert!(!is_bare(&[&ACK[..], &[0, 0, 1]].concat()));
        assert!(!is_bare(&[&ACK[..], &ACK].concat()));
        assert!(!is_bare(&[0; 100]));
        assert!(!is_bare(&[]));
        for length in 0..ACK.len() {
            assert!(!is_bare(&ACK[..length]), "{length}");
        }
        // So many ranges are not there.
        assert!(!is_bare(&[
            2, 37, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
        ]));
    }
}
