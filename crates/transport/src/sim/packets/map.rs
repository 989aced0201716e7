// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is where, what is cut, and what happens to a datagram.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use sha2::{Digest, Sha256};

use super::PacketSettings;

/// Called for each datagram that is sent, in order. Must not call back into the network.
pub type PacketTap = Arc<dyn Fn(&PacketEvent) + Send + Sync>;

/// A datagram as an observer near its sender sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketEvent {
    /// Milliseconds since the network began.
    pub time_ms: u64,
    /// Where it comes from, as the receiver sees it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// What it holds.
    pub bytes: Bytes,
    /// How often it will arrive.
    pub copies: u32,
}

/// The first port that a host gives to a socket that asks for none.
const PORT_FIRST: u16 = 40_000;
/// What a socket holds that nobody reads: later datagrams are lost, as with a real buffer.
const INBOX_MAX: usize = 4096;

/// A datagram on its way to one socket.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) from: SocketAddr,
    /// The address that it was sent to: what a translator has forgotten by then is lost.
    pub(super) to: SocketAddr,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
struct SocketState {
    host: Arc<str>,
    /// The address that others see.
    public: SocketAddr,
    /// By arrival time, then by the order of sending.
    inbox: BTreeMap<(u64, u64), Arrival>,
    reader: Option<Waker>,
    is_dead: bool,
}

#[derive(Debug, Clone, Copy)]
struct HostState {
    ip: Ipv4Addr,
    /// What the host's sockets seem to come from.
    public_ip: Ipv4Addr,
    next_port: u16,
    is_up: bool,
}

/// The whole network.
pub(super) struct Map {
    rng: ChaCha12Rng,
    pub(super) settings: PacketSettings,
    hosts: BTreeMap<Arc<str>, HostState>,
    sockets: BTreeMap<u64, SocketState>,
    /// Which socket has a public address now.
    at: BTreeMap<SocketAddr, u64>,
    cuts: BTreeSet<(Arc<str>, Arc<str>)>,
    tap: Option<PacketTap>,
    next_id: u64,
    next_network: u16,
    next_translated_port: u16,
    hash: Sha256,
    sent: u64,
}

impl core::fmt::Debug for Map {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Map(..)")
    }
}

impl Map {
    pub(super) fn new(rng: ChaCha12Rng, settings: PacketSettings) -> Self {
        Self {
            rng,
            settings,
            hosts: BTreeMap::new(),
            sockets: BTreeMap::new(),
            at: BTreeMap::new(),
            cuts: BTreeSet::new(),
            tap: None,
            next_id: 0,
            next_network: 0,
            next_translated_port: 20_000,
            hash: Sha256::new(),
            sent: 0,
        }
    }

    /// Each host, and each move of one, has a network of its own.
    fn fresh_ip(&mut self) -> Ipv4Addr {
        let [high, low] = self.next_network.to_be_bytes();
        self.next_network = self.next_network.saturating_add(1);
        Ipv4Addr::new(10, high, low, 1)
    }

    fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    pub(super) fn add_host(&mut self, name: &str) {
        if self.hosts.contains_key(name) {
            return;
        }
        let ip = self.fresh_ip();
        let state = HostState {
            ip,
            public_ip: ip,
            next_port: PORT_FIRST,
            is_up: true,
        };
        self.hosts.insert(name.into(), state);
    }

    pub(super) fn raise(&mut self, name: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.is_up = true;
        }
    }

    pub(super) fn set_tap(&mut self, tap: PacketTap) {
        self.tap = Some(tap);
    }

    pub(super) fn public_ip(&self, name: &str) -> Option<IpAddr> {
        self.hosts.get(name).map(|host| host.public_ip.into())
    }

    pub(super) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        seed
    }

    /// Binds a socket of a host; gives its number and its own address. `None` when the port is in
    /// use, or the host is down.
    pub(super) fn bind(&mut self, name: &str, port: u16) -> Option<(u64, SocketAddr)> {
        let host = self.hosts.get_mut(name).filter(|host| host.is_up)?;
        let port = if port == 0 {
            let free = host.next_port;
            host.next_port = host.next_port.checked_add(1).unwrap_or(PORT_FIRST);
            free
        } else {
            port
        };
        let (local, public) = (
            SocketAddr::from((host.ip, port)),
            SocketAddr::from((host.public_ip, port)),
        );
        if self.at.contains_key(&public) {
            return None;
        }
        let id = self.fresh_id();
        self.at.insert(public, id);
        let state = SocketState {
            host: name.into(),
            public,
            inbox: BTreeMap::new(),
            reader: None,
            is_dead: false,
        };
        self.sockets.insert(id, state);
        Some((id, local))
    }

    pub(super) fn release(&mut self, id: u64) {
        if let Some(gone) = self.sockets.remove(&id)
            && self.at.get(&gone.public) == Some(&id)
        {
            self.at.remove(&gone.public);
        }
    }

    pub(super) fn cut(&mut self, from: &str, to: &str) {
        self.cuts.insert((from.into(), to.into()));
    }

    pub(super) fn heal_all(&mut self) {
        self.cuts.clear();
    }

    fn sockets_of(&self, name: &str) -> Vec<u64> {
        let mine = self.sockets.iter().filter(|(_, it)| &*it.host == name);
        mine.map(|(id, _)| *id).collect()
    }

    pub(super) fn translate(&mut self, name: &str, with_address: bool) {
        if with_address {
            let ip = self.fresh_ip();
            if let Some(host) = self.hosts.get_mut(name) {
                host.public_ip = ip;
            }
        }
        let Some(ip) = self.hosts.get(name).map(|host| host.public_ip) else {
            return;
        };
        for id in self.sockets_of(name) {
            let public = SocketAddr::from((ip, self.next_translated_port));
            self.next_translated_port = self.next_translated_port.wrapping_add(1).max(1024);
            if let Some(socket) = self.sockets.get_mut(&id).filter(|it| !it.is_dead) {
                self.at.remove(&socket.public);
                socket.public = public;
                self.at.insert(public, id);
            }
        }
    }

    pub(super) fn move_host(&mut self, name: &str) {
        let ip = self.fresh_ip();
        if let Some(host) = self.hosts.get_mut(name) {
            (host.ip, host.public_ip) = (ip, ip);
        }
        self.kill_sockets(name);
    }

    pub(super) fn crash(&mut self, name: &str) {
        if let Some(host) = self.hosts.get_mut(name) {
            host.is_up = false;
        }
        self.kill_sockets(name);
    }

    fn kill_sockets(&mut self, name: &str) {
        for id in self.sockets_of(name) {
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.is_dead = true;
                socket.inbox.clear();
                if self.at.get(&socket.public) == Some(&id) {
                    self.at.remove(&socket.public);
                }
            }
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64().checked_rem(bound).unwrap_or(0)
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// A socket sends a datagram.
    pub(super) fn send(&mut self, now_ms: u64, id: u64, to: SocketAddr, bytes: &[u8]) {
        let Some(socket) = self.sockets.get(&id).filter(|it| !it.is_dead) else {
            return;
        };
        let (from, host) = (socket.public, Arc::clone(&socket.host));
        self.carry(now_ms, Some(host), (from, to), bytes);
    }

    /// Puts a datagram on its way. A sender without a name is an attacker, whom no cut stops.
    pub(super) fn carry(
        &mut self,
        now_ms: u64,
        sender: Option<Arc<str>>,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) {
        // Drawn whatever happens, so that one fate does not change the others.
        let is_lost = self.happens(self.settings.loss_per_mille);
        let is_doubled = self.happens(self.settings.duplicate_per_mille);
        let receiver = self.at.get(&to).copied();
        let receiving_host = receiver
            .and_then(|id| self.sockets.get(&id))
            .map(|it| Arc::clone(&it.host));
        let is_cut = match (sender, receiving_host) {
            (Some(sender), Some(receiver)) => self.cuts.contains(&(sender, receiver)),
            _ => false,
        };
        let arrives = !is_lost && !is_cut && bytes.len() <= self.settings.datagram_size_max;
        let copies = match (arrives, is_doubled) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        };
        let bytes = Bytes::copy_from_slice(bytes);
        self.see(now_ms, (from, to), &bytes, copies);
        for _ in 0..copies {
            let mut at_ms = now_ms
                .saturating_add(self.settings.delay_ms)
                .saturating_add(self.below(self.settings.jitter_ms.saturating_add(1)));
            if self.happens(self.settings.reorder_per_mille) {
                let late_ms = self.settings.delay_ms.saturating_mul(4);
                at_ms = at_ms.saturating_add(self.below(late_ms.saturating_add(1)));
            }
            let order = self.fresh_id();
            let bytes = self.perhaps_damaged(&bytes);
            if let Some(socket) = receiver.and_then(|id| self.sockets.get_mut(&id))
                && socket.inbox.len() < INBOX_MAX
            {
                let arrival = Arrival { from, to, bytes };
                socket.inbox.insert((at_ms, order), arrival);
                if let Some(reader) = socket.reader.take() {
                    reader.wake();
                }
            }
        }
    }

    fn perhaps_damaged(&mut self, bytes: &Bytes) -> Bytes {
        if !self.happens(self.settings.corrupt_per_mille) {
            return bytes.clone();
        }
        let size = u64::try_from(bytes.len()).unwrap_or(0);
        let place = usize::try_from(self.below(size)).unwrap_or(0);
        let mut damaged = bytes.to_vec();
        if let Some(byte) = damaged.get_mut(place) {
            *byte ^= 0x55;
        }
        damaged.into()
    }

    fn see(
        &mut self,
        now_ms: u64,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &Bytes,
        copies: u32,
    ) {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.hash.update(now_ms.to_be_bytes());
        self.hash.update(from.to_string());
        self.hash.update(to.to_string());
        self.hash.update(size.to_be_bytes());
        self.hash.update(copies.to_be_bytes());
        self.sent = self.sent.saturating_add(1);
        if let Some(tap) = &self.tap {
            tap(&PacketEvent {
                time_ms: now_ms,
                from,
                to,
                bytes: bytes.clone(),
                copies,
            });
        }
    }

    /// The next datagram that has arrived at a socket, or when the next one will.
    pub(super) fn take(&mut self, now_ms: u64, id: u64, reader: &Waker) -> Result<Arrival, u64> {
        let never = u64::MAX;
        let Some(socket) = self.sockets.get_mut(&id) else {
            return Err(never);
        };
        while let Some(first) = socket.inbox.first_entry() {
            let (at_ms, _) = *first.key();
            if at_ms > now_ms {
                socket.reader = Some(reader.clone());
                return Err(at_ms);
            }
            let arrival = first.remove();
            if arrival.to == socket.public {
                return Ok(arrival);
            }
        }
        socket.reader = Some(reader.clone());
        Err(never)
    }

    pub(super) fn log(&self) -> ([u8; 32], u64) {
        (self.hash.clone().finalize().into(), self.sent)
    }
}
