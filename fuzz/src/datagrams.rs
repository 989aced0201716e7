// SPDX-License-Identifier: Apache-2.0 OR MIT
//! UDP datagrams from strangers, at a server's endpoint with the settings of this project.
//!
//! Whoever has no packet keys gets no further than the first packets. Those are encrypted with keys that
//! anybody can compute (RFC 9001, section 5.2), so this target does: what it is fed gets past the
//! encryption, to the frames and to the TLS library.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    Connection, ConnectionHandle, ConnectionId, DatagramEvent, Endpoint, EndpointConfig,
    ServerConfig,
};
use waxwing_transport::quic::{ServerIdentity, StableKeys, bare};

/// What a datagram of a first packet has at least (RFC 9000, section 14.1).
const FIRST_SIZE: usize = 1200;
const TAG_SIZE: usize = 16;
/// QUIC version 1.
const VERSION: u32 = 1;
/// What the library sends beyond three times of what came: a datagram of which the first byte is
/// allowed goes whole.
const OVER: usize = 1200;
/// Steps of one input.
const STEPS_MAX: usize = 64;

static CONFIGS: LazyLock<(Arc<EndpointConfig>, Arc<ServerConfig>)> = LazyLock::new(|| {
    let identity = ServerIdentity::from_seed(&[1; 32]).expect("a seed is a key");
    let keys = StableKeys {
        reset: [2; 32],
        token: [3; 32],
    };
    let (mut endpoint, server) = bare::configs(&identity, &keys).expect("the settings are good");
    endpoint.rng_seed(Some([4; 32]));
    (Arc::new(endpoint), Arc::new(server))
});

/// Steps of a kind (u8), a length (u16) and so many bytes. 0: a datagram. 1: the frames of a first
/// packet. 2: the beginning of the client's TLS messages, after an offset (u16). 3: time passes, in
/// tens of milliseconds (u16).
pub(crate) fn server(input: &[u8]) {
    let mut side = Side::new();
    let mut rest = input;
    for number in 0..STEPS_MAX {
        let Some((&kind, after)) = rest.split_first() else {
            break;
        };
        let Some((length, after)) = after.split_first_chunk::<2>() else {
            break;
        };
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        match kind & 3 {
            0 => side.receive(bytes),
            1 => side.receive(&first_packet(number, bytes)),
            2 => side.receive(&first_packet(number, &crypto_frame(bytes))),
            _ => side.wait(bytes),
        }
    }
    side.end();
}

/// One server, and what strangers have sent to it from one address.
struct Side {
    endpoint: Endpoint,
    connections: BTreeMap<usize, (ConnectionHandle, Connection)>,
    now: Instant,
    received: usize,
    sent: usize,
}

impl Side {
    fn new() -> Self {
        let (config, server) = &*CONFIGS;
        #[allow(
            clippy::disallowed_methods,
            reason = "the library wants a moment to count from; which one does not matter"
        )]
        let now = Instant::now();
        Self {
            endpoint: Endpoint::new(Arc::clone(config), Some(Arc::clone(server)), true, None),
            connections: BTreeMap::new(),
            now,
            received: 0,
            sent: 0,
        }
    }

    fn receive(&mut self, datagram: &[u8]) {
        self.received = self.received.saturating_add(datagram.len());
        let remote = SocketAddr::from(([192, 0, 2, 1], 4433));
        let mut answer = Vec::new();
        let datagram = BytesMut::from(datagram);
        match self
            .endpoint
            .handle(self.now, remote, None, None, datagram, &mut answer)
        {
            Some(DatagramEvent::NewConnection(incoming)) => {
                match self.endpoint.accept(incoming, self.now, &mut answer, None) {
                    Ok((handle, connection)) => {
                        self.connections.insert(handle.0, (handle, connection));
                    }
                    Err(refused) => {
                        let answered = refused.response.map_or(0, |transmit| transmit.size);
                        self.sent = self.sent.saturating_add(answered);
                    }
                }
            }
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some((_, connection)) = self.connections.get_mut(&handle.0) {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::Response(transmit)) => {
                self.sent = self.sent.saturating_add(transmit.size);
            }
            None => {}
        }
        self.drive();
    }

    fn wait(&mut self, tens: &[u8]) {
        let tens = tens
            .first_chunk::<2>()
            .map_or(0, |it| u16::from_be_bytes(*it));
        self.wait_for(Duration::from_millis(u64::from(tens).saturating_mul(10)));
    }

    fn wait_for(&mut self, time: Duration) {
        let until = self.now.checked_add(time).unwrap_or(self.now);
        loop {
            let timeouts = self.connections.values_mut();
            let due = timeouts.filter_map(|(_, connection)| connection.poll_timeout());
            let Some(due) = due.min().filter(|due| *due <= until) else {
                break;
            };
            self.now = self.now.max(due);
            for (_, connection) in self.connections.values_mut() {
                connection.handle_timeout(self.now);
            }
            self.drive();
        }
        self.now = until;
    }

    /// Lets everything happen that is to happen now.
    fn drive(&mut self) {
        for (handle, connection) in self.connections.values_mut() {
            let mut buffer = Vec::new();
            while let Some(transmit) = connection.poll_transmit(self.now, 10, &mut buffer) {
                self.sent = self.sent.saturating_add(transmit.size);
                buffer.clear();
            }
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            while connection.poll().is_some() {}
        }
        self.connections.retain(|_, (_, it)| !it.is_drained());
        let most = self.received.saturating_mul(3).saturating_add(OVER);
        assert!(
            self.sent <= most,
            "{} bytes for {}",
            self.sent,
            self.received
        );
    }

    /// Nothing stays of somebody who says no more.
    fn end(mut self) {
        self.wait_for(Duration::from_secs(300));
        assert!(self.connections.is_empty(), "a connection that never ends");
        assert_eq!(self.endpoint.open_connections(), 0);
    }
}

/// A first packet with these frames, as a client encrypts it, in a datagram of its own.
fn first_packet(number: u8, frames: &[u8]) -> Vec<u8> {
    const ID: [u8; 8] = [7; 8];
    let room = FIRST_SIZE.saturating_sub(26 + TAG_SIZE);
    let size = frames.len().clamp(room, 16_000);
    let length = size.saturating_add(1 + TAG_SIZE);
    let mut packet = vec![0xc0];
    packet.extend_from_slice(&VERSION.to_be_bytes());
    for _ in 0..2 {
        packet.push(8);
        packet.extend_from_slice(&ID);
    }
    // No token; then the length, in two bytes.
    packet.push(0);
    let length = u16::try_from(length).unwrap_or(u16::MAX) & 0x3fff | 0x4000;
    packet.extend_from_slice(&length.to_be_bytes());
    let number_at = packet.len();
    packet.push(number);
    let header_size = packet.len();
    packet.extend(frames.iter().take(size));
    packet.resize(header_size.saturating_add(size).saturating_add(TAG_SIZE), 0);
    let keys = CONFIGS
        .1
        .crypto
        .initial_keys(VERSION, &ConnectionId::new(&ID));
    // The server's keys for what it receives are the client's for what it sends.
    if let Ok(keys) = keys {
        let key = keys.packet.remote;
        key.encrypt(u64::from(number), &mut packet, header_size);
        keys.header.remote.encrypt(number_at, &mut packet);
    }
    packet
}

/// A CRYPTO frame (RFC 9000, section 19.6) with what follows an offset.
fn crypto_frame(bytes: &[u8]) -> Vec<u8> {
    let (offset, bytes) = bytes.split_at(bytes.len().min(2));
    let offset = offset
        .first_chunk::<2>()
        .map_or(0, |it| u16::from_be_bytes(*it));
    let mut frame = vec![6];
    for value in [offset, u16::try_from(bytes.len()).unwrap_or(u16::MAX)] {
        frame.extend_from_slice(&(value & 0x3fff | 0x4000).to_be_bytes());
    }
    frame.extend_from_slice(bytes);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The packets of this target are taken for first packets: a PING in one is answered.
    #[test]
    fn a_first_packet_gets_past_the_encryption() {
        let mut side = Side::new();
        side.receive(&first_packet(0, &[1]));
        assert_eq!(side.connections.len(), 1);
        assert!(side.sent > 0);
        // TLS messages that are none end the connection, with an alert in a CONNECTION_CLOSE.
        side.receive(&first_packet(1, &crypto_frame(&[0, 0, 9, 9, 9, 9, 9])));
        let closed = side.connections.values().all(|(_, it)| it.is_closed());
        assert!(closed);
        side.end();
    }

    /// The client's TLS message of the corpus is one that this server answers.
    #[test]
    fn the_corpus_reaches_the_server_s_flight() {
        let path = crate::corpus_folder("quic_datagrams").join("first-flight");
        let mut side = Side::new();
        for step in std::fs::read(path).unwrap().chunks(1203) {
            side.receive(&step[3..]);
        }
        assert!(side.sent > 2_000, "{}", side.sent);
        assert!(side.connections.values().all(|(_, it)| !it.is_closed()));
        side.end();
    }
}
